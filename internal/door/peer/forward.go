package peer

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// intake is one Forward stream at the leader: a goroutine that takes frames in and submits their calls, and the stream's own,
// which sends the replies that have gathered since it last sent some.
type intake struct {
	t      *Transport
	stream grpc.ServerStream
	from   Peer

	mu      sync.Mutex
	replies *[]byte // encoded, to be sent as one frame
	open    int     // calls without a reply
	bytes   int64   // of calls without a reply
	over    bool    // no call comes any more
	gone    bool    // nobody sends replies any more
	wake    chan struct{}
	freed   chan struct{}
}

// arrived is a forwarded call; it is its event.Call's User, by which it is known not to be forwarded again.
type arrived struct {
	event.Call
	in     *intake
	id     uint64
	size   int
	caller string
	shard  uint32
}

func cameFromPeer(c *event.Call) bool {
	_, ok := c.User.(*arrived)
	return ok
}

// Forward takes commits for shards that this node leads.
func (s server) Forward(stream grpc.BidiStreamingServer[peerv1.ForwardRequest, peerv1.ForwardResponse]) error {
	if err := s.t.accept(stream); err != nil {
		return err
	}
	in := &intake{t: s.t, stream: stream, from: caller(stream.Context()), wake: make(chan struct{}, 1), freed: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	s.t.wg.Add(1)
	go func() {
		defer s.t.wg.Done()
		ended <- in.takeIn(stream.Context())
	}()
	return in.sendOut(ended)
}

// takeIn submits frames until the peer has no more.
func (in *intake) takeIn(ctx context.Context) error {
	var calls []forwarded
	for {
		var f inFrame
		err := in.stream.RecvMsg(&f)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if calls, err = splitCalls(f.bytes(), calls[:0]); err == nil {
			err = in.takeFrame(ctx, calls)
		}
		clear(calls)
		f.free()
		if err != nil {
			return err
		}
	}
}

func (in *intake) takeFrame(ctx context.Context, calls []forwarded) error {
	if err := in.room(ctx); err != nil {
		return err
	}
	var batch []*event.Call
	var at *arrived // the batch's first
	for i := range calls {
		a := in.arrive(&calls[i])
		if a.Err != nil {
			in.reply(a)
			continue
		}
		if len(batch) > 0 && (a.shard != at.shard || a.caller != at.caller) {
			in.submit(at, batch)
			batch = nil
		}
		if len(batch) == 0 {
			at = a
		}
		batch = append(batch, &a.Call)
	}
	in.submit(at, batch)
	return nil
}

func (in *intake) submit(at *arrived, batch []*event.Call) {
	if len(batch) > 0 {
		from := in.from
		from.Caller = at.caller
		in.t.o.Handler.Submit(from, at.shard, batch)
	}
}

// arrive counts a call in and makes it what the handler takes. It keeps nothing of the frame.
func (in *intake) arrive(w *forwarded) *arrived {
	a := &arrived{in: in, id: w.id, size: len(w.request) + commitOverhead, caller: string(w.caller), shard: w.shard}
	in.mu.Lock()
	in.open++
	in.bytes += int64(a.size)
	in.mu.Unlock()
	a.Done, a.User = answer, a
	if in.t.draining.Err() != nil {
		a.Err = errs.New(errs.NoLeader, "%w", in.t.errDraining()) // there will be another leader, and the caller can wait for it
	} else {
		a.Commit, a.Err = w.commit(in.t.o.Limits, rand.Text)
	}
	if w.timeout > 0 {
		a.Deadline = time.Now().Add(w.timeout)
	}
	return a
}

// answer is every forwarded call's Done.
func answer(c *event.Call) {
	a := c.User.(*arrived)
	a.in.reply(a)
}

// room waits while too much is without a reply. The peer bounds itself by its own limit; this is for one with another.
func (in *intake) room(ctx context.Context) error {
	for {
		in.mu.Lock()
		full := in.bytes > in.t.o.Limits.InFlightBytes
		in.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-in.freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reply puts a call's outcome with those that are about to be sent. It does not block.
func (in *intake) reply(a *arrived) {
	in.mu.Lock()
	in.open--
	in.bytes -= int64(a.size)
	if !in.gone {
		if in.replies == nil {
			in.replies = newFrame(1 << 10)
		}
		*in.replies = appendReply(*in.replies, a.id, &a.Outcome, a.Err)
	}
	in.mu.Unlock()
	for _, c := range []chan struct{}{in.wake, in.freed} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// sendOut sends replies until the stream has ended and everything that came is answered.
func (in *intake) sendOut(ended <-chan error) (err error) {
	defer in.leave()
	draining, gone := in.t.draining.Done(), in.stream.Context().Done()
	for {
		select {
		case <-in.wake:
		case err = <-ended:
			ended = nil
			in.finish()
		case <-draining:
			draining = nil
			in.askToClose()
		case <-gone:
			return context.Cause(in.stream.Context())
		}
		frame, done := in.gathered()
		if frame != nil {
			if err := in.stream.SendMsg(sealed(frame)); err != nil {
				return err
			}
		}
		if done {
			return err
		}
	}
}

func (in *intake) finish() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.over = true
}

// askToClose tells the peer, with the next frame, to send nothing more.
func (in *intake) askToClose() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.replies == nil {
		in.replies = newFrame(64)
	}
	*in.replies = appendFlag(*in.replies, tagClosing, true)
}

func (in *intake) gathered() (frame *[]byte, done bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	frame, in.replies = in.replies, nil
	return frame, in.over && in.open == 0
}

// leave lets replies go that nobody can be told.
func (in *intake) leave() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.gone, in.replies = true, nil
}
