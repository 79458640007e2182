package peer

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/internal/errs"
)

// server is the transport as peers see it.
type server struct {
	peerv1.UnimplementedPeerServer
	t *Transport
}

func (t *Transport) newServer() *grpc.Server {
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(t.largestFrame()),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(bulkBuffer),
		grpc.WriteBufferSize(bulkBuffer),
		grpc.MaxConcurrentStreams(streamsPerConnection),
		grpc.ConnectionTimeout(handshakeWait),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Second, Timeout: pingWait}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingAfter / 2, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(t.unary),
		grpc.StreamInterceptor(t.stream),
	}
	if t.o.TLS != nil {
		options = append(options, grpc.Creds(serverCredentials(t.o.TLS)))
	}
	s := grpc.NewServer(options...)
	peerv1.RegisterPeerServer(s, server{t: t})
	return s
}

// callerKey is where a context keeps the Peer that calls.
type callerKey struct{}

func caller(ctx context.Context) Peer {
	p, _ := ctx.Value(callerKey{}).(Peer)
	return p
}

// unary is around every call.
func (t *Transport) unary(ctx context.Context, q any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	from, err := t.welcome(ctx, true)
	if err != nil {
		return nil, toStatus(err)
	}
	a, err := next(context.WithValue(ctx, callerKey{}, from), q)
	return a, toStatus(err)
}

// stream is around every stream.
func (t *Transport) stream(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	from, err := t.welcome(s.Context(), false)
	if err == nil && t.draining.Err() != nil {
		err = t.errDraining()
	}
	if err != nil {
		return toStatus(err)
	}
	return toStatus(next(srv, greeted{s, context.WithValue(s.Context(), callerKey{}, from)}))
}

// greeted is a stream whose context knows who calls.
type greeted struct {
	grpc.ServerStream
	ctx context.Context
}

func (g greeted) Context() context.Context { return g.ctx }

// accept tells the peer that its stream was accepted, and by whom. A refusal has no header.
func (t *Transport) accept(s grpc.ServerStream) error {
	return s.SendHeader(t.header(caller(s.Context()).Incarnation))
}

func (t *Transport) errDraining() *errs.Error {
	return errs.New(errs.Unavailable, "node %s takes on nothing more, because it stops; try again, or another node", t.o.Self.Node).With(reason, "draining")
}
