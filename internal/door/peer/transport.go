package peer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/grpc"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/errs"
)

const (
	// pulseEvery is how often peers are pinged; every second one tells them this node's health.
	pulseEvery = 500 * time.Millisecond
	// tellEvery bounds how often the handler is told that a replica cannot be reached.
	tellEvery = 50 * time.Millisecond
)

// Transport connects a node with its peers.
type Transport struct {
	o      Options
	log    *slog.Logger
	clock  clock.Clock
	once   once
	server *grpc.Server
	self   atomic.Pointer[Self]
	// largestMessage is what one message of Raft may have at most.
	largestMessage int

	ctx context.Context // ends when nothing is sent any more
	end context.CancelFunc
	// draining ends when nothing new is taken on.
	draining context.Context
	drain    context.CancelFunc
	wg       sync.WaitGroup

	mu      sync.RWMutex
	links   map[uint64]*link
	known   map[uint64]*known
	inbound map[lineKey]*line
	closed  bool

	tell struct {
		sync.Mutex
		lost map[lostKey]struct{}
		wake chan struct{}
	}
}

// known is what a peer said of itself.
type known struct {
	hello     *peerv1.Hello
	lastHeard time.Time
	health    []byte
	healthAt  time.Time
	lines     int // streams that it has open to this node
}

type lostKey struct {
	group    uint32
	to       uint64
	snapshot bool
}

