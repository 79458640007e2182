package http

import (
	"net/http"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
)

// serve answers a call that needs the gateway, traced when calls are.
func (d *Door) serve(w http.ResponseWriter, c *call, found *route, handle handler) error {
	if !c.gate.Traces() {
		return handle(w, c)
	}
	ctx, span := c.gate.Serve(c.Context(), c.Method+" "+found.pattern, eventwire.CheckTraceparent(c.Header.Get("Traceparent")))
	span.Text("http.request.method", c.Method)
	span.Text("http.route", found.pattern)
	c.Request = c.WithContext(ctx)
	ended := false
	defer func() {
		if !ended {
			span.End(errCutOff)
		}
	}()
	err := handle(w, c)
	ended = true
	span.End(err)
	return err
}

// errCutOff is what is told of an answer that was broken off so that nobody takes it for whole.
var errCutOff = errs.New(errs.Unavailable, "the answer was cut off")
