package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/gesta-db/gesta/internal/cluster"
	grpcdoor "github.com/gesta-db/gesta/internal/door/grpc"
	httpdoor "github.com/gesta-db/gesta/internal/door/http"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/otlp"
	"github.com/gesta-db/gesta/internal/vfs"
)

// Option changes what a node is made of beside its settings.
type Option func(*options)

type options struct {
	version string
	log     *slog.Logger
	fs      vfs.FS
}

// WithVersion says which version runs.
func WithVersion(v string) Option { return func(o *options) { o.version = v } }

// WithLogger sends log lines to l instead of nowhere.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// WithFS keeps the log on another file system than the machine's.
func WithFS(fsys vfs.FS) Option { return func(o *options) { o.fs = fsys } }

// Node is a running server.
type Node struct {
	config   Config
	log      *slog.Logger
	metrics  *metrics
	listen   listeners
	folder   *folder
	engine   *engine
	gate     *gateway.Gateway
	disk     *diskWatch
	grpc     *grpcdoor.Door
	http     *httpdoor.Door
	starting *readiness
	admin    *admin       // nil: none
	push     *otlp.Pusher // nil: not started

	stopWatch    context.CancelFunc
	stopWebhooks context.CancelFunc // set when the node serves
	serving      sync.WaitGroup
	failed       chan error // a door that stopped by itself
	once         sync.Once
	closeErr     error
}

