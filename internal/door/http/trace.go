package http

import (
	"net/http"

	"github.com/gesta-db/gesta/api/eventwire"
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
	err := handle(w, c)
	span.End(err)
	return err
}
