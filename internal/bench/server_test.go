package bench

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/client"
)

// memory is a server with a log in memory that can be told to lie.
type memory struct {
	gestav1.UnimplementedLogServer
	gestav1.UnimplementedTopicsServer
	mu      sync.Mutex
	log     []*gestav1.RecordedEvent
	streams map[string][]*gestav1.RecordedEvent
	lose    int // acknowledges the n-th event without keeping it
	twice   int // keeps the n-th event twice
	refuse  int // refuses the n-th event's commit
	n       int
	called  func() // called with the 50th event
}

func newMemory(t *testing.T) (*memory, Target) {
	m := &memory{streams: map[string][]*gestav1.RecordedEvent{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	gestav1.RegisterLogServer(s, m)
	gestav1.RegisterTopicsServer(s, m)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l) // ends with Stop
	}()
	t.Cleanup(func() { s.Stop(); <-served })
	return m, Target{Client: client.Options{Addrs: []string{l.Addr().String()}}}
}

func (m *memory) AppendStream(s grpc.BidiStreamingServer[gestav1.AppendStreamRequest, gestav1.AppendStreamResponse]) error {
	for {
		in, err := s.Recv()
		if err != nil {
			return nil // the client has gone
		}
		out := &gestav1.AppendStreamResponse{}
		m.mu.Lock()
		for _, call := range in.GetCalls() {
			out.Replies = append(out.Replies, m.append(call))
		}
		m.mu.Unlock()
		if err := s.Send(out); err != nil {
			return err
		}
	}
}

func (m *memory) append(call *gestav1.AppendCall) *gestav1.AppendReply {
	refuse := func(code string) *gestav1.AppendReply {
		return &gestav1.AppendReply{CallId: call.GetCallId(), Outcome: &gestav1.AppendReply_Error{Error: &gestav1.Error{Code: code, Message: "no"}}}
	}
	res := &gestav1.AppendResponse{}
	for _, st := range call.GetRequest().GetStreams() {
		name := st.GetTopic() + "/" + st.GetKey()
		if x, ok := st.GetExpectation().GetRule().(*gestav1.Expectation_Revision); ok && x.Revision != uint64(len(m.streams[name])) {
			return refuse("conflict")
		}
		for _, e := range st.GetEvents() {
			if m.n++; m.n == 50 && m.called != nil {
				m.called()
			}
			if m.n == m.refuse {
				return refuse("invalid")
			}
			if m.n != m.lose {
				m.keep(st, e)
			}
			if m.n == m.twice {
				m.keep(st, e)
			}
		}
		res.Streams = append(res.Streams, &gestav1.StreamOutcome{LastRevision: uint64(len(m.streams[name]))})
	}
	return &gestav1.AppendReply{CallId: call.GetCallId(), Outcome: &gestav1.AppendReply_Response{Response: res}}
}

func (m *memory) keep(st *gestav1.StreamAppend, e *gestav1.Event) {
	name := st.GetTopic() + "/" + st.GetKey()
	rec := &gestav1.RecordedEvent{
		Event: e, Offset: uint64(len(m.log)) + 1, Revision: uint64(len(m.streams[name])) + 1, Topic: st.GetTopic(), Key: st.GetKey(),
	}
	m.log = append(m.log, rec)
	m.streams[name] = append(m.streams[name], rec)
}

func (m *memory) Read(r *gestav1.ReadRequest, s grpc.ServerStreamingServer[gestav1.ReadResponse]) error {
	m.mu.Lock()
	events := m.log
	if st := r.GetStream(); st != nil {
		events = m.streams[st.GetTopic()+"/"+st.GetKey()]
	}
	m.mu.Unlock()
	var from position.Position
	if token, ok := strings.CutPrefix(r.GetFrom(), "pos:"); ok {
		var err error
		if from, err = position.Parse(token); err != nil {
			return err
		}
	}
	out := &gestav1.ReadResponse{Shard: 1, History: 1}
	for _, e := range events {
		if e.GetOffset() <= from.Offset || !strings.HasPrefix(e.GetKey(), r.GetFilter().GetKeyPrefix()) {
			continue
		}
		if out.Events = append(out.Events, e); len(out.GetEvents()) == 100 {
			if err := s.Send(out); err != nil {
				return err
			}
			out = &gestav1.ReadResponse{}
		}
	}
	return s.Send(out)
}

func (m *memory) Head(_ context.Context, r *gestav1.HeadRequest) (*gestav1.HeadResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &gestav1.HeadResponse{
		Revision: uint64(len(m.streams[r.GetStream().GetTopic()+"/"+r.GetStream().GetKey()])),
		Position: position.Position{Shard: 1, History: 1, Offset: uint64(len(m.log))}.String(),
	}, nil
}

func (m *memory) CreateTopic(context.Context, *gestav1.CreateTopicRequest) (*gestav1.CreateTopicResponse, error) {
	return nil, refusal(codes.AlreadyExists, "exists")
}

