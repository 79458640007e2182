package peer

import (
	"errors"
	"io"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/grpc"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/internal/errs"
)

// lineKey names a stream of messages that a peer has open to this node.
type lineKey struct {
	from  uint64
	class Class
}

// line is such a stream. A newer one of the same key takes its place, and begins only when it has ended, so that what came on the
// old one is not delivered after what came on the new.
type line struct {
	from     Peer
	replaced chan struct{}
	ended    chan struct{}
}

// errReplaced ends a line.
var errReplaced = errors.New("a newer connection of this node took the place of this one")

// Exchange takes messages of one class from one peer.
func (s server) Exchange(stream grpc.BidiStreamingServer[peerv1.ExchangeRequest, peerv1.ExchangeResponse]) error {
	t, from := s.t, caller(stream.Context())
	if err := t.alone(from); err != nil {
		t.turnedAway(from, err)
		return err
	}
	if err := t.accept(stream); err != nil {
		return err
	}
	first, err := t.receiveExchange(stream, from)
	if err != nil {
		return err
	}
	me := &line{from: from, replaced: make(chan struct{}), ended: make(chan struct{})}
	if old := t.enter(lineKey{from.Incarnation, first.class}, me); old != nil {
		<-old.ended
	}
	defer t.leave(lineKey{from.Incarnation, first.class}, me)
	result := make(chan error, 1)
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		defer close(me.ended)
		result <- t.takeIn(stream, me, first)
	}()
	select {
	case err := <-result:
		return err
	case <-me.replaced:
		return errs.New(errs.Unavailable, "%w", errReplaced)
	case <-t.draining.Done():
		return t.errDraining()
	}
}

// alone refuses a peer under whose node id another incarnation is connected.
func (t *Transport) alone(from Peer) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for key, other := range t.inbound {
		if other.from.Node == from.Node && key.from != from.Incarnation {
			return refusal(errs.Conflict, "node", "node %s is connected as incarnation %s, and came as %s too: give each node a name of its own, and remove the lost one before its folder is made anew",
				from.Node, hex(key.from), hex(from.Incarnation))
		}
	}
	return nil
}

func (t *Transport) enter(key lineKey, me *line) (old *line) {
	t.mu.Lock()
	old = t.inbound[key]
	t.inbound[key] = me
	t.mu.Unlock()
	if old != nil {
		close(old.replaced)
	}
	t.about(key.from, func(k *known) { k.lines, k.hello = k.lines+1, me.from.hello() })
	return old
}

func (t *Transport) leave(key lineKey, me *line) {
	t.mu.Lock()
	if t.inbound[key] == me {
		delete(t.inbound, key)
	}
	t.mu.Unlock()
	t.about(key.from, func(k *known) { k.lines-- })
}

// receiveExchange takes the next frame in.
func (t *Transport) receiveExchange(stream grpc.ServerStream, from Peer) (x exchanged, err error) {
	var in inFrame
	if err := stream.RecvMsg(&in); err != nil {
		return x, err
	}
	defer in.free()
	x, err = decodeExchange(in.bytes())
	if told := t.o.Listener.Received; err == nil && told != nil && x.messages > 0 {
		told(from.Incarnation, classIn(x), x.messages, len(in.bytes()))
	}
	return x, err
}

// classIn tells of which class a frame's messages are: frames of one class have no other.
func classIn(x exchanged) Class { return classOf(x.groups[0].ms[0]) }

// takeIn delivers frames until the stream ends or a newer one takes its place.
func (t *Transport) takeIn(stream grpc.ServerStream, me *line, first exchanged) error {
	for x := first; ; {
		select {
		case <-me.replaced:
			return nil
		default:
		}
		if err := t.take(stream, me.from, &x); err != nil {
			return err
		}
		var err error
		if x, err = t.receiveExchange(stream, me.from); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (t *Transport) take(stream grpc.ServerStream, from Peer, x *exchanged) error {
	if x.pinged { // first: its sender measures
		if err := stream.SendMsg(pong(x.ping, t.clock.Now().UnixNano())); err != nil {
			return err
		}
	}
	now := time.Now()
	t.about(from.Incarnation, func(k *known) {
		k.lastHeard = now
		if x.health != nil {
			k.health, k.healthAt = x.health, now
		}
	})
	if x.health != nil && t.o.Heard != nil {
		t.o.Heard(from.Incarnation, x.health, now)
	}
	for _, d := range x.groups {
		if ms := t.mine(from, d.ms); len(ms) > 0 {
			t.o.Handler.Deliver(d.group, ms)
		}
	}
	return nil
}

// mine leaves out what is not for this incarnation, or not from the one that sends: of a folder that was lost, or of a stranger.
func (t *Transport) mine(from Peer, ms []*raftpb.Message) []*raftpb.Message {
	kept := ms[:0]
	for _, m := range ms {
		if m.GetTo() == t.o.Self.Incarnation && m.GetFrom() == from.Incarnation && mayTravel(m) {
			kept = append(kept, m)
		}
	}
	if n := len(ms) - len(kept); n > 0 {
		if told := t.o.Listener.Misdirected; told != nil {
			told(from.Incarnation, n)
		}
		t.once.warn("misdirected "+hex(from.Incarnation), "messages for another replica came and were dropped", "node", from.Node, "incarnation", hex(from.Incarnation))
	}
	return kept
}

func (p Peer) hello() *peerv1.Hello {
	return &peerv1.Hello{Cluster: p.Cluster, Node: p.Node, Incarnation: p.Incarnation, Feature: p.Feature, Level: p.Level, Version: p.Version}
}
