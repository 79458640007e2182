package client

import (
	"context"

	"google.golang.org/grpc/metadata"

	"github.com/gesta-db/gesta/api/eventwire"
)

type traceKey struct{}

// WithTraceparent gives a context whose calls belong to a trace: a W3C traceparent (of the header of that name, or of a span)
// such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.
//
// Events that are appended with it keep it in their metadata under "traceparent", unless they bring their own: so whoever reads
// them can go on with the trace. Other calls tell it to the server, whose spans then belong to the trace. One that is malformed
// changes nothing.
//
// With OpenTelemetry the traceparent of a span is
//
//	carrier := propagation.MapCarrier{}
//	propagation.TraceContext{}.Inject(ctx, carrier)
//	ctx = client.WithTraceparent(ctx, carrier["traceparent"])
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	if traceparent = eventwire.CheckTraceparent(traceparent); traceparent == "" {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, traceparent)
}

func traceparentOf(ctx context.Context) string {
	s, _ := ctx.Value(traceKey{}).(string)
	return s
}

// telling gives a context whose calls tell the server their trace.
func telling(ctx context.Context) context.Context {
	if t := traceparentOf(ctx); t != "" {
		return metadata.AppendToOutgoingContext(ctx, eventwire.Traceparent, t)
	}
	return ctx
}

// sizeTrace is what an event grows by when it is given the traceparent.
func sizeTrace(e *Event, traceparent string) int {
	if _, own := e.Metadata[eventwire.Traceparent]; own || traceparent == "" {
		return 0
	}
	return 2 + sizeTraceEntry
}

const sizeTraceEntry = 2 + len(eventwire.Traceparent) + 2 + eventwire.TraceparentSize

// appendTrace gives an event the traceparent: an entry more of its metadata, whose order is free on the wire.
func appendTrace(dst []byte, e *Event, traceparent string) []byte {
	if sizeTrace(e, traceparent) == 0 {
		return dst
	}
	dst = append(dst, 8<<3|2, byte(sizeTraceEntry))
	return appendText(appendText(dst, 1<<3|2, eventwire.Traceparent), 2<<3|2, traceparent)
}
