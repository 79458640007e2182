// Package otlp pushes traces and metrics to an OpenTelemetry collector, by OTLP over gRPC. It is the only package that knows
// OpenTelemetry.
//
// It promises:
//   - Nothing is pushed, started or paid for unless OTEL_EXPORTER_OTLP_ENDPOINT, or that of one signal, is set.
//   - The standard OTEL_* variables hold: what this package does not read itself (headers, TLS, time-outs, sampler, batches,
//     interval, resource) the OpenTelemetry SDK does. What it cannot do (another protocol or exporter, a certificate that is not
//     there) is refused at start, in a sentence that names the variable, instead of passed over.
//   - A collector that is slow or gone costs spans, never calls: spans wait in a bounded queue and are dropped when it is full.
//     It is logged at most once a minute.
//   - Metrics are those of /metrics, under the same names.
//
// It does not know what calls there are: it makes spans of what the gateway's Tracer is told.
//
// OpenTelemetry has one handler of errors per process, so Start sets it for the whole process.
package otlp
