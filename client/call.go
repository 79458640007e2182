package client

import (
	"context"
	"sync"
	"time"
)

// call is one commit, or one command, on its way through its lane. Its fields below request are guarded by the lane's lock until it is done.
type call struct {
	request []byte        // an encoded AppendRequest or ExecuteRequest
	into    *Outcome      // of a command: gets what came of it, before done
	done    chan struct{} // gets one value when a caller of do has an outcome
	pending *Pending      // of a call that was started; nil for one that is waited for
	expires time.Time     // when to give up; zero: the caller watches its own context
	ends    time.Time     // what the server is told: expires, or the context's deadline

	state callState
	slot  uint32
	res   Result
	err   *Error
}

type callState uint8

const (
	callNew    callState = iota
	callQueued           // waits for the sender
	callSent             // occupies a slot of the session
	callDone             // has an outcome, or nobody waits for it any more
)

var callPool = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

const keepRequest = 16 << 10 // bytes: a pooled call keeps the buffer of an ordinary commit, not that of a batch

func newCall() *call { return callPool.Get().(*call) }

// recycle gives the call back. Only for one that the receiver has answered: of any other the sender may still be reading.
func (k *call) recycle() {
	if cap(k.request) > keepRequest {
		k.request = nil
	}
	*k = call{request: k.request[:0], done: k.done}
	callPool.Put(k)
}

// encode prepares the request.
func (k *call) encode(ctx context.Context, streams []Append, opts []AppendOption) *Error {
	var o appendOptions
	for _, opt := range opts {
		opt(&o)
	}
	k.request = appendRequest(k.request[:0], streams, o, traceparentOf(ctx))
	if len(k.request) > maxRequest {
		return tooLarge(len(k.request))
	}
	return nil
}

// weight is what the call counts against the bytes under way.
func (k *call) weight() int { return len(k.request) }

// framePool keeps the memory of sent frames; it is given to gRPC, which returns a frame when the transport has written it.
var framePool = &frames{}

type frames struct{ pool sync.Pool }

const keepFrame = 2 * frameTarget

// Get is called with 0: a frame's size is known when it is written.
func (f *frames) Get(n int) *[]byte {
	if b, ok := f.pool.Get().(*[]byte); ok && cap(*b) >= n {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, max(n, 64<<10))
	return &b
}

func (f *frames) Put(b *[]byte) {
	if cap(*b) <= keepFrame {
		f.pool.Put(b)
	}
}
