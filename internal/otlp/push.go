package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

// Options says who pushes what.
type Options struct {
	Settings Settings
	Version  string
	Node     string // the node's id
	Metrics  prometheus.Gatherer
	Logger   *slog.Logger
}

// Pusher pushes until Close.
type Pusher struct {
	traces  *trace.TracerProvider
	metrics *metric.MeterProvider
}

// Start begins to push what the settings ask for. It does not wait for the collector.
func Start(ctx context.Context, o Options) (*Pusher, error) {
	p := &Pusher{}
	if !o.Settings.Any() {
		return p, nil
	}
	about, err := describe(ctx, o)
	if err != nil {
		return nil, err
	}
	otel.SetErrorHandler(&complaints{log: o.Logger})
	if o.Settings.Traces {
		exporter, err := otlptracegrpc.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("push traces: %w", err)
		}
		p.traces = trace.NewTracerProvider(trace.WithResource(about), trace.WithBatcher(exporter))
	}
	if o.Settings.Metrics {
		exporter, err := otlpmetricgrpc.New(ctx)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("push metrics: %w", err), p.Close(ctx))
		}
		from := bridge.NewMetricProducer(bridge.WithGatherer(o.Metrics))
		p.metrics = metric.NewMeterProvider(metric.WithResource(about), metric.WithReader(metric.NewPeriodicReader(exporter, metric.WithProducer(from))))
	}
	return p, nil
}

// describe says what pushes; the environment wins.
func describe(ctx context.Context, o Options) (*resource.Resource, error) {
	r, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", "gesta"), attribute.String("service.version", o.Version), attribute.String("service.instance.id", o.Node)),
		resource.WithFromEnv())
	if err != nil {
		return nil, errs.New(errs.Invalid, "the environment variable OTEL_RESOURCE_ATTRIBUTES must be written name=value,…: %w", err).With("field", "OTEL_RESOURCE_ATTRIBUTES")
	}
	return r, nil
}

// Tracer makes spans; nil when traces are not pushed.
func (p *Pusher) Tracer() gateway.Tracer {
	if p.traces == nil {
		return nil
	}
	return tracer{p.traces.Tracer("github.com/gesta-db/gesta")}
}

// longestClose bounds how long a stop waits for a collector that does not answer.
const longestClose = 3 * time.Second

// Close pushes what is left, for at most three seconds, and ends. It may be called of a nil Pusher.
func (p *Pusher) Close(ctx context.Context) (err error) {
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, longestClose)
	defer cancel()
	if p.traces != nil {
		err = p.traces.Shutdown(ctx)
	}
	if p.metrics != nil {
		err = errors.Join(err, p.metrics.Shutdown(ctx))
	}
	return err
}

// complaints logs what goes wrong with pushing, but not each time.
type complaints struct {
	log   *slog.Logger
	until atomic.Int64 // seconds since 1970: silence
}

const silence = 60 // seconds

// Handle is otel.ErrorHandler's.
func (c *complaints) Handle(err error) {
	now, until := time.Now().Unix(), c.until.Load()
	if now >= until && c.until.CompareAndSwap(until, now+silence) {
		c.log.Warn("traces or metrics could not be pushed; the next minute's failures are not logged", "error", err)
	}
}
