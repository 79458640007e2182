package grpc

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/gesta-db/gesta/api/eventwire"
	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/gateway"
)

// mostTraced bounds the spans of one frame: its appends are alike.
const mostTraced = 32

// traceparent gives the caller's, or "".
func traceparent(ctx context.Context) string {
	if told := metadata.ValueFromIncomingContext(ctx, eventwire.Traceparent); len(told) > 0 {
		return eventwire.CheckTraceparent(told[0])
	}
	return ""
}

// serve begins the span of a call.
func (d *Door) serve(ctx context.Context, method string) (context.Context, gateway.Span) {
	if !d.gate.Traces() {
		return d.gate.Serve(ctx, "", "") // metadata is not looked at
	}
	name := strings.TrimPrefix(method, "/")
	ctx, span := d.gate.Serve(ctx, name, traceparent(ctx))
	span.Text("rpc.system.name", "grpc")
	span.Text("rpc.method", name)
	return ctx, span
}

// sampled tells whether the appends of the frame at hand are traced: those of the first, and then of one in traceEvery.
func (d *Door) sampled() bool {
	return d.traceEvery > 0 && (d.frames.Add(1)-1)%d.traceEvery == 0
}

// traceCalls begins a span for each append of a frame whose events belong to a trace, or, when none does, for the first one.
func (d *Door) traceCalls(ctx context.Context, calls []*gateway.Call) {
	name := gestav1.Log_AppendStream_FullMethodName[1:]
	traced := 0
	for _, c := range calls {
		parent := c.Commit.Streams[0].Events[0].Traceparent()
		if parent == "" {
			continue
		}
		d.gate.ServeCall(ctx, name, parent, c)
		if traced++; traced == mostTraced {
			return
		}
	}
	if traced == 0 && len(calls) > 0 {
		d.gate.ServeCall(ctx, name, "", calls[0])
	}
}
