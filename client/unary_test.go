package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

func (f *fake) CreateTopic(_ context.Context, r *gestav1.CreateTopicRequest) (*gestav1.CreateTopicResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.refuseRead) > 0 {
		err := f.refuseRead[0]
		f.refuseRead = f.refuseRead[1:]
		return nil, err
	}
	f.topics = append(f.topics, r.GetName())
	slices.Sort(f.topics)
	return &gestav1.CreateTopicResponse{Topic: &gestav1.Topic{Name: r.GetName(), Shard: 1}}, nil
}

func (f *fake) ListTopics(_ context.Context, r *gestav1.ListTopicsRequest) (*gestav1.ListTopicsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &gestav1.ListTopicsResponse{}
	for _, name := range f.topics {
		if name <= r.GetAfter() || !strings.HasPrefix(name, r.GetPrefix()) {
			continue
		}
		if len(m.GetTopics()) == 2 {
			m.More = true
			break
		}
		m.Topics = append(m.Topics, &gestav1.Topic{Name: name})
	}
	return m, nil
}

// ListStreams has the streams "", "a", "b", one to a page.
func (f *fake) ListStreams(_ context.Context, r *gestav1.ListStreamsRequest) (*gestav1.ListStreamsResponse, error) {
	keys := []string{"", "a", "b"}
	i := 0
	for r.GetHasAfter() && i < len(keys) && keys[i] <= r.GetAfter() {
		i++
	}
	return &gestav1.ListStreamsResponse{Streams: []*gestav1.Stream{{Key: keys[i], Revision: uint64(i)}}, More: i < 2}, nil
}

func (f *fake) GetTopic(context.Context, *gestav1.GetTopicRequest) (*gestav1.GetTopicResponse, error) {
	return nil, failure(codes.NotFound, "not_found", "no such topic", nil)
}

func (f *fake) DeleteTopic(context.Context, *gestav1.DeleteTopicRequest) (*gestav1.DeleteTopicResponse, error) {
	return nil, failure(codes.Aborted, "conflict", "it has events", nil)
}

func (f *fake) Status(context.Context, *gestav1.StatusRequest) (*gestav1.StatusResponse, error) {
	return &gestav1.StatusResponse{
		NodeId: "n1", Uptime: durationpb.New(time.Minute), Ready: true, Shards: []*gestav1.ShardStatus{{Shard: 1, Role: "leader", LastOffset: 9}},
	}, nil
}

func TestTopicsAndStreams(t *testing.T) {
	c := newClient(t, Options{}, newFake(t))
	ctx := t.Context()
	for _, name := range []string{"c", "a", "b", "ab", "d"} {
		if topic, err := c.CreateTopic(ctx, name); err != nil || topic.Name != name || !topic.Created.IsZero() {
			t.Errorf("%+v %v", topic, err)
		}
	}
	var names, keys []string
	for topic, err := range c.Topics(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, topic.Name)
	}
	if !slices.Equal(names, []string{"a", "ab", "b", "c", "d"}) {
		t.Errorf("topics %v", names)
	}
	for topic, err := range c.Topics(ctx, "a") {
		if err != nil || topic.Name != "a" {
			t.Errorf("%+v %v", topic, err)
		}
		break
	}
	for s, err := range c.Streams(ctx, "t", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, s.Key)
	}
	if !slices.Equal(keys, []string{"", "a", "b"}) {
		t.Errorf("streams %q", keys)
	}
	if _, err := c.Topic(ctx, "x"); CodeOf(err) != CodeNotFound {
		t.Error(err)
	}
	if err := c.DeleteTopic(ctx, "x"); CodeOf(err) != CodeConflict {
		t.Error(err)
	}
	s, err := c.Status(ctx)
	if err != nil || s.NodeID != "n1" || s.Addr != c.nodes.all[0].addr || s.Uptime != time.Minute || s.Shards[0].LastOffset != 9 {
		t.Errorf("%+v %v", s, err)
	}
}