func (m *memory) GetTopic(_ context.Context, r *gestav1.GetTopicRequest) (*gestav1.GetTopicResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := uint64(0)
	for _, e := range m.log {
		if e.GetTopic() == r.GetName() {
			n++
		}
	}
	if n == 0 {
		return nil, refusal(codes.NotFound, "not_found")
	}
	return &gestav1.GetTopicResponse{Topic: &gestav1.Topic{Name: r.GetName(), Events: n}}, nil
}

func refusal(code codes.Code, reason string) error {
	st, err := status.New(code, "no").WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "gesta"})
	if err != nil {
		panic(err)
	}
	return st.Err()
}

// quick is a run of 60 ms.
func quick(t Target) AppendConfig {
	return AppendConfig{Target: t, Concurrency: 8, Streams: 50, Duration: 50 * time.Millisecond, Warmup: 10 * time.Millisecond}
}

func TestAppendIsVerified(t *testing.T) {
	for name, change := range map[string]func(*AppendConfig){
		"single":           func(*AppendConfig) {},
		"expecting":        func(c *AppendConfig) { c.Expect = true },
		"batches":          func(c *AppendConfig) { c.Batch, c.InFlight, c.Concurrency = 20, 4, 2 },
		"batches expected": func(c *AppendConfig) { c.Batch, c.InFlight, c.Concurrency, c.Expect, c.Streams = 20, 4, 2, true, 3 },
	} {
		_, target := newMemory(t)
		cfg := quick(target)
		change(&cfg)
		res, err := Append(t.Context(), cfg)
		for ; err == nil && res.Events == 0 && cfg.Duration < 10*time.Second; cfg.Duration *= 4 { // on a busy machine
			res, err = Append(t.Context(), cfg)
		}
		if err != nil || !res.Verified || res.Events == 0 || res.Acknowledged < res.Events || res.Failed != 0 || res.Found != res.Acknowledged {
			t.Errorf("%s: %+v %v", name, res, err)
		}
		if res.P50 <= 0 || res.P99 < res.P50 || res.Max < res.P99 || res.EventsPerSecond <= 0 {
			t.Errorf("%s: %+v", name, res)
		}
	}
}

func TestALieIsFound(t *testing.T) {
	for name, lie := range map[string]func(*memory){
		"a lost event":        func(m *memory) { m.lose = 3 },
		"an event kept twice": func(m *memory) { m.twice = 3 },
	} {
		m, target := newMemory(t)
		lie(m)
		res, err := Append(t.Context(), quick(target))
		if err != nil || res.Verified || res.Failed != 0 {
			t.Errorf("%s: %+v %v", name, res, err)
		}
	}
}

func TestFailuresAreCounted(t *testing.T) {
	for _, expect := range []bool{false, true} {
		m, target := newMemory(t)
		m.refuse = 5
		cfg := quick(target)
		cfg.Expect = expect
		res, err := Append(t.Context(), cfg)
		if err != nil || !res.Verified || res.Failed != 1 || res.FirstError == "" {
			t.Errorf("%+v %v", res, err)
		}
	}
}

func TestRead(t *testing.T) {
	m, target := newMemory(t)
	if _, err := Read(t.Context(), ReadConfig{Target: target}); client.CodeOf(err) != client.CodeInvalid {
		t.Errorf("an empty shard: %v", err)
	}
	for range 250 {
		m.keep(&gestav1.StreamAppend{Topic: "t"}, &gestav1.Event{Id: "x", Type: "T", Data: make([]byte, 100)})
	}
	res, err := Read(t.Context(), ReadConfig{Target: target})
	if err != nil || !res.Verified || res.Events != 250 || res.MiBPerSecond <= 0 {
		t.Errorf("%+v %v", res, err)
	}
	m.log = append(m.log[:100:100], m.log[101:]...)
	if res, err := Read(t.Context(), ReadConfig{Target: target}); err != nil || res.Verified {
		t.Errorf("with a gap: %+v %v", res, err)
	}
}

func TestLoad(t *testing.T) {
	m, target := newMemory(t)
	var phases sync.Map
	target.Progress = func(p Phase, _, _ uint64) { phases.Store(p, true) }
	cfg := LoadConfig{Target: target, Streams: 600, Events: 3, Size: 10, Duration: 100 * time.Millisecond, Concurrency: 2}
	res, err := Load(t.Context(), cfg)
	if err != nil || !res.Verified || res.Filled != 1800 || res.Loads == 0 || res.P50 <= 0 {
		t.Errorf("%+v %v", res, err)
	}
	if _, ok := phases.Load(Filling); !ok {
		t.Error("the filling was not reported")
	}
	if res, err = Load(t.Context(), cfg); err != nil || res.Filled != 0 {
		t.Errorf("again: %+v %v", res, err)
	}
	m.mu.Lock()
	for name, events := range m.streams {
		m.streams[name] = events[:2]
	}
	m.mu.Unlock()
	if res, err := Load(t.Context(), cfg); err == nil || res.Verified {
		t.Errorf("with short streams: %+v %v", res, err)
	}
}
