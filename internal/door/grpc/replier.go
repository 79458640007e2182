package grpc

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/gesta-db/gesta/internal/gateway"
)

// replyRoom is what a frame of replies has room for beyond the last one's length, before it grows.
const replyRoom = 256

// replier sends the replies of a stream of calls, as frames of those that have gathered since it last sent some.
type replier struct {
	door   *Door
	stream grpc.ServerStream
	budget *gateway.Budget

	mu      sync.Mutex
	replies *[]byte // encoded, to be sent as one frame; of the pool
	usual   int     // how long the last frame of replies was
	settled int     // bytes of the budget that belong to these replies
	open    int     // accepted calls without a reply
	closed  bool    // no call is accepted any more
	gone    bool    // nobody sends replies any more
	wake    chan struct{}
}

// accept counts calls that will be answered, unless the stream is closing.
func (a *replier) accept(n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	a.open += n
	return true
}

// put puts the reply of a call that took size of the budget with those that are about to be sent. It does not block.
func (a *replier) put(size int, encode func([]byte) []byte) {
	a.mu.Lock()
	a.open--
	gone := a.gone
	if !gone {
		if a.replies == nil {
			a.replies = pool.Get(a.usual + replyRoom)
			*a.replies = (*a.replies)[:0]
		}
		*a.replies = encode(*a.replies)
		a.settled += size
	}
	a.mu.Unlock()
	if gone {
		a.budget.Give(size)
		return
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// sendOut sends replies until the stream has ended and everything that was accepted is answered.
func (a *replier) sendOut(ended <-chan error) (err error) {
	defer a.leave()
	draining, gone := a.door.draining.Done(), a.stream.Context().Done()
	over := false
	for {
		select {
		case <-a.wake:
		case err = <-ended:
			ended, over = nil, true
		case <-draining:
			draining, over, err = nil, true, gateway.ErrDraining()
		case <-gone:
			return context.Cause(a.stream.Context())
		}
		done, sendErr := a.flush(over)
		if sendErr != nil {
			return sendErr
		}
		if done {
			return err
		}
	}
}

// flush sends what has gathered as one frame. With over no more calls are accepted; done tells that none is open.
func (a *replier) flush(over bool) (done bool, err error) {
	frame, settled, done := a.gathered(over)
	if frame != nil {
		err = a.stream.SendMsg(outFrame{mem.NewBuffer(frame, pool)})
	}
	a.budget.Give(settled)
	return done, err
}

func (a *replier) gathered(over bool) (frame *[]byte, settled int, done bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	frame, settled = a.replies, a.settled
	if frame != nil {
		a.usual = len(*frame)
	}
	a.replies, a.settled = nil, 0
	a.closed = a.closed || over
	return frame, settled, a.closed && a.open == 0
}

// leave lets replies that nobody can be told give back what they hold.
func (a *replier) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed, a.gone = true, true
	a.budget.Give(a.settled)
	a.replies, a.settled = nil, 0
}
