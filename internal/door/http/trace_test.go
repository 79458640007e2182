package http

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
)

const someTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// tracer writes down the calls that ended; it is used by one goroutine.
type tracer struct{ ended []string }

type span struct {
	of   *tracer
	text string
}

func (r *tracer) Serve(ctx context.Context, name, parent string) (context.Context, gateway.Span) {
	return context.WithValue(ctx, span{}, "within"), &span{r, name + " " + parent}
}

func (r *tracer) Step(ctx context.Context, name string) (context.Context, gateway.Span) {
	within, _ := ctx.Value(span{}).(string)
	return ctx, &span{r, name + " " + within}
}

func (*span) Text(string, string)  {}
func (*span) Number(string, int64) {}
func (s *span) End(err error) {
	if err != nil {
		s.text += " " + string(errs.CodeOf(err))
	}
	s.of.ended = append(s.of.ended, s.text)
}

func TestCallsAreTraced(t *testing.T) {
	f, r := open(t, "orders"), &tracer{}
	f.door.Open(gateway.New(gateway.Options{Shards: gatewaytest.Only(f.shard), Topics: f.topics, Limits: f.limits, Tracer: r}))
	f.post(t, "/v1/streams/orders/1/events", `{"events":[{"type":"Placed"}]}`, "Traceparent", someTrace)
	f.post(t, "/v1/streams/orders/1/events", `{"events":[]}`, "Traceparent", "nonsense")
	f.do("GET", "/v1/topics/none", "")
	f.do("GET", "/health", "")
	want := []string{
		"commit within", "POST /v1/streams/{topic}/{key}/events " + someTrace, "POST /v1/streams/{topic}/{key}/events  invalid",
		"GET /v1/topics/{topic}  not_found",
	}
	if !slices.Equal(r.ended, want) {
		t.Errorf("%q\nwant %q", r.ended, want)
	}
}

// Whatever the body's form; an event's own traceparent is left alone.
func TestTheTraceparentIsKept(t *testing.T) {
	const own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	for name, c := range map[string]struct {
		body, want string
		headers    []string
	}{
		"own JSON":   {`{"events":[{"type":"Placed"}]}`, someTrace, []string{"Content-Type", "application/json"}},
		"its own":    {`{"events":[{"type":"Placed","metadata":{"traceparent":"` + own + `"}}]}`, own, []string{"Content-Type", "application/json"}},
		"structured": {`{"specversion":"1.0","id":"1","source":"/s","type":"Placed"}`, someTrace, []string{"Content-Type", "application/cloudevents+json"}},
		"binary":     {`data`, someTrace, []string{"Content-Type", "text/plain", "Ce-Type", "Placed"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t, "orders")
			if a := f.do("POST", "/v1/streams/orders/1/events", c.body, append(c.headers, "Traceparent", someTrace)...); a.StatusCode != http.StatusCreated {
				t.Fatal(a.body)
			}
			if a := f.do("GET", "/v1/streams/orders/1/events", ""); !strings.Contains(a.body, `"traceparent":"`+c.want+`"`) {
				t.Error(a.body)
			}
		})
	}
}
