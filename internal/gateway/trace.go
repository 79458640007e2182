package gateway

import (
	"context"

	"github.com/gesta-db/gesta/internal/event"
)

// Tracer follows calls on their way. It is only asked where a call is traced, so that nothing is paid where none is.
type Tracer interface {
	// Serve begins the span of a call that came in, in the trace of the caller's traceparent (as eventwire.CheckTraceparent gives
	// it), or in a new one when that is empty.
	Serve(ctx context.Context, name, traceparent string) (context.Context, Span)
	// Step begins a span within that of ctx.
	Step(ctx context.Context, name string) (context.Context, Span)
}

// Span is a part of a trace, from its beginning to End. It may be ended by another goroutine.
type Span interface {
	Text(name, value string)
	Number(name string, value int64)
	// End is called once. The error is the caller's answer; nil: it went well.
	End(err error)
}

// noSpan is what is not traced.
type noSpan struct{}

func (noSpan) Text(string, string)  {}
func (noSpan) Number(string, int64) {}
func (noSpan) End(error)            {}

// Traces tells whether calls are traced.
func (g *Gateway) Traces() bool { return g.tracer != nil }

// Serve begins the span of a call that came in through a door; when calls are not traced it costs nothing, and gives ctx back.
func (g *Gateway) Serve(ctx context.Context, name, traceparent string) (context.Context, Span) {
	if g.tracer == nil {
		return ctx, noSpan{}
	}
	return g.tracer.Serve(ctx, name, traceparent)
}

// ServeCall begins the span of a call that will be submitted. It ends before the call's Done is called.
func (g *Gateway) ServeCall(ctx context.Context, name, traceparent string, c *Call) {
	_, span := g.Serve(ctx, name, traceparent)
	describe(span, c.Commit)
	done := c.Done
	c.Done = func(c *Call) {
		if c.Err == nil {
			located(span, c.Outcome)
		}
		span.End(c.Err)
		done(c)
	}
}

// describe says what is appended, but no key: keys may name persons.
func describe(span Span, commit *event.Commit) {
	span.Text("gesta.topic", string(commit.Streams[0].Topic))
	span.Number("gesta.streams", int64(len(commit.Streams)))
	span.Number("gesta.events", int64(countEvents(commit)))
	span.Number("gesta.bytes", int64(commit.Bytes))
}

// located says where it is.
func located(span Span, o *event.Outcome) {
	span.Number("gesta.shard", int64(o.Position.Shard))
	span.Number("gesta.offset", int64(o.Position.Offset))
	if o.Repeated {
		span.Number("gesta.repeated", 1)
	}
}
