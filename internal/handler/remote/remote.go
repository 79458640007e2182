// Package remote serves handlers in other processes: they dial in, and speak frames of gesta.v1.Runtime.
//
// It promises that frames reach the handler in the order in which the dispatcher gave them, many tasks in one; that a handler that
// does not read holds up nobody else; and that whatever a handler sends ends at worst its own attachment. It knows neither gRPC,
// which carries the frames, nor entities, which the dispatcher runs: it puts the one's bytes into the other's words.
package remote

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

// Stream carries frames to and from one process.
type Stream interface {
	Context() context.Context
	// Recv gives the next frame, which is valid until free; io.EOF when there are no more.
	Recv() (frame []byte, free func(), err error)
	// Send sends a frame; it may block. The frame is the stream's from then on.
	Send(frame []byte) error
	// Draining ends when no more is to come.
	Draining() <-chan struct{}
}

// Attach lets a handler serve; it is the gateway's.
type Attach func(ctx context.Context, hello *gestav1.Hello, h entity.Handler) (*entity.Attached, *gestav1.Welcome, error)

// frameBytes is how long a frame may get before the next task goes into another.
const frameBytes = limits.MiB

// process is an attached process.
type process struct {
	stream Stream

	mu     sync.Mutex
	frames []entity.Frame
	ended  error
	over   bool
	usual  int // how long the last frame was
	wake   chan struct{}
}

// Serve serves one stream until it ends.
func Serve(stream Stream, attach Attach) error {
	b, free, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	hello, err := readHello(b)
	free()
	if err != nil {
		return err
	}
	p := &process{stream: stream, wake: make(chan struct{}, 1)}
	a, welcome, err := attach(stream.Context(), hello, p)
	if err != nil {
		return err
	}
	first, err := proto.Marshal(&gestav1.ServerFrame{Welcome: welcome})
	if err == nil {
		err = stream.Send(first)
	}
	if err != nil {
		a.Detach("it did not take the welcome")
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- p.takeIn(a) }()
	err = p.sendOut(a, ended)
	a.Detach(reasonOf(err))
	return err
}

func reasonOf(err error) string {
	if err == nil {
		return "it said goodbye"
	}
	return err.Error()
}

func readHello(b []byte) (*gestav1.Hello, error) {
	f, err := decodeFrame(b)
	if err != nil {
		return nil, err
	}
	if f.hello == nil {
		return nil, errs.New(errs.Invalid, "the first frame has no hello: say who you are before anything else").With("field", "hello")
	}
	m := &gestav1.Hello{}
	if err := proto.Unmarshal(f.hello, m); err != nil {
		return nil, malformed()
	}
	return m, nil
}

// takeIn reads frames until the handler has no more (nil), or something is wrong.
func (p *process) takeIn(a *entity.Attached) error {
	for {
		b, free, err := p.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f, err := decodeFrame(b)
		free()
		if err != nil {
			return err
		}
		if f.hello != nil {
			return errs.New(errs.Invalid, "hello came twice: attach again with another stream").With("field", "hello")
		}
		a.Results(f.results, f.credit)
		if f.drain != nil {
			a.Drain(*f.drain)
		}
		if f.goodbye != nil {
			return nil
		}
	}
}

// Send takes a frame for the handler.
func (p *process) Send(f entity.Frame) {
	p.mu.Lock()
	p.frames = append(p.frames, f)
	p.mu.Unlock()
	p.nudge()
}

// End ends the attachment from our side.
func (p *process) End(err error) {
	p.mu.Lock()
	p.ended, p.over = err, true
	p.mu.Unlock()
	p.nudge()
}

func (p *process) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// sendOut sends what there is until either side ends it.
func (p *process) sendOut(a *entity.Attached, ended <-chan error) error {
	draining := p.stream.Draining()
	for {
		select {
		case <-p.wake:
		case err := <-ended:
			return err
		case <-draining:
			draining = nil // the dispatcher asks handlers to go when nothing waits for them
		case <-p.stream.Context().Done():
			return context.Cause(p.stream.Context())
		}
		if err := p.flush(a); err != nil {
			return err
		}
		if over, err := p.finished(); over {
			return err
		}
	}
}

func (p *process) finished() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over && len(p.frames) == 0, p.ended
}

func (p *process) flush(a *entity.Attached) error {
	p.mu.Lock()
	frames := p.frames
	p.frames = nil
	p.mu.Unlock()
	if len(frames) == 0 {
		return nil
	}
	pieces := false
	out := make([]byte, 0, p.usual+p.usual/4+1024)
	for i := range frames {
		f := &frames[i]
		for j := range f.Evicts {
			out = appendEvict(out, &f.Evicts[j])
		}
		for _, t := range f.Tasks {
			pieces = pieces || t.More
			if len(out)+room(t) > frameBytes && len(out) > 0 {
				if err := p.stream.Send(out); err != nil {
					return err
				}
				out = make([]byte, 0, 4096)
			}
			out = appendTask(out, t)
		}
		for j := range f.Faults {
			out = appendFault(out, &f.Faults[j])
		}
		if f.Drain != "" {
			out = appendDrain(out, f.Drain)
		}
	}
	p.usual = len(out)
	if err := p.stream.Send(out); err != nil {
		return err
	}
	if pieces {
		a.Sent()
	}
	return nil
}

// room is about what a task takes in a frame.
func room(t *entity.Task) int {
	n := 128 + len(t.Key)
	if t.Carried != nil {
		n += len(t.Carried.Data)
	}
	for _, e := range t.Events {
		n += len(e) + 6
	}
	for _, c := range t.Commands {
		n += len(c.Payload.Data) + 128
	}
	return n
}
