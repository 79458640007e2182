package peer

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/limits"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 15 * time.Second

// host is what a node does with what comes in; its shard is in memory.
type host struct {
	shard *gatewaytest.Shard

	mu          sync.Mutex
	got         map[uint32][]*raftpb.Message
	unreachable map[lostKey]int
	health      []byte
	files       map[string]*file
	// the functions take the place of what would be done; nil: it is
	deliver func(group uint32, ms []*raftpb.Message)
	call    func(ctx context.Context, from Peer, method string, body []byte) ([]byte, error)
	submit  func(from Peer, shard uint32, calls []*event.Call)
	read    func(from Peer, spec event.ReadSpec)
}

func newHost() *host {
	return &host{shard: gatewaytest.NewShard(), got: map[uint32][]*raftpb.Message{}, unreachable: map[lostKey]int{}, files: map[string]*file{}}
}

func (h *host) Deliver(group uint32, ms []*raftpb.Message) {
	h.mu.Lock()
	deliver := h.deliver
	h.mu.Unlock()
	if deliver != nil {
		deliver(group, ms)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got[group] = append(h.got[group], ms...)
}

func (h *host) Unreachable(group uint32, to uint64)  { h.note(lostKey{group, to, false}) }
func (h *host) SnapshotLost(group uint32, to uint64) { h.note(lostKey{group, to, true}) }

func (h *host) note(k lostKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unreachable[k]++
}

func (h *host) Health() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.health
}

func (h *host) Call(ctx context.Context, from Peer, method string, body []byte) ([]byte, error) {
	if h.call != nil {
		return h.call(ctx, from, method, body)
	}
	answer, handled, err := AnswerShard(ctx, h.shardOf, method, body)
	if !handled {
		return nil, errs.New(errs.Unsupported, "no method %s", method)
	}
	return answer, err
}

// countedShard counts one event in every part of a time.
type countedShard struct{ *gatewaytest.Shard }

func (countedShard) Counts(_ context.Context, topic []byte, from, to time.Time, buckets int) ([]uint64, error) {
	if !from.Before(to) {
		return nil, errs.New(errs.Invalid, "no time").With("field", "to")
	}
	counts := make([]uint64, buckets)
	for i := range counts {
		counts[i] = uint64(len(topic) + i)
	}
	return counts, nil
}

func (h *host) shardOf(shard uint32) (LocalShard, error) {
	if shard != 1 {
		return nil, errs.New(errs.NotFound, "there is no shard %d here", shard)
	}
	return countedShard{h.shard}, nil
}

func (h *host) Submit(from Peer, shard uint32, calls []*event.Call) {
	if h.submit != nil {
		h.submit(from, shard, calls)
		return
	}
	h.shard.Submit(calls)
}

func (h *host) Read(ctx context.Context, from Peer, shard uint32, spec event.ReadSpec) (event.Reader, error) {
	if h.read != nil {
		h.read(from, spec)
	}
	if shard != 1 {
		return nil, errs.New(errs.NotFound, "there is no shard %d here", shard)
	}
	return h.shard.Read(ctx, spec)
}

func (h *host) Open(_ context.Context, group uint32, name string) (Source, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.files[fmt.Sprint(group, "/", name)]
	if f == nil {
		return nil, errs.New(errs.NotFound, "there is no %s", name)
	}
	f.open.Add(1)
	return f, nil
}

func (h *host) count(group uint32) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.got[group])
}

func (h *host) told(group uint32, to uint64, snapshot bool) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unreachable[lostKey{group, to, snapshot}]
}

// file is a Source in memory.
type file struct {
	data     []byte
	identity []byte
	open     atomic.Int32
	reads    atomic.Int32
}

func (f *file) Size() int64      { return int64(len(f.data)) }
func (f *file) Identity() []byte { return f.identity }
func (f *file) Close() error     { f.open.Add(-1); return nil }
func (f *file) ReadAt(p []byte, offset int64) (int, error) {
	f.reads.Add(1)
	return bytes.NewReader(f.data).ReadAt(p, offset)
}

// book knows where the incarnations listen.
type book struct {
	mu   sync.Mutex
	addr map[uint64]string
}

func (b *book) resolve(incarnation uint64) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	addr, ok := b.addr[incarnation]
	return addr, ok
}

