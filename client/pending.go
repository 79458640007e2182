package client

import (
	"context"
	"time"
)

// Pending is a commit that was started.
type Pending struct {
	call   call
	stop   func() bool // ends the watch over the context it was started with
	done   chan struct{}
	result Result
	err    error

	// Guarded by the lane's lock.
	lines     []*line
	loose     []*line // those whose order only this package keeps: without the expectation of one exact revision
	state     pendingState
	resent    bool // on the wire again after a failure
	rested    bool // held, and its pause is over
	overtaken bool // a later call of one of its streams was accepted
	tried     attempts
	ended     error // its context ended while an outcome was on the way
	timer     *time.Timer
}

type pendingState uint8

const (
	pendingBehind pendingState = iota // waits for earlier calls of its streams
	pendingSent                       // queued or on the wire
	pendingHeld                       // to be sent again
	pendingDone
)

// Done is closed when the outcome is known.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Wait returns the outcome; errors are those of [Client.Append]. When ctx ends first, it returns [CodeUnknownOutcome], and the
// commit goes on: Wait may be called again. Only the context given to Start gives the commit up.
func (p *Pending) Wait(ctx context.Context) (Result, error) {
	select {
	case <-p.done:
		return p.result, p.err
	default:
	}
	select {
	case <-p.done:
		return p.result, p.err
	case <-ctx.Done():
		return Result{}, &Error{Code: CodeUnknownOutcome, Message: "the append is still under way", cause: ctx.Err(), final: true}
	}
}

// outcome waits for a commit whose context is the waiter's own: when it ends, so does the commit.
func (p *Pending) outcome() (Result, error) {
	<-p.done
	return p.result, p.err
}

// failedPending has its outcome already.
func failedPending(err *Error) *Pending {
	p := &Pending{done: make(chan struct{}), err: err, state: pendingDone}
	close(p.done)
	return p
}
