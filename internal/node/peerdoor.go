package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/cluster"
	"github.com/gesta-db/gesta/internal/door/peer"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
)

// peers is the way to the other nodes, and what answers them.
type peers struct {
	transport *peer.Transport
	host      *cluster.Host
	about     about // what only the house knows of this node
	gate      atomic.Pointer[gateway.Gateway]
}

func newPeers(c *Config, f *folder, log *slog.Logger, version string) (*peers, error) {
	p := &peers{}
	secret, err := c.peerTLS()
	if err != nil {
		return nil, err
	}
	i := f.identity
	p.transport, err = peer.New(peer.Options{
		Self:     peer.Self{Cluster: i.ClusterID, Node: i.NodeID, Incarnation: i.Incarnation, Feature: cluster.Feature, Version: version},
		Resolver: func(id uint64) (string, bool) { return p.host.Addr(id) },
		Handler:  p, TLS: secret, Limits: &c.Limits, Logger: log.With("part", "peers"),
		Level: func() uint32 { return p.host.Level() },
		Admit: func(from peer.Peer) error { return p.host.Admit(from.Node, from.Incarnation) },
	})
	return p, err
}

// about is asked once there is a gateway.
type about struct {
	ask atomic.Pointer[func() cluster.Health]
}

// Store sets whom to ask.
func (a *about) Store(ask func() cluster.Health) { a.ask.Store(&ask) }

func (a *about) load() cluster.Health {
	if ask := a.ask.Load(); ask != nil {
		return (*ask)()
	}
	return cluster.Health{}
}

// peerTLS is how nodes prove to each other who they are; nil without certificates for it.
func (c *Config) peerTLS() (*tls.Config, error) {
	if c.Cluster.PeerCA == "" {
		return nil, nil
	}
	pair, err := c.certificate()
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(c.Cluster.PeerCA)
	if err != nil {
		return nil, refuse("tls.peer_ca", "cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, refuse("tls.peer_ca", "is %s, which holds no certificate in PEM", c.Cluster.PeerCA)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}, nil
}

// serve answers peers for a host.
func (p *peers) serve(h *cluster.Host) func(net.Listener) error {
	p.host = h
	return p.transport.Serve
}

func (p *peers) close(ctx context.Context) error { return p.transport.Close(ctx) }

// Deliver passes messages on to their group.
func (p *peers) Deliver(group uint32, ms []*raftpb.Message) { p.host.Deliver(group, ms) }

// Unreachable passes on that messages may be lost.
func (p *peers) Unreachable(group uint32, to uint64) { p.host.Unreachable(group, to) }

// Health is what the others hear of this node; what they say of themselves is noted at the same pace.
func (p *peers) Health() []byte {
	for _, s := range p.transport.Peers() {
		if s.Health != nil {
			p.host.Heard(s.Incarnation, s.Health, s.HealthAt, cluster.Link{Connected: s.Connected, RoundTrip: s.RoundTrip, ClockOffset: s.ClockOffset})
		}
	}
	return p.host.Health(p.about.load())
}

// Call answers a question.
func (p *peers) Call(ctx context.Context, _ peer.Peer, method string, body []byte) ([]byte, error) {
	answer, handled, err := p.host.Call(ctx, method, body)
	if !handled {
		answer, handled, err = peer.AnswerShard(ctx, p.shard, method, body)
	}
	if gate := p.gate.Load(); !handled && gate != nil {
		answer, handled, err = gate.AnswerPeer(ctx, method, body)
	}
	if !handled {
		return nil, errs.New(errs.Unsupported, "this node does not know the question %s: it may run an older version", method)
	}
	return answer, err
}

// shard is a replica here, for who has none.
func (p *peers) shard(number uint32) (peer.LocalShard, error) {
	return shardDoor{Route: p.host.Route(number)}.local()
}

// Submit takes commits for a shard that is led here.
func (p *peers) Submit(_ peer.Peer, shard uint32, calls []*event.Call) { p.host.Submit(shard, calls) }

// Read reads from the replica here.
func (p *peers) Read(ctx context.Context, _ peer.Peer, shard uint32, spec event.ReadSpec) (event.Reader, error) {
	return p.host.Read(ctx, shard, spec)
}

// SnapshotLost passes on that an offer of segments, or of the meta group's state, did not arrive.
func (p *peers) SnapshotLost(group uint32, to uint64) { p.host.SnapshotLost(group, to) }

// Open opens a sealed segment of a shard here.
func (p *peers) Open(_ context.Context, group uint32, name string) (peer.Source, error) {
	f, err := p.host.OpenFile(group, name)
	if err != nil {
		return nil, err
	}
	return segmentFile{f}, nil
}

// segmentFile is a segment in the words of the peers' door.
type segmentFile struct{ *cluster.File }

// Size is that of the file.
func (s segmentFile) Size() int64 { return s.Bytes }

// Identity tells this content from any other under the name.
func (s segmentFile) Identity() []byte { return s.Digest[:] }

// wire is the transport in the host's words.
type wire struct{ *peer.Transport }

// Fetch reads a file piece by piece.
func (w wire) Fetch(ctx context.Context, to uint64, group uint32, name string, from int64, take func([]byte) error) error {
	f, err := w.Transport.Fetch(ctx, to, group, name, peer.Resume{Offset: from})
	if err != nil {
		return err
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, f.Close)
	defer stop()
	for {
		piece, err := f.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := take(piece); err != nil {
			return err
		}
	}
}
