package http

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

// Gateway is what the door needs of the gateway.
type Gateway interface {
	Ready() (bool, []gateway.Check)
}

// Options is what a door is made of.
type Options struct {
	Gateway Gateway
	Metrics http.Handler
	Version Version
	TLS     *tls.Config // nil: plain text
	Logger  *slog.Logger
}

// Version says what runs.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Node    string `json:"node_id"`
	Cluster string `json:"cluster_id"`
}

// Door serves HTTP on one listener.
type Door struct {
	o      Options
	server *http.Server
}

// What a slow or silent peer may cost. Answers are small, so the whole of each is bounded.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	headerBytes   = 16 << 10
)

// New gives a door that is not open yet.
func New(o Options) *Door {
	d := &Door{o: o}
	d.server = &http.Server{
		Handler: d.routes(), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return d
}

func (d *Door) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", d.index)
	mux.HandleFunc("GET /health", d.health)
	mux.HandleFunc("GET /ready", d.ready)
	mux.HandleFunc("GET /version", d.version)
	mux.Handle("GET /metrics", d.o.Metrics)
	return answerAll{mux}
}

// answerAll gives paths and methods that are not there a problem document too.
type answerAll struct {
	mux *http.ServeMux
}

func (a answerAll) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if grpcCall(r) {
		writeProblem(w, errs.New(errs.Invalid, "this is the HTTP port, and the call is gRPC: use the gRPC address (by default port 7070)"))
		return
	}
	_, pattern := a.mux.Handler(r)
	if pattern != "" {
		a.mux.ServeHTTP(w, r)
		return
	}
	if allowed := a.methods(r); len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeProblemStatus(w, http.StatusMethodNotAllowed, errs.New(errs.Invalid, "%s does not take %s; it takes %s", r.URL.Path, r.Method, strings.Join(allowed, ", ")), "method not allowed")
		return
	}
	writeProblem(w, errs.New(errs.NotFound, "there is nothing at %s; see / for what there is", r.URL.Path))
}

func grpcCall(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

func (a answerAll) methods(r *http.Request) (allowed []string) {
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = m
		if _, pattern := a.mux.Handler(other); pattern != "" {
			allowed = append(allowed, m)
		}
	}
	return allowed
}

func (d *Door) index(w http.ResponseWriter, _ *http.Request) {
	respond(w, http.StatusOK, map[string]string{
		"health": "/health", "ready": "/ready", "version": "/version", "metrics": "/metrics",
	})
}

func (d *Door) health(w http.ResponseWriter, _ *http.Request) {
	respond(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readiness is the answer of /ready.
type readiness struct {
	Ready  bool            `json:"ready"`
	Checks []gateway.Check `json:"checks"`
}

func (d *Door) ready(w http.ResponseWriter, _ *http.Request) {
	ready, checks := d.o.Gateway.Ready()
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
	}
	respond(w, status, readiness{ready, checks})
}

func (d *Door) version(w http.ResponseWriter, _ *http.Request) {
	respond(w, http.StatusOK, d.o.Version)
}

// Serve answers on l until Close; it closes l. It returns nil after Close.
func (d *Door) Serve(l net.Listener) error {
	if d.o.TLS != nil {
		l = tls.NewListener(l, d.o.TLS)
	}
	err := d.server.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close lets requests finish; when ctx ends first they are cut off, and Close returns ctx's error.
func (d *Door) Close(ctx context.Context) error {
	err := d.server.Shutdown(ctx)
	if err != nil {
		_ = d.server.Close()
	}
	return err
}
