package grpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc/metadata"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/limits"
)

const someTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// tracer writes down what was traced: "name parent code" when a span ends.
type tracer struct {
	mu    sync.Mutex
	ended []string
}

func (r *tracer) Serve(ctx context.Context, name, parent string) (context.Context, gateway.Span) {
	return ctx, &span{of: r, text: name + " " + parent}
}

func (r *tracer) Step(ctx context.Context, name string) (context.Context, gateway.Span) {
	return ctx, &span{of: r, text: name}
}

func (r *tracer) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ended)
}

type span struct {
	of   *tracer
	text string
}

func (*span) Text(string, string)  {}
func (*span) Number(string, int64) {}
func (s *span) End(err error) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if err != nil {
		s.text += " " + string(errs.CodeOf(err))
	}
	s.of.ended = append(s.of.ended, s.text)
}

func openTraced(t *testing.T, every uint64) (*fixture, *tracer) {
	l, r := limits.Default(), &tracer{}
	f := &fixture{shard: gatewaytest.NewShard(), topics: gatewaytest.NewTopics("orders"), limits: &l, served: make(chan error, 1)}
	f.gate = gateway.New(gateway.Options{Shards: gatewaytest.Only(f.shard), Topics: f.topics, Limits: &l, Tracer: r})
	f.serve(t, Options{Gateway: f.gate, TraceEvery: every})
	return f, r
}

// first is the shard's first event.
func (f *fixture) first(t *testing.T) *gestav1.RecordedEvent {
	t.Helper()
	s, err := f.log.Read(within(t), &gestav1.ReadRequest{Scope: &gestav1.ReadRequest_Shard{Shard: 1}, From: "start", Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for {
		r, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.GetEvents()) > 0 {
			return r.GetEvents()[0]
		}
	}
}

func TestUnaryCallsAreTraced(t *testing.T) {
	f, r := openTraced(t, 0)
	ctx := metadata.AppendToOutgoingContext(within(t), "traceparent", someTrace)
	if _, err := f.log.Append(ctx, request("orders", "1")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.log.Append(ctx, &gestav1.AppendRequest{}); err == nil {
		t.Fatal("an empty request is taken")
	}
	if _, err := f.log.Head(within(t), &gestav1.HeadRequest{Stream: &gestav1.StreamRef{Topic: "orders", Key: "1"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := gestav1.NewTopicsClient(f.conn).GetTopic(ctx, &gestav1.GetTopicRequest{Name: "none"}); err == nil {
		t.Fatal("an unknown topic is found")
	}
	want := []string{
		"commit", "gesta.v1.Log/Append " + someTrace, "gesta.v1.Log/Append " + someTrace + " invalid",
		"gesta.v1.Log/Head ", "gesta.v1.Topics/GetTopic " + someTrace + " not_found",
	}
	if got := r.all(); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if got := f.first(t).GetEvent().GetMetadata()["traceparent"]; got != someTrace {
		t.Errorf("the event has %q", got)
	}
}

func TestReadsAreTraced(t *testing.T) {
	f, r := openTraced(t, 0)
	ctx := metadata.AppendToOutgoingContext(within(t), "traceparent", someTrace)
	s, err := f.log.Read(ctx, topicScope("orders"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if s, err = f.log.Read(ctx, topicScope("none")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err == nil {
		t.Fatal("an unknown topic is read")
	}
	want := []string{"gesta.v1.Log/Read " + someTrace, "gesta.v1.Log/Read " + someTrace + " not_found"}
	if got := r.all(); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// Without a tracer the caller's traceparent is kept all the same.
func TestTheTraceparentIsKeptUntraced(t *testing.T) {
	f := open(t, "orders")
	ctx := metadata.AppendToOutgoingContext(within(t), "traceparent", someTrace)
	if _, err := f.log.Append(ctx, request("orders", "1")); err != nil {
		t.Fatal(err)
	}
	if got := f.first(t).GetEvent().GetMetadata()["traceparent"]; got != someTrace {
		t.Errorf("the event has %q", got)
	}
}

func TestAppendStreamsAreSampled(t *testing.T) {
	for every, want := range map[uint64]int{0: 0, 1: 6, 2: 3, 4: 2} {
		f, r := openTraced(t, every)
		s := f.stream(t)
		for i := range 6 {
			send(t, s, &gestav1.AppendCall{CallId: uint64(i + 1), Request: request("orders", "1")}, &gestav1.AppendCall{CallId: uint64(i + 100), Request: request("orders", "1")})
			replies(t, s, 2)
		}
		if got := r.all(); len(got) != want || want > 0 && got[0] != "gesta.v1.Log/AppendStream " {
			t.Errorf("one in %d: %q", every, got)
		}
	}
}

// Of a traced frame every append that belongs to a trace has a span in it, up to a bound.
func TestATracedFramesAppendsAreInTheirTraces(t *testing.T) {
	f, r := openTraced(t, 1)
	s := f.stream(t)
	var calls []*gestav1.AppendCall
	for i := range 3 * mostTraced {
		q := request("orders", "1")
		if i%2 == 1 {
			q.Streams[0].Events[0].Metadata = map[string]string{"traceparent": fmt.Sprintf("00-%032x-00f067aa0ba902b7-01", i)}
		}
		calls = append(calls, &gestav1.AppendCall{CallId: uint64(i + 1), Request: q})
	}
	send(t, s, calls...)
	replies(t, s, len(calls))
	got := r.all()
	if len(got) != mostTraced {
		t.Fatalf("%d spans", len(got))
	}
	for i, text := range got {
		if want := fmt.Sprintf("gesta.v1.Log/AppendStream 00-%032x-00f067aa0ba902b7-01", 2*i+1); text != want {
			t.Errorf("span %d is %q, want %q", i, text, want)
		}
	}
}
