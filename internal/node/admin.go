package node

import (
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

// observeFields are the settings for looking into a node that runs. What is pushed to a collector is set by OpenTelemetry's own
// variables (package otlp).
func observeFields() []Field {
	return []Field{
		text(Field{Name: "admin", Kind: Address, Help: "where profiles are served (/debug/pprof), in plain text; none: nowhere. Beyond loopback only with insecure; port 0 takes a free one",
			Reason: "a profile shows the inside of the process, and taking one costs time"},
			func(c *Config) *string { return &c.Admin }),
		count(Field{Name: "trace.stream_every", Default: "1000", Help: "while traces are pushed, the appends of one in so many frames of append streams are traced; 0: of none",
			Reason: "a frame holds up to hundreds of appends, and a span for each would cost more than the append"},
			func(c *Config) *int64 { return &c.TraceEvery }),
	}
}

func (c *Config) checkAdmin() error {
	if c.Admin == "" {
		return nil
	}
	if err := checkAddress("admin", c.Admin); err != nil {
		return err
	}
	if !loopback(c.Admin) && !c.Insecure {
		return refuse("admin", "is %s, which others can reach, and profiles are served in plain text to anyone: listen on 127.0.0.1, or pass --insecure to accept that", c.Admin)
	}
	if (c.Admin == c.GRPC || c.Admin == c.HTTP) && !freePort(c.Admin) {
		return refuse("admin", "is %s, where grpc or http listens; each needs its own port", c.Admin)
	}
	return nil
}

func freePort(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	return err == nil && port == "0"
}

// admin serves profiles while the node runs. A nil one serves nothing.
type admin struct {
	listener net.Listener
	server   *http.Server
}

func openAdmin(c *Config) (*admin, error) {
	if c.Admin == "" {
		return nil, nil
	}
	l, err := listenOn("admin", c.Admin)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index) // and the named ones: heap, goroutine, …
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	// A profile takes as long as it was asked to, so that answers have no time limit.
	return &admin{l, &http.Server{Handler: ownHost(mux), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}}, nil
}

// ownHost refuses what a page of another site asks through a browser on this machine, by a name that it has pointed here.
func ownHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host, _, err := net.SplitHostPort(r.Host); err == nil && host != "localhost" && net.ParseIP(host) == nil {
			http.Error(w, "profiles are asked for by address, not by a name", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *admin) serve(l net.Listener) error {
	if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return errs.New(errs.Internal, "the admin listener failed: %w", err)
	}
	return nil
}

// close cuts off what is under way.
func (a *admin) close() {
	if a != nil {
		_, _ = a.server.Close(), a.listener.Close()
	}
}
