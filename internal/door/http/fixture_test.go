package http

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/limits"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(whole{m}) }

// longEnough is how long a test waits for what must come.
const longEnough = 10 * time.Second

// fixture is a door over a gateway with a shard in memory.
type fixture struct {
	door    *Door
	gate    *gateway.Gateway
	shard   *gatewaytest.Shard
	topics  *gatewaytest.Topics
	cursors *gatewaytest.Cursors
	limits  *limits.Limits
	bank    *bank
	t       testing.TB
}

func open(t testing.TB, topics ...string) *fixture { return openWith(t, Settings{}, topics...) }

func openWith(t testing.TB, s Settings, topics ...string) *fixture {
	t.Helper()
	l := limits.Default()
	return openOver(t, s, gatewaytest.NewShard(), &l, topics...)
}

// openOver is for shards that do more than the one in memory.
func openOver(t testing.TB, s Settings, shard gateway.Shard, l *limits.Limits, topics ...string) *fixture {
	t.Helper()
	f := &fixture{t: t, topics: gatewaytest.NewTopics(topics...), cursors: gatewaytest.NewCursors(), limits: l, bank: &bank{}}
	f.shard, _ = shard.(*gatewaytest.Shard)
	f.gate = gateway.New(gateway.Options{Shards: gatewaytest.Only(shard), Topics: f.topics, Cursors: f.cursors, Cluster: gatewaytest.NewCluster("n1", "n2", "n3"), Limits: l, Identity: gateway.Identity{NodeID: "n1", ClusterID: "c1", Version: "v1.2.3", Started: time.Now()}})
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, "gesta_up 1\n")
	})
	f.door = New(Options{Gateway: f.gate, Metrics: metrics, Version: func() Version {
		return Version{Version: "v1.2.3", Go: "go1", OS: "linux", Arch: "amd64", Node: "n1", Cluster: "c1"}
	}, Logger: slog.New(slog.DiscardHandler), Settings: s, Entities: f.bank})
	f.door.Open(f.gate)
	return f
}

// listen serves the door on loopback and gives its address; the door is closed with the test.
func (f *fixture) listen(t testing.TB) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- f.door.Serve(l) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), longEnough)
		defer cancel()
		if err := f.door.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

// answer is a response, read whole.
type answer struct {
	*http.Response
	body string
}

// do sends a request to the door, and holds the answer against the contract. After the body come headers, name and value.
func (f *fixture) do(method, path, body string, headers ...string) answer {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.door.ServeHTTP(w, r)
	a := answer{w.Result(), w.Body.String()}
	if why := theContract().check(f.pattern(r), method, r.Header.Get("Content-Type"), body, r.Header.Get("Ce-Type") != "", a); why != "" {
		f.t.Error(why)
	}
	return a
}

func (f *fixture) pattern(r *http.Request) string {
	if found := f.door.find(&call{Request: r}); found != nil {
		return found.pattern
	}
	return ""
}

// post sends own JSON.
func (f *fixture) post(t testing.TB, path, body string, headers ...string) answer {
	t.Helper()
	return f.do("POST", path, body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

// must appends, and fails the test when that fails.
func (f *fixture) must(t testing.TB, path, body string, headers ...string) outcome {
	t.Helper()
	a := f.post(t, path, body, headers...)
	if a.StatusCode != 201 {
		t.Fatalf("POST %s %s: %d %s", path, body, a.StatusCode, a.body)
	}
	return into[outcome](t, a)
}

// outcome is the answer to an append.
type outcome struct {
	Streams []struct {
		Topic         string `json:"topic"`
		Key           string `json:"key"`
		FirstRevision uint64 `json:"first_revision"`
		LastRevision  uint64 `json:"last_revision"`
		FirstOffset   uint64 `json:"first_offset"`
		LastOffset    uint64 `json:"last_offset"`
	} `json:"streams"`
	Position      string   `json:"position"`
	Repeated      bool     `json:"repeated"`
	CreatedTopics []string `json:"created_topics"`
}

// pageOfEvents is the answer to a read.
type pageOfEvents struct {
	Events   []ownEvent `json:"events"`
	Position string     `json:"position"`
	Next     string     `json:"next"`
	Resolved uint64     `json:"resolved_offset"`
}

// ownEvent is an event as the door writes it.
type ownEvent struct {
	Offset        uint64            `json:"offset"`
	Revision      uint64            `json:"revision"`
	Topic         string            `json:"topic"`
	Key           string            `json:"key"`
	ID            string            `json:"id"`
	Type          string            `json:"type"`
	SchemaVersion uint32            `json:"schema_version"`
	RecordedTime  time.Time         `json:"recorded_time"`
	Time          time.Time         `json:"time"`
	Source        string            `json:"source"`
	Metadata      map[string]string `json:"metadata"`
	Tags          []string          `json:"tags"`
	ContentType   string            `json:"content_type"`
	Data          json.RawMessage   `json:"data"`
	DataBase64    []byte            `json:"data_base64"`
}

func into[T any](t testing.TB, a answer) (v T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %d %s", err, a.StatusCode, a.body)
	}
	return v
}

func (f *fixture) page(t testing.TB, path string, headers ...string) (pageOfEvents, answer) {
	t.Helper()
	a := f.do("GET", path, "", headers...)
	if a.StatusCode != 200 {
		t.Fatalf("GET %s: %d %s", path, a.StatusCode, a.body)
	}
	return into[pageOfEvents](t, a), a
}

func wantProblem(t testing.TB, a answer, status int, code, field string) problem {
	t.Helper()
	if a.Header.Get("Content-Type") != problemType {
		t.Fatalf("no problem document: %d %s", a.StatusCode, a.body)
	}
	p := into[problem](t, a)
	if a.StatusCode != status || p.Status != status || string(p.Code) != code || p.Field != field || p.Detail == "" || p.Title == "" {
		t.Errorf("got %d %+v; want %d %s, field %q", a.StatusCode, p, status, code, field)
	}
	return p
}

// sseEvent is a server-sent event; comment is true for a comment alone.
type sseEvent struct {
	name, id, data string
	comment        bool
}

// sse reads server-sent events of one connection.
type sse struct {
	resp   *http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

func subscribe(t testing.TB, address, lastID string) *sse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longEnough)
	r, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/event-stream" {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("%d %s: %s", resp.StatusCode, got, body)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 8<<20)
	return &sse{resp, lines, cancel}
}

// next gives the next event; ok is false at the end.
func (s *sse) next() (e sseEvent, ok bool) {
	some := false
	for s.lines.Scan() {
		line := s.lines.Text()
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && some:
			return e, true
		case line == "":
			continue
		case name == "":
			e.comment = true
		case name == "event":
			e.name = value
		case name == "id":
			e.id = value
		case name == "data":
			e.data = value
		}
		some = name != "retry" || some
	}
	return e, false
}

func (s *sse) close() {
	s.cancel()
	_ = s.resp.Body.Close()
}

// newPipe gives a body that has begun and does not go on until it is closed.
func newPipe() (body io.Reader, closeIt func()) {
	r, w := io.Pipe()
	go func() { _, _ = io.WriteString(w, `{"events":`) }()
	return r, func() { _, _ = w.Close(), r.Close() }
}