func TestUnaryRetries(t *testing.T) {
	f := newFake(t)
	c := newClient(t, Options{}, f)
	busy := failure(codes.ResourceExhausted, "busy", "later", nil)
	f.refuseRead = []error{busy, busy, failure(codes.Unavailable, "no_leader", "wait", nil)}
	if h, err := c.Head(t.Context(), "t", "k"); err != nil || h.Position != "p" {
		t.Errorf("%+v %v", h, err)
	}
	f.refuseRead = []error{status.Error(codes.Unavailable, "the wire was cut")}
	if _, err := c.CreateTopic(t.Context(), "a"); CodeOf(err) != CodeUnknownOutcome {
		t.Errorf("a write whose answer was lost: %v", err)
	}
	f.refuseRead = []error{status.Error(codes.Unavailable, "the wire was cut")}
	if _, err := c.Head(t.Context(), "t", "k"); err != nil {
		t.Errorf("a read whose answer was lost: %v", err)
	}
	for range 1000 {
		f.refuseRead = append(f.refuseRead, busy)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	if _, err := c.Head(ctx, "t", "k"); CodeOf(err) != CodeBusy || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("busy to the end: %v", err)
	}
}

// everyCall makes one call of each kind and wants the hint in all errors, soon.
func everyCall(t *testing.T, name string, o Options, sign string) {
	t.Helper()
	c := newClient(t, o)
	began := time.Now()
	_, appended := c.Append(t.Context(), Append{Topic: "t", Events: one("a")})
	_, started := c.Start(t.Context(), []Append{{Topic: "t", Events: one("a")}}).Wait(t.Context())
	_, read := c.Read(t.Context(), ShardScope(1), ReadOptions{}).Next()
	_, asked := c.Status(t.Context())
	_, created := c.CreateTopic(t.Context(), "t")
	for i, err := range []error{appended, started, read, asked, created} {
		if err == nil || !strings.Contains(err.Error(), sign) || CodeOf(err) == CodeUnknownOutcome {
			t.Errorf("%s, call %d: %v", name, i, err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%s: took %v to say so", name, took)
	}
}

func TestHints(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	everyCall(t, "an HTTP port", Options{Addrs: []string{web.Listener.Addr().String()}}, "looks like an HTTP port")

	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	everyCall(t, "a TLS port", Options{Addrs: []string{secure.Listener.Addr().String()}}, "TLS")
	known := httptest.NewUnstartedServer(http.NotFoundHandler())
	known.EnableHTTP2 = true
	known.StartTLS()
	defer known.Close()
	everyCall(t, "an unknown authority", Options{Addrs: []string{known.Listener.Addr().String()}, TLS: &tls.Config{}}, "--tls-ca")

	f := newFake(t)
	everyCall(t, "no TLS there", Options{Addrs: []string{f.addr}, TLS: &tls.Config{InsecureSkipVerify: true}}, "does not speak TLS")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	everyCall(t, "nobody there", Options{Addrs: []string{l.Addr().String()}}, "gesta serve")

	other := grpc.NewServer()
	l, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = other.Serve(l) }()
	defer func() { other.Stop(); <-served }()
	everyCall(t, "another gRPC server", Options{Addrs: []string{l.Addr().String()}}, "gesta version")
}

func TestTokenAndTLS(t *testing.T) {
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS()
	defer web.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{heads: map[string]uint64{}, ids: map[string]uint64{}, more: make(chan struct{})}
	f.serve(t, l, grpc.Creds(credentials.NewServerTLSFromCert(&web.TLS.Certificates[0])))
	trust := web.Client().Transport.(*http.Transport).TLSClientConfig
	c := newClient(t, Options{TLS: trust, Token: "secret"}, f)
	if _, err := c.Append(t.Context(), Append{Topic: "t", Events: one("a")}); err != nil {
		t.Fatal(err)
	}
	if got := f.meta.Get("authorization"); len(got) != 1 || got[0] != "Bearer secret" {
		t.Errorf("the server saw %q", got)
	}
	f = newFake(t)
	c = newClient(t, Options{Token: "secret"}, f)
	if _, err := c.Append(t.Context(), Append{Topic: "t", Events: one("a")}); err != nil || len(f.meta.Get("authorization")) != 1 {
		t.Errorf("to loopback in plain text: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{
		{Addrs: []string{"localhost"}}, {Addrs: []string{"a:1", ""}}, {Addrs: []string{"example.com:7070"}, Token: "secret"},
	} {
		if _, err := New(o); CodeOf(err) != CodeInvalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
	c, err := New(Options{})
	if err != nil || c.nodes.all[0].addr != DefaultAddr || c.Close() != nil {
		t.Error(err)
	}
}
