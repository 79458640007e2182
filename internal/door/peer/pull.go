package peer

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gesta-db/gesta/internal/errs"
)

// pull is a stream that a peer sends after one request: a read or a file.
type pull struct {
	stream grpc.ClientStream
	to     uint64
	ctx    context.Context
	cancel context.CancelFunc
	once   sync.Once
}

// pull opens one and waits until the peer has accepted it, or ctx ends. It lives beyond ctx, until close, or the link's end.
func (t *Transport) pull(ctx context.Context, to uint64, class Class, method string, q any) (*pull, error) {
	l, err := t.way(to)
	if err != nil {
		return nil, err
	}
	conn, err := l.conn(class)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, errs.New(errs.Unavailable, "the caller stopped waiting: %w", err)
	}
	p := &pull{to: to}
	p.ctx, p.cancel = context.WithCancel(l.ctx)
	stop := context.AfterFunc(ctx, p.cancel)
	p.stream, err = l.open(p.ctx, conn, method, q)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		p.cancel()
		if ctx.Err() != nil {
			return nil, errs.New(errs.Unavailable, "the caller stopped waiting for node %s: %w", hex(to), ctx.Err())
		}
		return nil, p.ended(err, "the call")
	}
	return p, nil
}

func (p *pull) close() { p.once.Do(p.cancel) }

// ended makes of a stream's end what a caller is told: io.EOF, what the peer said, or unavailable.
func (p *pull) ended(err error, what string) error {
	var e *errs.Error
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &e):
		return err
	case status.Code(err) == codes.ResourceExhausted:
		if _, told := fromStatus(err); !told {
			return errs.New(errs.TooLarge, "%s at node %s gave more at once than this node reads: see that all nodes have the same limits: %w", what, hex(p.to), plain(err))
		}
	}
	return broken(err, errs.Unavailable, "%s at node %s was cut off; try again", what, hex(p.to))
}
