package grpc

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/limits"
)

// Options is what a door is made of.
type Options struct {
	Gateway *gateway.Gateway
	TLS     *tls.Config // nil: plain text
	// TraceEvery traces the appends of one in so many frames of append streams; 0: of none.
	TraceEvery uint64
	// Attach serves an attached handler until its stream ends; nil: none may attach.
	Attach func(who gateway.Caller, frames *Frames) error
}

// Door serves gRPC on one listener.
type Door struct {
	gate   *gateway.Gateway
	server *grpc.Server
	health *health.Server
	attach attachFunc

	draining context.Context // ends when Drain begins
	drain    context.CancelFunc
	once     sync.Once

	connections atomic.Int64
	streams     atomic.Int64

	traceEvery uint64        // 0: no frame is traced
	frames     atomic.Uint64 // counted while frames are traced
}

const (
	// A stream may have this much on its way before it must be read: more than a fast link holds within a round trip.
	streamWindow     = 8 * limits.MiB
	connectionWindow = 16 * limits.MiB
	ioBuffer         = 256 * limits.KiB
	// A peer that is gone without a word is noticed within these two.
	pingAfter = 30 * time.Second
	pingWait  = 15 * time.Second
	// Clients may ping this often; those that ping more often are cut off.
	leastPing = 5 * time.Second
	// A connection carries few long streams; unary callers multiplex, and wait for a place.
	streamsPerConnection = 4096
	// What append streams have sent and the budget does not let in yet waits in their windows: so many of those at most.
	appendsPerConnection = 16
	// A message over the limit, but not over this many times, is read so that it can be refused in our words; a larger one
	// gRPC refuses by itself, unread and without a reason.
	readAnyway = 4
	// frameSlack is what a frame may have beyond the bytes in flight: the frame's own fields.
	frameSlack = 64 * limits.KiB
)

// New gives a door that is not open yet.
func New(o Options) *Door {
	d := &Door{gate: o.Gateway, health: health.NewServer(), attach: o.Attach}
	if d.gate.Traces() {
		d.traceEvery = o.TraceEvery
	}
	d.draining, d.drain = context.WithCancel(context.Background())
	d.server = grpc.NewServer(d.options(o.TLS)...)
	d.server.RegisterService(&logService, d)
	gestav1.RegisterTopicsServer(d.server, topicsServer{door: d})
	d.server.RegisterService(entitiesService(), entitiesServer{door: d})
	d.server.RegisterService(d.runtimeService(), d)
	gestav1.RegisterCursorsServer(d.server, cursorsServer{door: d})
	gestav1.RegisterNodeServer(d.server, nodeServer{door: d})
	gestav1.RegisterClusterServer(d.server, clusterServer{door: d})
	healthv1.RegisterHealthServer(d.server, d.health)
	reflection.Register(d.server)
	d.SetReady(false)
	return d
}

func (d *Door) options(t *tls.Config) []grpc.ServerOption {
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(readAnyway * d.largestFrame()),
		grpc.MaxSendMsgSize(int(limits.GiB)),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(ioBuffer),
		grpc.WriteBufferSize(ioBuffer),
		grpc.MaxConcurrentStreams(streamsPerConnection),
		grpc.NumStreamWorkers(uint32(runtime.GOMAXPROCS(0))),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingWait}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: leastPing, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(d.unary),
	}
	if t != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(t)))
	}
	return options
}

// largestFrame is the most bytes of one message: what a connection may have in flight at once.
func (d *Door) largestFrame() int {
	l := d.gate.Limits()
	return int(max(l.InFlightBytes, int64(l.CommitBytes))) + frameSlack
}

// Serve answers on l until Close; it closes l. It returns nil after Close.
func (d *Door) Serve(l net.Listener) error {
	return d.server.Serve(&listener{Listener: l, door: d})
}

// SetReady is what the health service answers, for the whole server and for gesta.v1.Log.
func (d *Door) SetReady(ready bool) {
	s := healthv1.HealthCheckResponse_NOT_SERVING
	if ready {
		s = healthv1.HealthCheckResponse_SERVING
	}
	d.health.SetServingStatus("", s)
	d.health.SetServingStatus(gestav1.Log_ServiceDesc.ServiceName, s)
}

// Connections tells how many connections are open, Streams how many append streams and reads.
func (d *Door) Connections() int { return int(d.connections.Load()) }

// Streams tells how many append streams and reads are open.
func (d *Door) Streams() int { return int(d.streams.Load()) }

// Close drains: no new connections and calls, append streams end when what they accepted is answered, readers that follow end
// at once; other calls finish. When ctx ends first, what is left is cut off, and Close returns ctx's error.
func (d *Door) Close(ctx context.Context) error {
	d.once.Do(d.health.Shutdown)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		d.server.GracefulStop() // GOAWAY first, so that clients go elsewhere when their streams end
	}()
	d.drain()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		d.server.Stop()
		<-finished
		return ctx.Err()
	}
}
