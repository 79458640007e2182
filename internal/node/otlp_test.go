package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	collectmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collecttraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/internal/errs"
)

const (
	someTraceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	someTrace   = "00-" + someTraceID + "-00f067aa0ba902b7-01"
)

// collector is an OpenTelemetry collector that keeps what it is sent.
type collector struct {
	collecttraces.UnimplementedTraceServiceServer
	addr string

	mu       sync.Mutex
	spans    []*tracepb.Span
	metrics  map[string]*metricspb.Metric
	resource *resourcepb.Resource
	tokens   []string
}

// metricsService is its other half: both have a method Export.
type metricsService struct {
	collectmetrics.UnimplementedMetricsServiceServer
	*collector
}

func openCollector(t *testing.T) *collector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{addr: l.Addr().String(), metrics: map[string]*metricspb.Metric{}}
	s := grpc.NewServer()
	collecttraces.RegisterTraceServiceServer(s, c)
	collectmetrics.RegisterMetricsServiceServer(s, metricsService{collector: c})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *collector) Export(ctx context.Context, q *collecttraces.ExportTraceServiceRequest) (*collecttraces.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens = append(c.tokens, metadata.ValueFromIncomingContext(ctx, "authorization")...)
	for _, r := range q.GetResourceSpans() {
		c.resource = r.GetResource()
		for _, s := range r.GetScopeSpans() {
			c.spans = append(c.spans, s.GetSpans()...)
		}
	}
	return &collecttraces.ExportTraceServiceResponse{}, nil
}

func (m metricsService) Export(_ context.Context, q *collectmetrics.ExportMetricsServiceRequest) (*collectmetrics.ExportMetricsServiceResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range q.GetResourceMetrics() {
		for _, s := range r.GetScopeMetrics() {
			for _, one := range s.GetMetrics() {
				m.collector.metrics[one.GetName()] = one
			}
		}
	}
	return &collectmetrics.ExportMetricsServiceResponse{}, nil
}

// of gives the spans with a name, and in a trace.
func (c *collector) of(name, trace string) (found []*tracepb.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.GetName() == name && hex.EncodeToString(s.GetTraceId()) == trace {
			found = append(found, s)
		}
	}
	return found
}

func attribute(r *resourcepb.Resource, name string) string {
	for _, a := range r.GetAttributes() {
		if a.GetKey() == name {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

func noTelemetry(t *testing.T) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
}

// One trace leads from the caller's span through the commit to whoever reads the event.
func TestOneTraceFromCallerToReader(t *testing.T) {
	noTelemetry(t)
	at := openCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+at.addr)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hush")
	t.Setenv("OTEL_SERVICE_NAME", "ledger")
	c := testConfig(t, t.TempDir())
	c.TraceEvery = 1
	n, err := Start(within(t), c, WithVersion("v1"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, dial(t, n), "orders", "untraced")
	appendHTTP(t, n, "/v1/streams/orders/http/events")
	cl, err := client.New(client.Options{Addrs: []string{n.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := client.WithTraceparent(within(t), someTrace)
	if _, err := cl.Append(ctx, client.Append{Topic: "orders", Key: "client", Events: []client.Event{{Type: "Placed"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Head(ctx, "orders", "client"); err != nil {
		t.Fatal(err)
	}
	for e, err := range cl.Read(within(t), client.TopicScope("orders"), client.ReadOptions{From: "start"}).All() {
		if err != nil {
			t.Fatal(err)
		}
		want := someTrace
		if e.Key == "untraced" {
			want = ""
		}
		if got := e.Metadata["traceparent"]; got != want {
			t.Errorf("the event of %s has the traceparent %q", e.Key, got)
		}
	}
	closeNode(t, n) // pushes what is left

	for name, parent := range map[string]string{
		"POST /v1/streams/{topic}/{key}/events": "00f067aa0ba902b7",
		"gesta.v1.Log/AppendStream":             "00f067aa0ba902b7",
		"gesta.v1.Log/Head":                     "00f067aa0ba902b7",
		"commit":                                "",
	} {
		spans := at.of(name, someTraceID)
		if len(spans) != 1 || parent != "" && hex.EncodeToString(spans[0].GetParentSpanId()) != parent {
			t.Errorf("spans of %s: %v", name, spans)
		}
	}
	if post, commit := at.of("POST /v1/streams/{topic}/{key}/events", someTraceID), at.of("commit", someTraceID); len(post)*len(commit) != 1 || !bytes.Equal(post[0].GetSpanId(), commit[0].GetParentSpanId()) {
		t.Error("the commit is no part of the call")
	}
	if attribute(at.resource, "service.name") != "ledger" || attribute(at.resource, "service.version") != "v1" || attribute(at.resource, "service.instance.id") != n.ID() {
		t.Errorf("%v", at.resource)
	}
	if len(at.tokens) == 0 || at.tokens[0] != "Bearer hush" {
		t.Errorf("headers %q", at.tokens)
	}
	if m := at.metrics["gesta_append_events_total"].GetSum(); !m.GetIsMonotonic() || m.GetDataPoints()[0].GetAsDouble() != 3 {
		t.Errorf("%v", m)
	}
	for _, d := range n.metrics.docs {
		if at.metrics[d.Name] == nil {
			t.Errorf("%s is not pushed", d.Name)
		}
	}
}

func appendHTTP(t *testing.T, n *Node, path string) {
	t.Helper()
	q, err := http.NewRequestWithContext(within(t), http.MethodPost, "http://"+n.HTTPAddr()+path, strings.NewReader(`{"events":[{"type":"Placed"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Traceparent", someTrace)
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", resp.Status, body)
	}
}

// Without the variables there is no tracer to ask.
func TestNothingIsTracedUnasked(t *testing.T) {
	noTelemetry(t)
	n := start(t, testConfig(t, t.TempDir()))
	if n.gate.Traces() {
		t.Error("calls are traced")
	}
}

func TestOtherProtocolsAreRefusedBeforeAnythingIsTouched(t *testing.T) {
	noTelemetry(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	c := testConfig(t, t.TempDir()+"/data")
	_, err := Start(within(t), c)
	if errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_PROTOCOL") {
		t.Error(err)
	}
	if _, err := os.Stat(c.Data); !os.IsNotExist(err) {
		t.Error("the data folder was made")
	}
}

// A collector that is not there changes nothing for callers, and is said in the log.
func TestWithoutACollectorCallsGoOn(t *testing.T) {
	noTelemetry(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
	var out bytes.Buffer
	n, err := Start(within(t), testConfig(t, t.TempDir()), WithLogger(slog.New(slog.NewTextHandler(&out, nil))))
	if err != nil {
		t.Fatal(err)
	}
	put(t, dial(t, n), "orders", "1")
	closeNode(t, n)
	if !strings.Contains(out.String(), "not pushed") {
		t.Error(out.String())
	}
}
