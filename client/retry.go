package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	firstPause = 10 * time.Millisecond // a few commits' time: what was busy may be free again
	lastPause  = 500 * time.Millisecond
)

// pause is how long to wait before attempt n+1 (n counts from 1): doubling, the second half of it random so that callers that
// failed together do not return together.
func pause(n int) time.Duration {
	d := lastPause
	if n < 7 {
		d = min(firstPause<<(n-1), lastPause)
	}
	return d/2 + rand.N(d/2)
}

// sleep waits for d, or less when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempts is what is known from the attempts so far of one call.
type attempts struct {
	n       int
	unknown *Error // an attempt that may have written
	last    *Error // the newest refusal
}

func (a *attempts) failed(e *Error) {
	a.n++
	if a.last == nil || !e.final { // that time was up says less than the refusal before
		a.last = e
	}
	if e.Code == CodeUnknownOutcome {
		a.unknown = e
	}
}

// verdict is the error to return when the last thing that happened is e and nothing more will be tried. An attempt whose outcome
// is open makes the whole outcome open, unless the server has judged the call since: it knows the ids.
func (a *attempts) verdict(e *Error) *Error {
	settled := e.cause == nil && !e.retryable() && !e.final
	if settled && (a.unknown == nil || e.judged()) {
		return e
	}
	why := e
	if a.last != nil {
		why = a.last
	}
	if a.unknown != nil {
		why = a.unknown
	}
	if e.Code == CodeUnknownOutcome {
		why = e
	}
	if a.n < 2 && why == e {
		return e
	}
	out := *why
	out.cause = e.cause
	out.final = true
	if a.n > 1 {
		out.Message = fmt.Sprintf("%s (given up after %d attempts)", why.Message, a.n)
	}
	return &out
}

// givenUp is the error of an attempt that the caller no longer waits for.
func givenUp(sent bool, cause error) *Error {
	if sent {
		return &Error{
			Code: CodeUnknownOutcome, cause: cause, final: true,
			Message: "no answer in time, what was sent may have been written: send it again with the same ids to learn",
		}
	}
	return &Error{Code: CodeUnavailable, cause: cause, final: true, Message: "nothing was sent in time: nothing was written"}
}

// timeout bounds ctx by d, unless it has a deadline.
func timeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}