func (b *book) set(incarnation uint64, addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.addr[incarnation] = addr
}

func (b *book) remove(incarnation uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.addr, incarnation)
}

// node is a transport that serves on loopback, and its host.
type node struct {
	*Transport
	h      *host
	book   *book
	addr   string
	logs   *text
	served chan error
	once   sync.Once
}

// text is a log that tests look into.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *text) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *text) count(s string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Count(w.b.Bytes(), []byte(s))
}

// start serves node n<id> at addr (any when empty).
func start(t testing.TB, b *book, id uint64, addr string, change ...func(*Options)) *node {
	t.Helper()
	l := limits.Default()
	n := &node{h: newHost(), book: b, logs: new(text), served: make(chan error, 1)}
	o := Options{
		Self: Self{Cluster: "c", Node: fmt.Sprint("n", id), Incarnation: id, Feature: 3, Version: "v"}, Resolver: b.resolve, Handler: n.h, Limits: &l,
		Logger: slog.New(slog.NewTextHandler(n.logs, nil)),
	}
	for _, c := range change {
		c(&o)
	}
	var err error
	if n.Transport, err = New(o); err != nil {
		t.Fatal(err)
	}
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	n.addr = listener.Addr().String()
	b.set(o.Self.Incarnation, n.addr)
	go func() { n.served <- n.Serve(listener) }()
	t.Cleanup(func() { n.stop(t) })
	return n
}

func (n *node) stop(t testing.TB) {
	t.Helper()
	n.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error("close:", err)
		}
		if err := <-n.served; err != nil {
			t.Error("serve:", err)
		}
	})
}

// kill ends a node without a word to its peers.
func (n *node) kill(t testing.TB) {
	t.Helper()
	n.once.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = n.Close(ctx)
		<-n.served
	})
}

func (n *node) count(group uint32) int                      { return n.h.count(group) }
func (n *node) told(group uint32, to uint64, snap bool) int { return n.h.told(group, to, snap) }

func newBook() *book { return &book{addr: map[uint64]string{}} }

// pair is two nodes that know each other.
func pair(t testing.TB, change ...func(*Options)) (a, b *node) {
	t.Helper()
	known := newBook()
	a, b = start(t, known, 1, "", change...), start(t, known, 2, "", change...)
	return a, b
}

// eventually waits for what must become true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-late:
			if f := os.Getenv("GESTA_TEST_STACKS"); f != "" {
				panic(what)
			}
			t.Fatal("never:", what)
		}
	}
}

// receive waits for a value.
func receive[T any](t testing.TB, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	return v
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func wantCode(t testing.TB, err error, code errs.Code) *errs.Error {
	t.Helper()
	if errs.CodeOf(err) != code {
		t.Fatalf("got %q (%v), want %q", errs.CodeOf(err), err, code)
	}
	if code == "" {
		return nil
	}
	return errs.As(err)
}

func (n *node) peer(id uint64) Status {
	for _, s := range n.Peers() {
		if s.Incarnation == id {
			return s
		}
	}
	return Status{}
}

func (n *node) connectTo(t testing.TB, others ...uint64) {
	t.Helper()
	n.SetPeers(others)
	for _, id := range others {
		eventually(t, fmt.Sprintf("%d connected to %d", n.o.Self.Incarnation, id), func() bool { return n.peer(id).Connected })
	}
}

// beat and app make messages that carry their number.
func beat(from, to, number uint64) *raftpb.Message {
	return &raftpb.Message{Type: raftpb.MsgHeartbeat.Enum(), From: &from, To: &to, Term: new(uint64(1)), Commit: &number}
}

func app(from, to, number uint64, bytes int) *raftpb.Message {
	m := &raftpb.Message{Type: raftpb.MsgApp.Enum(), From: &from, To: &to, Term: new(uint64(1)), Index: &number}
	if bytes > 0 {
		m.Entries = []*raftpb.Entry{{Term: new(uint64(1)), Index: new(number + 1), Data: make([]byte, bytes)}}
	}
	return m
}

func snap(from, to uint64) *raftpb.Message {
	return &raftpb.Message{Type: raftpb.MsgSnap.Enum(), From: &from, To: &to, Snapshot: &raftpb.Snapshot{Data: []byte("manifest")}}
}