// Start opens the data folder and serves until Close. It returns when appends are taken, or with the first thing that is
// wrong, and then has left nothing open. When ctx ends before, Start gives up.
func Start(ctx context.Context, c Config, with ...Option) (*Node, error) {
	o := options{version: "unknown", log: slog.New(slog.DiscardHandler), fs: vfs.OS()}
	for _, set := range with {
		set(&o)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	n := &Node{config: c, log: o.log, metrics: newMetrics(), failed: make(chan error, 5), starting: newReadiness()}
	if err := n.open(ctx, o); err != nil {
		n.abandon()
		return nil, err
	}
	return n, nil
}

// open goes bottom up: ports, folder, log, gateway, doors. Health and readiness answer from the second step on.
func (n *Node) open(ctx context.Context, o options) (err error) {
	c := &n.config
	tlsConfig, err := c.tlsConfig()
	if err != nil {
		return err
	}
	pushed, err := otlp.FromEnv()
	if err != nil {
		return err
	}
	if n.listen, err = listen(c); err != nil {
		return err
	}
	if n.admin, err = openAdmin(c); err != nil {
		return err
	}
	if n.admin != nil {
		n.serve("admin", n.admin.listener, n.admin.serve)
	}
	hooks, err := c.readWebhooks()
	if err != nil {
		return err
	}
	if n.folder, err = openFolder(o.fs, c.Data, c.Cluster.NodeID); err != nil {
		return err
	}
	n.greet()
	if err := n.startPush(ctx, pushed, o.version); err != nil {
		return err
	}
	n.http = httpdoor.New(httpdoor.Options{
		Gateway: n.starting, Metrics: n.metrics.handler(), TLS: tlsConfig.Clone(), Logger: n.log, Version: func() httpdoor.Version { return n.versionInfo(o.version) }, Settings: c.Web.settings(),
	})
	n.serve("http", n.listen.http, n.http.Serve)
	began := time.Now()
	if n.engine, err = openEngine(n.folder, c, n.listen, n.metrics, n.log, o.version, n.removed); err != nil {
		return err
	}
	if n.engine.peers != nil {
		n.serve("peer", n.listen.peer, n.engine.peers.serve(n.engine.host))
	}
	if err := n.engine.host.Open(ctx); err != nil {
		return err
	}
	n.openGate(o)
	n.grpc = grpcdoor.New(grpcdoor.Options{Gateway: n.gate, TLS: tlsConfig.Clone(), TraceEvery: uint64(c.TraceEvery), Attach: n.attach})
	n.openMetrics(o.version)
	if n.engine.peers == nil {
		// Nobody else can serve: what is true when this returns stays so.
		if err := n.engine.host.Serving(ctx, gateway.FirstShard); err != nil {
			return err
		}
	}
	n.starting.from(n.gate)
	n.http.Open(n.gate)
	n.watch()
	n.startWebhooks(hooks)
	n.serve("grpc", n.listen.grpc, n.grpc.Serve)
	n.log.Info("ready", "grpc", n.Addr(), "http", n.HTTPAddr(), "data", c.Data, "node", n.folder.identity.NodeID,
		"version", o.version, "took", time.Since(began).Round(time.Millisecond).String())
	return nil
}

// greet says what is in force, and what an operator should have meant.
func (n *Node) greet() {
	n.config.logSettings(n.log)
	if n.folder.fresh {
		n.log.Info("a new data folder was made", "data", n.config.Data, "node", n.ID())
	}
	if n.config.exposed() {
		n.log.Warn("listening beyond this machine without TLS: anyone who reaches the port reads and writes everything", "grpc", n.Addr(), "http", n.HTTPAddr())
	}
}

func (n *Node) startPush(ctx context.Context, what otlp.Settings, version string) (err error) {
	n.push, err = otlp.Start(ctx, otlp.Options{Settings: what, Version: version, Node: n.ID(), Metrics: n.metrics.registry, Logger: n.log})
	if err == nil && what.Any() {
		n.log.Info("pushing by OTLP", "traces", what.Traces, "metrics", what.Metrics)
	}
	return err
}

func (n *Node) openGate(o options) {
	i := n.engine.host.Identity()
	group := n.engine.host.Meta()
	n.gate = gateway.New(gateway.Options{
		Shards: n.engine.doors,
		Topics: topicsDoor{group}, Cursors: cursorsDoor{group}, Cluster: n.clusterDoor(), Limits: &n.config.Limits, Listener: n.metrics.gatewayListener(), Tracer: n.push.Tracer(),
		Identity: gateway.Identity{NodeID: i.Node, ClusterID: i.Cluster, Version: o.version, Started: time.Now()},
		Entities: &gateway.EntityOptions{Log: n.engine.doors.log, Logger: n.log.With("part", "entities"), Listener: n.metrics.entityListener(), IDs: newIDs(), Placement: n.engine.host, Ask: n.engine.ask()},
	})
	n.disk = &diskWatch{fs: o.fs, dir: n.config.Data, floor: uint64(n.config.DiskFloor), gate: n.gate, log: n.log}
	if n.engine.peers != nil {
		n.disk.low = n.engine.host.LowDisk
		n.engine.peers.about.Store(n.about)
		n.engine.peers.gate.Store(n.gate)
	}
	n.disk.look()
}

func (n *Node) clusterDoor() clusterDoor {
	return clusterDoor{host: n.engine.host, factor: int(n.config.Cluster.Replication), about: n.about}
}

// about is what the other nodes are told that only the house knows.
func (n *Node) about() cluster.Health {
	h := cluster.Health{Started: n.gate.Started()}
	ready, checks := n.gate.Ready()
	h.Ready = ready
	for _, c := range checks {
		if !c.OK {
			h.Reasons = append(h.Reasons, c.Reason)
		}
	}
	h.Kinds = n.gate.EntityStats().Kinds
	d := n.disk.disk()
	h.Disk = cluster.Disk{Free: d.Free, Floor: d.Floor}
	return h
}

func (n *Node) openMetrics(version string) {
	doors := n.engine.doors
	n.metrics.gauges(gaugeSources{
		version: version, ready: func() bool { ready, _ := n.gate.Ready(); return ready },
		shards: doors.values,
		topics: n.engine.host.Meta().Count, disk: n.disk.disk, connections: n.grpc.Connections, streams: n.grpc.Streams,
		index:    doors.index,
		entities: n.gate.EntityStats,
	})
}

// removed ends the node: the cluster has dropped it.
func (n *Node) removed(err error) {
	select {
	case n.failed <- err:
	default: // it ends already
	}
}

func (n *Node) versionInfo(version string) httpdoor.Version {
	i := n.folder.who()
	return httpdoor.Version{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Node: i.NodeID, Cluster: i.ClusterID}
}

// serve runs a door. One that stops by itself is told to whoever waits on Failed.
func (n *Node) serve(name string, l net.Listener, serve func(net.Listener) error) {
	n.serving.Go(func() {
		if err := serve(l); err != nil {
			n.log.Error("a listener stopped", "door", name, "error", err)
			n.failed <- err
		}
	})
}

// watch looks at the disk and at readiness now and then.
func (n *Node) watch() {
	ctx, stop := context.WithCancel(context.Background())
	n.stopWatch = stop
	n.showReady()
	n.serving.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				n.disk.look()
				n.showReady()
			}
		}
	})
}

