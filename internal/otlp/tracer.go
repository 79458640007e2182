package otlp

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

// tracer is the gateway's Tracer.
type tracer struct{ from trace.Tracer }

func (t tracer) Serve(ctx context.Context, name, traceparent string) (context.Context, gateway.Span) {
	if traceparent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{eventwire.Traceparent: traceparent})
	}
	return t.begin(ctx, name, trace.WithSpanKind(trace.SpanKindServer))
}

func (t tracer) Step(ctx context.Context, name string) (context.Context, gateway.Span) {
	return t.begin(ctx, name)
}

func (t tracer) begin(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, gateway.Span) {
	ctx, s := t.from.Start(ctx, name, options...)
	return ctx, span{s}
}

type span struct{ trace.Span }

func (s span) Text(name, value string)         { s.SetAttributes(attribute.String(name, value)) }
func (s span) Number(name string, value int64) { s.SetAttributes(attribute.Int64(name, value)) }

// serverError is the least HTTP status of what is wrong with the server. A caller's own mistake, or a conflict, is an answer.
const serverError = 500

func (s span) End(err error) {
	if err != nil {
		code := errs.CodeOf(err)
		s.SetAttributes(attribute.String("error.type", string(code)))
		if errs.RowOf(code).HTTP >= serverError {
			s.SetStatus(codes.Error, err.Error())
		}
	}
	s.Span.End()
}
