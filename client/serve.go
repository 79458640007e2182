package client

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// Service is what a process serves.
type Service struct {
	// Name names the service that the process is one of: [a-z0-9._-], 1 to 128 bytes. A kind is served by one service.
	Name string
	// Build names the program's version, for people.
	Build string
	// Process names this process among those of the service; by default the server names it.
	Process string
	// Kinds are the entities that it serves.
	Kinds []Kind
	// Credit is how many commands it takes at once; default 1,024.
	Credit int
	// CacheBytes bounds the states kept in memory, by an estimate; default 256 MiB. What is over it is loaded again when it is
	// needed.
	CacheBytes int64
	// Workers is how many commands are decided at the same time; default 1. One that takes long never holds up the others: when
	// nothing has moved for 50 ms, the next ones are taken up beside it.
	Workers int
	// DrainTimeout is how long Serve goes on after its context has ended, so that what is in hand is finished and its entities
	// move to others; default 10 s.
	DrainTimeout time.Duration
	// Logger gets panics, faults and reconnects; by default nobody does.
	Logger *slog.Logger
	// OnAttach is called each time that a server has taken the handler, with the node's id.
	OnAttach func(node string)
}

// Defaults of a Service.
const (
	defaultCredit       = 1024
	defaultCacheBytes   = 256 << 20
	defaultDrainTimeout = 10 * time.Second
)

func (s Service) orDefault() Service {
	if s.Credit <= 0 {
		s.Credit = defaultCredit
	}
	if s.CacheBytes <= 0 {
		s.CacheBytes = defaultCacheBytes
	}
	if s.Workers <= 0 {
		s.Workers = 1
	}
	if s.DrainTimeout <= 0 {
		s.DrainTimeout = defaultDrainTimeout
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	return s
}

// protocolVersion is that of gesta.v1.Runtime.
const protocolVersion = 1

// hello is the first frame of an attachment.
func (s *Service) hello() ([]byte, error) {
	h := &gestav1.Hello{Service: s.Name, Build: s.Build, Process: s.Process, Protocol: protocolVersion, Credit: uint32(s.Credit)}
	for _, k := range s.Kinds {
		described, err := k.describe()
		if err != nil {
			return nil, err
		}
		h.Kinds = append(h.Kinds, described)
	}
	var err error
	if h.Descriptors, err = descriptorSet(s.Kinds); err != nil {
		return nil, err
	}
	return proto.Marshal(&gestav1.HandlerFrame{Hello: h})
}

// Serve attaches to a server and serves entities until ctx ends, and then until what is in hand is finished. It attaches again,
// to the next node, when the connection breaks or the node wants to stop, for as long as it takes; it also waits for a server
// that is not there yet.
//
// Errors are those with which a server refuses the handler: CodeInvalid, CodeUnauthenticated, CodeForbidden, CodeConflict and
// CodeExists (another service serves the kind), CodeRejected or CodeConflict when the log has events that the handler cannot read
// (the message lists them), CodeUnsupported. nil after ctx has ended.
func (c *Client) Serve(ctx context.Context, s Service) error {
	s = s.orDefault()
	hello, err := s.hello()
	if err != nil {
		return err
	}
	w, err := newWorker(s.Kinds, s.CacheBytes)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		node := c.nodes.use()
		a := &attachment{service: &s, worker: w, addr: node.addr}
		err := a.run(ctx, c, node.conn, hello)
		w.reset()
		if ctx.Err() != nil {
			return nil
		}
		if c.ctx.Err() != nil {
			return closedError()
		}
		if err != nil && !a.again(err) {
			return err
		}
		if a.welcomed {
			n = 0
		}
		c.nodes.leave(node)
		s.Logger.Warn("the handler attaches again", "node", node.addr, "reason", reasonOf(err))
		if err := sleep(ctx, pause(n+1)); err != nil {
			return nil
		}
	}
}

func reasonOf(err error) string {
	if err == nil {
		return "the server asked for it"
	}
	return err.Error()
}

// again tells whether the end of an attachment is a passing one.
func (a *attachment) again(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	return e.retryable() || a.welcomed && e.Code == CodeInternal
}
