package http

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/gateway"
)

type notReady struct{ checks []gateway.Check }

func (n notReady) Ready() (bool, []gateway.Check) { return false, n.checks }

func TestPlainRoutes(t *testing.T) {
	f := open(t)
	for path, want := range map[string]string{
		"/": `"metrics": "/metrics"`, "/health": `"status": "ok"`, "/version": `"version": "v1.2.3"`, "/metrics": "gesta_up 1", "/ready": `"ready": true`,
		"/docs": "<!doctype html>", "/docs.js": "openapi.json", "/docs.css": "body", "/openapi.yaml": "openapi: 3.1", "/openapi.json": `"openapi": "3.1`,
	} {
		if a := f.do("HEAD", path, ""); a.StatusCode != 200 {
			t.Errorf("HEAD %s: %d", path, a.StatusCode)
		}
		if a := f.do("GET", path, ""); a.StatusCode != 200 || !strings.Contains(a.body, want) {
			t.Errorf("GET %s: %d %.200s, want 200 with %s", path, a.StatusCode, a.body, want)
		}
	}
}

func TestReadySaysWhyNot(t *testing.T) {
	f := open(t)
	f.door.o.Gateway = notReady{[]gateway.Check{{Name: "leader", OK: true}, {Name: "disk", Reason: "12MiB free"}}}
	if a := f.do("HEAD", "/ready", ""); a.StatusCode != 503 {
		t.Errorf("HEAD: %d", a.StatusCode)
	}
	a := f.do("GET", "/ready", "")
	got := into[readiness](t, a)
	if a.StatusCode != 503 || got.Ready || len(got.Checks) != 2 || got.Checks[1].Reason != "12MiB free" {
		t.Fatalf("got %d %+v", a.StatusCode, got)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	f := open(t)
	for _, c := range []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{"GET", "/nothing", 404, "not_found", ""},
		{"GET", "/v1/streams/a/b", 404, "not_found", ""},
		{"GET", "/a/b/c/d/e/f/g/h/i", 404, "not_found", ""},
		{"POST", "/health", 405, "invalid", "GET, HEAD"},
		{"DELETE", "/metrics", 405, "invalid", "GET, HEAD"},
		{"DELETE", "/v1/streams/a/b/events", 405, "invalid", "GET, HEAD, POST"},
		{"GET", "/v1/commits", 405, "invalid", "POST"},
		{"HEAD", "/v1/topics/a/events", 405, "invalid", "GET, POST"},
		{"HEAD", "/v1/shards/1/events", 405, "invalid", "GET"},
		{"PUT", "/v1/streams/a/b/events", 405, "invalid", "GET, HEAD, POST"},
		{"POST", "/v1/cursors", 405, "invalid", "GET, HEAD"},
		{"POST", "/v1/cursors/c", 405, "invalid", "GET, HEAD, PUT, DELETE"},
		{"PATCH", "/v1/cursors/c", 405, "invalid", "GET, HEAD, PUT, DELETE"},
		{"GET", "/v1/cursors/a/b", 404, "not_found", ""},
	} {
		a := f.do(c.method, c.path, "")
		wantProblem(t, a, c.status, c.code, "")
		if got := a.Header.Get("Allow"); got != c.allow {
			t.Errorf("%s %s allows %q, want %q", c.method, c.path, got, c.allow)
		}
	}
	if a := f.do("OPTIONS", "/v1/commits", ""); a.StatusCode != 204 || a.Header.Get("Allow") != "POST" {
		t.Errorf("OPTIONS: %d, allows %q", a.StatusCode, a.Header.Get("Allow"))
	}
}

func TestGRPCOnTheWrongPort(t *testing.T) {
	a := open(t).do("POST", "/gesta.v1.Log/Append", "", "Content-Type", "application/grpc+proto")
	if !strings.Contains(a.body, "gRPC address") {
		t.Fatalf("no hint: %s", a.body)
	}
}

func TestServeAndClose(t *testing.T) {
	address := open(t).listen(t)
	resp, err := http.Get(address + "/health")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
}

// Before the log is open, health and readiness are all there is.
func TestWhileStarting(t *testing.T) {
	f := open(t, "a")
	f.door.gate.Store(nil)
	p := wantProblem(t, f.do("GET", "/v1/topics", ""), 503, "unavailable", "")
	if p.Details["reason"] != "starting" {
		t.Errorf("%+v", p)
	}
	if a := f.do("GET", "/health", ""); a.StatusCode != 200 {
		t.Error(a.StatusCode)
	}
}

func TestCORS(t *testing.T) {
	const page, stranger = "https://app.example", "https://evil.example"
	f := openWith(t, Settings{CORSOrigins: []string{page}}, "a")
	ask := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type", "Origin"}
	a := f.do("OPTIONS", "/v1/streams/a/k/events", "", append(ask, page)...)
	if a.StatusCode != 204 || a.Header.Get("Access-Control-Allow-Origin") != page || a.Header.Get("Access-Control-Allow-Methods") != "GET, HEAD, POST" ||
		!strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "If-Match") {
		t.Errorf("asked by %s: %d %v", page, a.StatusCode, a.Header)
	}
	if a := f.do("GET", "/v1/topics", "", "Origin", page); a.Header.Get("Access-Control-Allow-Origin") != page || !strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), "ETag") {
		t.Errorf("called by %s: %v", page, a.Header)
	}
	for _, f := range []*fixture{f, open(t, "a")} {
		if a := f.do("OPTIONS", "/v1/streams/a/k/events", "", append(ask, stranger)...); a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("asked by %s: %v", stranger, a.Header)
		}
	}
	any := openWith(t, Settings{CORSOrigins: []string{"*"}}, "a")
	if a := any.do("GET", "/v1/topics", "", "Origin", stranger); a.Header.Get("Access-Control-Allow-Origin") != stranger {
		t.Errorf("everybody may: %v", a.Header)
	}
}
