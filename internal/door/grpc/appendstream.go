package grpc

import (
	"crypto/rand"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
)

// newID names an event that came without an id.
func newID() string { return rand.Text() }

// appender is one AppendStream: a goroutine that takes frames in and submits their calls, and the handler's own, which sends the
// replies that have gathered since it last sent some.
type appender struct {
	replier
	who gateway.Caller
}

// call is a call on its way; it is the gateway's User.
type call struct {
	gateway.Call
	from *appender
	id   uint64
	size int
}

func (d *Door) appendStream(stream grpc.ServerStream) error {
	leave, err := openAppends(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	d.streams.Add(1)
	defer d.streams.Add(-1)
	a := &appender{replier: replier{door: d, stream: stream, wake: make(chan struct{}, 1)}}
	a.who, a.budget = d.callerOf(stream.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.takeIn() }()
	return a.sendOut(ended)
}

// takeIn reads frames until the client has no more (nil), or something is wrong.
func (a *appender) takeIn() error {
	var calls []callWire
	for {
		var in inFrame
		err := a.door.receive(a.stream, &in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		calls, err = a.takeFrame(&in, calls[:0])
		if err != nil {
			return err
		}
	}
}

func (a *appender) takeFrame(in *inFrame, calls []callWire) ([]callWire, error) {
	defer in.free()
	calls, err := splitFrame(in.bytes(), calls)
	if err != nil || len(calls) == 0 {
		return calls, err
	}
	if err := a.budget.Wait(a.stream.Context(), len(in.bytes())+len(calls)*callOverhead); err != nil {
		return calls, err
	}
	if !a.accept(len(calls)) {
		a.budget.Give(len(in.bytes()) + len(calls)*callOverhead)
		return calls, gateway.ErrDraining()
	}
	a.submit(calls, len(in.bytes()))
	clear(calls) // they point into the frame
	return calls, nil
}

// part is how many calls of a frame are decoded at once: the shard judges and stores one part while the next is decoded.
const part = 128

func (a *appender) submit(calls []callWire, own int) {
	for i := range calls {
		own -= len(calls[i].request)
	}
	traced := a.door.sampled()
	for len(calls) > 0 {
		n := min(part, len(calls))
		submitted := a.decode(calls[:n])
		if calls = calls[n:]; len(calls) == 0 && len(submitted) == 0 {
			a.budget.Give(own)
		} else if len(calls) == 0 {
			submitted[len(submitted)-1].User.(*call).size += own // the frame's own bytes are the last call's
		}
		if traced {
			a.door.traceCalls(a.stream.Context(), submitted)
		}
		a.door.gate.Submit(a.stream.Context(), a.who, submitted)
	}
}

// decode makes calls of a frame's. Those that are malformed are answered at once; the others do not point into the frame.
func (a *appender) decode(wires []callWire) []*gateway.Call {
	now := time.Now()
	store := make([]call, len(wires))
	calls := make([]*gateway.Call, 0, len(wires))
	for i := range wires {
		w, c := &wires[i], &store[i]
		c.from, c.id, c.size = a, w.id, len(w.request)+callOverhead
		if c.Commit, c.Err = decodeCall(w, a.door); c.Err != nil {
			a.reply(c)
			continue
		}
		if w.timeout > 0 {
			c.Deadline = now.Add(w.timeout)
		}
		c.Done, c.User = replyTo, c
		calls = append(calls, &c.Call)
	}
	return calls
}

func decodeCall(w *callWire, d *Door) (*event.Commit, error) {
	if w.err != nil {
		return nil, w.err
	}
	return event.DecodeAppendRequest(w.request, d.gate.Limits(), newID)
}

// replyTo is every call's Done.
func replyTo(g *gateway.Call) {
	c := g.User.(*call)
	c.from.reply(c)
}

// reply puts a call's outcome with those that are about to be sent. It does not block.
func (a *appender) reply(c *call) {
	a.put(c.size, func(dst []byte) []byte { return appendReply(dst, c.id, c.Outcome, c.Created, c.Err) })
}
