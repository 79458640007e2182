package client

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// effect tells what a lost answer leaves open.
type effect bool

const (
	reading effect = false // nothing: it is asked again
	writing effect = true  // whether it was done: that is for the caller to find out, as these calls have no ids
)

// unary makes a call until it has an answer that is not to be retried, or its time is over.
func unary[M any](ctx context.Context, c *Client, kind effect, call func(context.Context, *grpc.ClientConn) (M, error)) (M, error) {
	ctx, cancel := timeout(telling(ctx), c.opts.Timeout)
	defer cancel()
	var none M
	var tried attempts
	for {
		n := c.nodes.use()
		m, err := call(ctx, n.conn)
		if err == nil {
			c.contact.Store(true)
			return m, nil
		}
		e := c.failure(ctx, n.addr, kind, err)
		tried.failed(e)
		if !e.retryable() || kind == writing && e.Code == CodeUnknownOutcome {
			return none, tried.verdict(e)
		}
		c.nodes.leave(n)
		if tried.n%c.nodes.count() != 0 {
			continue
		}
		if !c.contact.Load() {
			return none, e
		}
		if err := sleep(ctx, pause(tried.n/c.nodes.count())); err != nil {
			return none, tried.verdict(&Error{Code: CodeUnavailable, Message: "no answer in time", cause: err, final: true})
		}
	}
}

// failure is the error of one attempt.
func (c *Client) failure(ctx context.Context, addr string, kind effect, err error) *Error {
	e, named := errorOf(addr, err)
	if named {
		c.contact.Store(true)
		return e
	}
	if kind == writing && !undialled(err) {
		e = writeErrorOf(addr, err)
	}
	if cause := ctx.Err(); cause != nil {
		e.cause, e.final = cause, true
	}
	return e
}

// undialled tells whether the call never left, because there was no connection.
func undialled(err error) bool {
	st, _ := status.FromError(err)
	return st.Code() == codes.Unavailable && strings.HasPrefix(st.Message(), "connection error")
}
