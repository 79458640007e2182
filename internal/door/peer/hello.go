package peer

import (
	"context"
	"strconv"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/internal/errs"
)

// The versions of the protocol that this release speaks.
const (
	protocol       = 1
	oldestProtocol = 1
)

// helloHeader holds a Hello, in both directions.
const helloHeader = "gesta-hello-bin"

// hello is what this node says of itself to an incarnation; 0: to whoever answers.
func (t *Transport) hello(to uint64) *peerv1.Hello {
	self := t.self.Load()
	return &peerv1.Hello{
		Protocol: protocol, OldestProtocol: oldestProtocol, Cluster: self.Cluster, Node: self.Node, Incarnation: self.Incarnation,
		Addressee: to, Feature: self.Feature, Level: t.level(), Version: self.Version,
	}
}

func (t *Transport) level() uint32 {
	if t.o.Level == nil {
		return 0
	}
	return t.o.Level()
}

func (t *Transport) header(to uint64) metadata.MD {
	b, err := proto.Marshal(t.hello(to))
	if err != nil {
		return nil // a node id that is not UTF-8; the other side refuses
	}
	return metadata.MD{helloHeader: []string{string(b)}}
}

// addressed is ctx with this node's hello to an incarnation.
func (t *Transport) addressed(ctx context.Context, to uint64) context.Context {
	return metadata.NewOutgoingContext(ctx, t.header(to))
}

// helloOf reads the hello of a header.
func helloOf(md metadata.MD) (*peerv1.Hello, error) {
	told := md.Get(helloHeader)
	h := new(peerv1.Hello)
	if len(told) != 1 || proto.Unmarshal([]byte(told[0]), h) != nil || h.GetIncarnation() == 0 {
		return nil, refusal(errs.Invalid, "protocol", "this is the port for the cluster's nodes, and a call without a node's hello came: clients connect to the other one")
	}
	return h, nil
}

// reason is the detail that says what about a peer was refused.
const reason = "reason"

func refusal(c errs.Code, why, format string, args ...any) *errs.Error {
	return errs.New(c, format, args...).With(reason, why)
}

// accepts tells whether this node and one that says h belong together. Open calls need no cluster yet.
func (t *Transport) accepts(h *peerv1.Hello, open bool) error {
	self := t.self.Load()
	switch {
	case h.GetProtocol() < oldestProtocol || h.GetOldestProtocol() > protocol:
		return refusal(errs.Unsupported, "protocol", "node %s (%s) speaks versions %d to %d of the nodes' protocol and node %s (%s) %d to %d: upgrade the older one, one release at a time",
			h.GetNode(), h.GetVersion(), h.GetOldestProtocol(), h.GetProtocol(), self.Node, self.Version, oldestProtocol, protocol)
	case h.GetCluster() != self.Cluster && !(open && (h.GetCluster() == "" || self.Cluster == "")):
		return refusal(errs.Forbidden, "cluster", "node %s is of cluster %q and node %s of %q: correct the addresses of the members", h.GetNode(), h.GetCluster(), self.Node, self.Cluster)
	case !open && h.GetFeature() < t.level():
		return refusal(errs.Unsupported, "feature", "the cluster runs at feature level %d and node %s (%s) knows levels up to %d: upgrade that node", t.level(), h.GetNode(), h.GetVersion(), h.GetFeature())
	case !open && h.GetLevel() > self.Feature:
		return refusal(errs.Unsupported, "feature", "the cluster runs at feature level %d and node %s (%s) knows levels up to %d: upgrade that node", h.GetLevel(), self.Node, self.Version, self.Feature)
	}
	return nil
}

// meant tells whether this node is the one that h addresses.
func (t *Transport) meant(h *peerv1.Hello, open bool) error {
	self := t.self.Load()
	if to := h.GetAddressee(); to != self.Incarnation && !(open && to == 0) {
		return refusal(errs.Gone, "addressee", "incarnation %s is not here: this is node %s, incarnation %s", hex(to), self.Node, hex(self.Incarnation)).With("incarnation", hex(self.Incarnation))
	}
	return nil
}

// hex is how people see an incarnation.
func hex(incarnation uint64) string { return strconv.FormatUint(incarnation, 16) }

// welcome checks who calls, and notes and counts a refusal. Open is true for calls, which may come before there is a cluster.
func (t *Transport) welcome(ctx context.Context, open bool) (Peer, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	h, err := helloOf(md)
	if err == nil {
		err = t.accepts(h, open)
	}
	if err == nil {
		err = t.meant(h, open)
	}
	from := peerOf(ctx, h)
	if err == nil && from.Addressed && t.o.Admit != nil {
		if err = t.o.Admit(from); err != nil {
			err = errs.As(err).With(reason, "admission")
		}
	}
	if err != nil {
		t.turnedAway(from, err)
	}
	return from, err
}

func (t *Transport) turnedAway(from Peer, err error) {
	why := errs.As(err).Details[reason]
	if told := t.o.Listener.Refused; told != nil {
		told(why)
	}
	t.once.warn(why+" "+from.Node+" "+hex(from.Incarnation), "a node was refused", "node", from.Node, "incarnation", hex(from.Incarnation), "addr", from.Addr, "error", err)
}

func peerOf(ctx context.Context, h *peerv1.Hello) Peer {
	p := Peer{
		Cluster: h.GetCluster(), Node: h.GetNode(), Incarnation: h.GetIncarnation(), Addressed: h.GetAddressee() != 0,
		Feature: h.GetFeature(), Level: h.GetLevel(), Version: h.GetVersion(),
	}
	if conn, ok := grpcpeer.FromContext(ctx); ok {
		p.Addr, p.Name = conn.Addr.String(), certificateName(conn.AuthInfo)
	}
	return p
}

func certificateName(info credentials.AuthInfo) string {
	t, ok := info.(credentials.TLSInfo)
	if !ok || len(t.State.VerifiedChains) == 0 {
		return ""
	}
	return t.State.PeerCertificates[0].Subject.CommonName
}

// answered checks who answered a stream that was opened to an incarnation.
func (t *Transport) answered(md metadata.MD, to uint64) (*peerv1.Hello, error) {
	h, err := helloOf(md)
	if err != nil {
		return nil, refusal(errs.Unavailable, "protocol", "what answers there is no node of a cluster: correct the address")
	}
	if err := t.accepts(h, false); err != nil {
		return nil, err
	}
	if h.GetIncarnation() != to {
		return nil, refusal(errs.Gone, "addressee", "incarnation %s is not there: node %s, incarnation %s, answers", hex(to), h.GetNode(), hex(h.GetIncarnation()))
	}
	return h, nil
}