// New gives a transport that connects to nobody yet. The error is invalid, for options that contradict.
func New(o Options) (*Transport, error) {
	if o.Self.Incarnation == 0 || o.Resolver == nil || o.Handler == nil || o.Limits == nil {
		return nil, errs.New(errs.Invalid, "a transport needs an incarnation, a resolver, a handler and limits")
	}
	if o.Listener == nil {
		o.Listener = &Listener{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	t := &Transport{
		o: o, log: o.Logger, clock: o.Clock, links: map[uint64]*link{}, known: map[uint64]*known{}, inbound: map[lineKey]*line{},
		largestMessage: int(2*o.Limits.LargestEntry()) + frameBytes,
	}
	t.once.log = o.Logger
	t.self.Store(&o.Self)
	t.tell.lost, t.tell.wake = map[lostKey]struct{}{}, make(chan struct{}, 1)
	t.ctx, t.end = context.WithCancel(context.Background())
	t.draining, t.drain = context.WithCancel(context.Background())
	t.server = t.newServer()
	t.wg.Add(2)
	go t.pulse()
	go t.teller()
	return t, nil
}

// Serve answers peers on l until Close; it closes l. It returns nil after Close.
func (t *Transport) Serve(l net.Listener) error {
	err := t.server.Serve(l)
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// SetCluster tells to which cluster the node belongs, once that is known.
func (t *Transport) SetCluster(id string) {
	self := *t.self.Load()
	self.Cluster = id
	t.self.Store(&self)
}

// SetPeers connects to these incarnations, so that they hear of this node's health, and closes the connections to all others.
// What is sent to another that the resolver knows connects to it again.
func (t *Transport) SetPeers(incarnations []uint64) {
	for _, to := range incarnations {
		if to != t.o.Self.Incarnation {
			t.link(to)
		}
	}
	for _, l := range t.forget(incarnations) {
		l.close()
	}
}

// retire ends the way to an incarnation that nobody knows any more. It does not wait.
func (t *Transport) retire(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.links[l.to] != l {
		return
	}
	t.drop(l)
	t.wg.Add(1) // before l's own goroutines end, which Close waits for
	go func() {
		defer t.wg.Done()
		l.close()
	}()
}

// drop takes a link off the list. t.mu is held.
func (t *Transport) drop(l *link) {
	delete(t.links, l.to)
	if k := t.known[l.to]; k != nil && k.lines == 0 {
		delete(t.known, l.to)
	}
}

func (t *Transport) forget(but []uint64) (gone []*link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for to, l := range t.links {
		if !slices.Contains(but, to) {
			t.drop(l)
			gone = append(gone, l)
		}
	}
	return gone
}

// link gives the way to an incarnation, or nil when nobody knows it.
func (t *Transport) link(to uint64) *link {
	t.mu.RLock()
	l, closed := t.links[to], t.closed
	t.mu.RUnlock()
	if l != nil || closed || to == t.o.Self.Incarnation {
		return l
	}
	if _, ok := t.o.Resolver(to); !ok {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if l = t.links[to]; l == nil && !t.closed {
		l = newLink(t, to)
		t.links[to] = l
		l.start()
	}
	return l
}

// way is link for those who need an error.
func (t *Transport) way(to uint64) (*link, error) {
	if l := t.link(to); l != nil {
		return l, nil
	}
	return nil, errs.New(errs.Unavailable, "incarnation %s: %w", hex(to), errUnknown)
}

// Send sends messages to the incarnations they are for. It never blocks: what does not fit into a queue, or has nowhere to go, is
// dropped, as a network may; Raft sends again. The messages must not change any more.
func (t *Transport) Send(group uint32, ms []*raftpb.Message) {
	for _, m := range ms {
		l := t.link(m.GetTo())
		if l == nil {
			t.dropped(m.GetTo(), classOf(m), envelope{group: group, m: m})
			continue
		}
		if classOf(m) == Log {
			l.log.put(group, m)
		} else {
			l.control.put(group, m)
		}
	}
}

// dropped counts messages that are not sent, and tells of entries among them.
func (t *Transport) dropped(to uint64, class Class, es ...envelope) {
	if told := t.o.Listener.Dropped; told != nil {
		told(to, class, len(es))
	}
	for _, e := range es {
		if e.size > t.largestMessage {
			t.once.warn("large "+hex(to), "a message to a node is too large to be sent", "incarnation", hex(to), "group", e.group, "bytes", e.size, "limit", t.largestMessage)
		}
		if class == Log {
			t.lost(e.group, to, e.m.GetType() == raftpb.MsgSnap)
		}
	}
}

// lost has the handler told that entries, or a snapshot, may be lost.
func (t *Transport) lost(group uint32, to uint64, snapshot bool) {
	t.tell.Lock()
	t.tell.lost[lostKey{group, to, snapshot}] = struct{}{}
	t.tell.Unlock()
	select {
	case t.tell.wake <- struct{}{}:
	default:
	}
}

// teller tells the handler what was lost, each thing once in a while.
func (t *Transport) teller() {
	defer t.wg.Done()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-rest.C:
		}
		select {
		case <-t.ctx.Done():
			return
		case <-t.tell.wake:
		}
		t.tellLost()
		rest.Reset(tellEvery)
	}
}

func (t *Transport) tellLost() {
	t.tell.Lock()
	lost := t.tell.lost
	t.tell.lost = map[lostKey]struct{}{}
	t.tell.Unlock()
	for k := range lost {
		if !k.snapshot {
			t.o.Handler.Unreachable(k.group, k.to)
		} else if h, ok := t.o.Handler.(SnapshotHandler); ok {
			h.SnapshotLost(k.group, k.to)
		}
	}
}

// pulse pings all peers, and finds those that are silent.
func (t *Transport) pulse() {
	defer t.wg.Done()
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	last, number := time.Now(), uint64(0)
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		number++
		paused := max(0, now.Sub(last)-2*pulseEvery)
		last = now
		links := t.all()
		var health []byte
		if number%2 == 1 && len(links) > 0 {
			health = t.health()
		}
		for _, l := range links {
			l.pulse(now, paused, number, health)
		}
	}
}

func (t *Transport) health() []byte {
	h := t.o.Handler.Health()
	if len(h) > largestHealth {
		t.once.warn("health", "this node's health is too large to be told", "bytes", len(h), "limit", largestHealth)
		return nil
	}
	return h
}

func (t *Transport) all() []*link {
	t.mu.RLock()
	defer t.mu.RUnlock()
	list := make([]*link, 0, len(t.links))
	for _, l := range t.links {
		list = append(list, l)
	}
	return list
}

// Close ends all: nothing new is taken on, what peers wait for is answered, and commits that were sent get their outcome. When ctx
// ends first, what is left is cut off, and Close returns ctx's error. It may be called once.
func (t *Transport) Close(ctx context.Context) error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.drain()
	for _, l := range t.all() {
		l.commits.land(ctx)
	}
	err := t.stopServing(ctx)
	t.end()
	for _, l := range t.all() {
		l.close()
	}
	t.wg.Wait()
	return err
}

func (t *Transport) stopServing(ctx context.Context) error {
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		t.server.GracefulStop()
	}()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		t.server.Stop()
		<-finished
		return ctx.Err()
	}
}
