package http

import (
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

	"github.com/gesta-db/gesta/internal/gateway"
)

type fakeGateway struct{ checks []gateway.Check }

func (f fakeGateway) Ready() (bool, []gateway.Check) {
	for _, c := range f.checks {
		if !c.OK {
			return false, f.checks
		}
	}
	return true, f.checks
}

func testDoor(checks ...gateway.Check) *Door {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "gesta_up 1\n") })
	return New(Options{Gateway: fakeGateway{checks}, Metrics: metrics, Version: Version{Version: "v1.2.3"}, Logger: slog.New(slog.DiscardHandler)})
}

func get(t *testing.T, d *Door, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	d.server.Handler.ServeHTTP(w, r)
	return w.Result(), w.Body.String()
}

func TestRoutes(t *testing.T) {
	d := testDoor(gateway.Check{Name: "leader", OK: true})
	for path, want := range map[string]string{
		"/": `"metrics": "/metrics"`, "/health": `"status": "ok"`, "/version": `"version": "v1.2.3"`, "/metrics": "gesta_up 1", "/ready": `"ready": true`,
	} {
		resp, body := get(t, d, "GET", path)
		if resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("GET %s: %d %s, want 200 with %s", path, resp.StatusCode, body, want)
		}
	}
}

func TestReadySaysWhyNot(t *testing.T) {
	d := testDoor(gateway.Check{Name: "leader", OK: true}, gateway.Check{Name: "disk", Reason: "12MiB free"})
	resp, body := get(t, d, "GET", "/ready")
	var got readiness
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 503 {
		t.Fatalf("status %d, %v: %s", resp.StatusCode, err, body)
	}
	if got.Ready || len(got.Checks) != 2 || got.Checks[1].Reason != "12MiB free" {
		t.Fatalf("got %+v", got)
	}
}

func TestProblems(t *testing.T) {
	d := testDoor()
	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/nothing", 404, "not_found"},
		{"POST", "/health", 405, "invalid"},
		{"DELETE", "/metrics", 405, "invalid"},
	} {
		resp, body := get(t, d, c.method, c.path)
		var p problem
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatalf("%s %s: %v: %s", c.method, c.path, err, body)
		}
		if resp.StatusCode != c.status || p.Status != c.status || string(p.Code) != c.code || p.Detail == "" ||
			resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %+v", c.method, c.path, resp.StatusCode, p)
		}
		if c.status == 405 && resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s %s allows %q", c.method, c.path, resp.Header.Get("Allow"))
		}
	}
}

func TestGRPCOnTheWrongPort(t *testing.T) {
	_, body := get(t, testDoor(), "POST", "/gesta.v1.Log/Append", "Content-Type", "application/grpc+proto")
	if !strings.Contains(body, "gRPC address") {
		t.Fatalf("no hint: %s", body)
	}
}

func TestServeAndClose(t *testing.T) {
	d := testDoor()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.Serve(l) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/health")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := d.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}