func (n *Node) showReady() {
	ready, _ := n.gate.Ready()
	n.grpc.SetReady(ready)
}

// Addr is where gRPC listens, HTTPAddr where HTTP does: with the port that was taken for port 0.
func (n *Node) Addr() string { return n.listen.grpc.Addr().String() }

// HTTPAddr is where HTTP listens.
func (n *Node) HTTPAddr() string { return n.listen.http.Addr().String() }

// AdminAddr is where profiles are served; empty: nowhere.
func (n *Node) AdminAddr() string {
	if n.admin == nil {
		return ""
	}
	return n.admin.listener.Addr().String()
}

// ID is the node's name.
func (n *Node) ID() string { return n.folder.identity.NodeID }

// Failed gives the error of a listener that stopped by itself: then Close is what is left to do.
func (n *Node) Failed() <-chan error { return n.failed }

// Close drains and closes the node: new work is refused, what is under way finishes within the drain timeout or until ctx ends,
// whichever is first, and is cut off then. It returns what went wrong with closing the log; being cut off is not wrong.
func (n *Node) Close(ctx context.Context) error {
	n.once.Do(func() { n.closeErr = n.close(ctx) })
	return n.closeErr
}

func (n *Node) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.config.DrainTimeout)
	defer cancel()
	began := time.Now()
	n.log.Info("draining", "timeout", n.config.DrainTimeout.String())
	n.stopWatch()
	n.gate.Drain()
	n.gate.DrainEntities()
	if err := n.engine.host.Drain(ctx); err != nil {
		n.log.Warn("leadership was not handed over", "error", err)
	}
	if err := n.grpc.Close(ctx); err != nil {
		n.log.Warn("calls were cut off", "error", err)
	}
	if err := n.http.Close(ctx); err != nil {
		n.log.Warn("HTTP requests were cut off", "error", err)
	}
	n.stopWebhooks()
	n.gate.CloseEntities()
	n.admin.close()
	if err := n.push.Close(ctx); err != nil { // before what the metrics are read from is closed
		n.log.Warn("the last traces or metrics were not pushed", "error", err)
	}
	err := n.engine.close(ctx)
	n.serving.Wait() // the peers' listener ends with the engine
	err = errors.Join(err, n.folder.close())
	if err != nil {
		n.log.Error("the log was not closed well", "error", err)
		return err
	}
	n.log.Info("stopped", "took", time.Since(began).Round(time.Millisecond).String())
	return nil
}

// abandon closes what a start that failed has opened.
func (n *Node) abandon() {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if n.stopWatch != nil {
		n.stopWatch()
	}
	if n.http != nil {
		_ = n.http.Close(gone)
	}
	if n.grpc != nil {
		_ = n.grpc.Close(gone)
	}
	if n.listen.grpc != nil && n.listen.http != nil {
		n.listen.close()
	}
	n.admin.close()
	_ = n.push.Close(gone)
	if n.gate != nil {
		n.gate.CloseEntities()
	}
	if n.engine != nil {
		_ = n.engine.close(gone)
	}
	n.serving.Wait()
	if n.folder != nil {
		_ = n.folder.close()
	}
}
