package http

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gesta-db/gesta/internal/gateway"
)

// Gateway is what the door needs before the log is open.
type Gateway interface {
	Ready() (bool, []gateway.Check)
}

// Options is what a door is made of.
type Options struct {
	Gateway Gateway
	Metrics http.Handler
	// Version is asked each time: a new node learns of its cluster while it starts.
	Version  func() Version
	TLS      *tls.Config // nil: plain text
	Logger   *slog.Logger
	Settings Settings // what is zero is the default
	Entities Entities // nil: the gateway
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

// Settings are what a slow or silent peer may cost, and who may call from a browser.
type Settings struct {
	// HeaderTimeout is how long a request's headers may take to come, ReadTimeout how long its body may.
	HeaderTimeout, ReadTimeout time.Duration
	// WriteTimeout is how long an answer may take to be made and taken; of answers that go on, each piece.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may stay without a request.
	IdleTimeout time.Duration
	// Heartbeat is how often a stream of server-sent events says that it is there while nothing happens.
	Heartbeat time.Duration
	// CORSOrigins are the origins whose pages may call, like https://example.org; "*" is every one. By default none may.
	CORSOrigins []string
}

// DefaultSettings gives every setting's default. Appends answer within 10 s, so that an answer has 30 s; proxies mostly cut
// off what is silent for 30 s or a minute, so that the heartbeat is half of that.
func DefaultSettings() Settings {
	return Settings{
		HeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, Heartbeat: 15 * time.Second,
	}
}

func (s Settings) orDefault() Settings {
	d := DefaultSettings()
	for _, f := range []struct{ is, otherwise *time.Duration }{
		{&s.HeaderTimeout, &d.HeaderTimeout}, {&s.ReadTimeout, &d.ReadTimeout}, {&s.WriteTimeout, &d.WriteTimeout},
		{&s.IdleTimeout, &d.IdleTimeout}, {&s.Heartbeat, &d.Heartbeat},
	} {
		if *f.is == 0 {
			*f.is = *f.otherwise
		}
	}
	return s
}

// headerBytes bounds a request's headers: a key of 1 KiB, each byte in percent, and an event's metadata as headers.
const headerBytes = 64 << 10

// Door serves HTTP on one listener.
type Door struct {
	o      Options
	gate   atomic.Pointer[gateway.Gateway]
	routes []route
	server *http.Server

	draining context.Context // ends when Close begins
	drain    context.CancelFunc
	streams  atomic.Int64
}

// New gives a door that does not serve yet. Until Open it answers health and readiness, and the rest with unavailable.
func New(o Options) *Door {
	o.Settings = o.Settings.orDefault()
	d := &Door{o: o}
	d.draining, d.drain = context.WithCancel(context.Background())
	d.routes = d.table()
	d.server = &http.Server{
		// Bodies have deadlines of their own (body.go): net/http's ReadTimeout would also end long answers.
		Handler: d, ReadHeaderTimeout: o.Settings.HeaderTimeout, WriteTimeout: o.Settings.WriteTimeout, IdleTimeout: o.Settings.IdleTimeout,
		MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug), TLSConfig: o.TLS,
		ConnContext: d.withBudget,
	}
	return d
}

// Open lets the log be used through the door.
func (d *Door) Open(g *gateway.Gateway) { d.gate.Store(g) }

// Streams tells how many reads that go on (lines and server-sent events) are open.
func (d *Door) Streams() int { return int(d.streams.Load()) }

// Serve answers on l until Close; it closes l. It returns nil after Close.
func (d *Door) Serve(l net.Listener) error {
	var err error
	if d.o.TLS != nil {
		err = d.server.ServeTLS(l, "", "")
	} else {
		err = d.server.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends reads that follow and lets other requests finish; when ctx ends first they are cut off, and Close returns ctx's
// error.
func (d *Door) Close(ctx context.Context) error {
	d.drain()
	err := d.server.Shutdown(ctx)
	if err != nil {
		_ = d.server.Close()
	}
	return err
}
