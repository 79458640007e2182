package sim

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/cluster"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/limits"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/shard"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

// Config is what a run is made of.
type Config struct {
	Seed  uint64
	Nodes int
	// Join lets one more node join the group on the way, from an empty folder.
	Join bool
	// Steps is how many actions the hostile part has.
	Steps int
	// Members lets the group's members change: nodes are added, removed, lost and replaced, and leaders moved.
	Members bool
	// Trace hears every action; nil for none.
	Trace io.Writer
}

// world is one run.
type world struct {
	cfg     Config
	rng     *mrand.Rand
	now     time.Time
	nodes   []*node
	net     []*pb.Message
	cut     map[[2]uint64]bool // links that lose everything, one way
	clients []*client
	history []*op
	seen    map[uint64]replica.Entry // committed entries, as first applied anywhere
	leaders map[uint64]uint64        // who led each term
	wish    wish
	calm    bool
	joiner  *node // is no member at first
	rotten  *node
	bitten  *node // whose sealed segments rot
	clock   int64
	step    int
	failed  error // a client got an answer it must never get
	stats   Stats
}

// Stats counts what a run has come across, so that a test can tell that it tested anything.
type Stats struct {
	Acked, Repeated, Conflicts, Unknown, Crashes, Elections, Cuts, Sealed, Rotten, Refused int
	// Broken transfers, Shipped files, Installed manifests.
	Broken, Shipped, Installed int
	// Bitten segments, damage Met by reads, segments Repaired and Mended, last segments Salvaged.
	Bitten, Met, Repaired, Mended, Salvaged int
	// Changes of the group's members that were proposed, Transfers of the leadership, nodes Removed and Lost.
	Changes, Transfers, Removed, Lost int
}

// node is one member: its disk survives a crash, the rest does not.
type node struct {
	id      uint64
	disk    *crashfs.FS
	faults  *faultfs.FS    // over the disk, to stop in the middle of a write
	shard   *shard.Stepped // nil while it is down
	pending []*replica.Write
	skew    time.Duration
	index   *index.Index
	applied uint64
	offer   *shard.Manifest // of a leader, while it is far behind
	asleep  int             // the step until which it stays down
	gone    bool            // its folder was lost
	view    cluster.Group   // the group as it saw it last
}

// Run plays one seed. The error names the promise that did not hold.
func Run(cfg Config) (stats Stats, err error) {
	w := &world{cfg: cfg, rng: mrand.New(mrand.NewPCG(cfg.Seed, 7)), now: time.Unix(1_700_000_000, 0), cut: map[[2]uint64]bool{}, seen: map[uint64]replica.Entry{}, leaders: map[uint64]uint64{}}
	defer seeded(cfg.Seed)()
	defer w.close()
	defer func() {
		if r := recover(); r != nil {
			w.trace("%s", debug.Stack())
			stats, err = w.stats, fmt.Errorf("seed %d: panic: %v", cfg.Seed, r)
		}
	}()
	if err := w.play(); err != nil {
		return w.stats, fmt.Errorf("seed %d: %w", cfg.Seed, err)
	}
	return w.stats, nil
}

// seeded lets Raft draw its election timeouts from the seed, until the function that it gives is called.
func seeded(seed uint64) (end func()) {
	was := rand.Reader
	rand.Reader = &seededReader{mrand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})}
	return func() { rand.Reader = was }
}

type seededReader struct{ src *mrand.ChaCha8 }

func (r *seededReader) Read(p []byte) (int, error) { return r.src.Read(p) }

func (w *world) play() error {
	if w.cfg.Members {
		w.found()
	}
	for range w.cfg.Nodes {
		if err := w.start(w.newNode()); err != nil {
			return err
		}
	}
	if w.cfg.Join {
		w.joiner = &node{id: uint64(w.cfg.Nodes + 1), disk: crashfs.New(w.rng.Uint64()), asleep: w.rng.IntN(w.cfg.Steps)}
		w.nodes = append(w.nodes, w.joiner)
	}
	for i := range 4 {
		w.clients = append(w.clients, newClient(w, i))
	}
	for w.step = range w.cfg.Steps {
		if err := errors.Join(w.act(), w.failed); err != nil {
			return err
		}
	}
	if err := w.settle(); err != nil {
		return err
	}
	return w.check()
}

// skew is how far a node's clock is off.
func skew(rng *mrand.Rand) time.Duration { return time.Duration(rng.IntN(400)-200) * time.Millisecond }

func (w *world) close() {
	for _, n := range w.nodes {
		if n.index != nil {
			_ = n.index.Close()
		}
	}
}

func (w *world) trace(format string, args ...any) {
	if w.cfg.Trace != nil {
		fmt.Fprintf(w.cfg.Trace, format+"\n", args...)
	}
}

// voters are the first members of the group; one that joins later is opened with them, too.
func (w *world) voters() []uint64 {
	if w.cfg.Members {
		return w.wish.initial
	}
	var ids []uint64
	for i := range w.cfg.Nodes {
		ids = append(ids, uint64(i+1))
	}
	return ids
}

// simLimits are small, so that a short run fills segments and forgets ids.
func simLimits() limits.Limits {
	l := limits.Default()
	l.SegmentBytes, l.EntryBytes = 4<<10, 1<<10
	l.IDWindowEvents, l.IDWindow = 200, time.Hour
	return l
}

func (w *world) start(n *node) error {
	for {
		err := w.open(n)
		if err == nil {
			break
		}
		opens, err := w.mend(n, err)
		if err != nil {
			return fmt.Errorf("node %d does not open: %w", n.id, err)
		}
		if !opens {
			return nil
		}
	}
	n.pending = nil
	if n.shard.Cut() != nil {
		w.stats.Cuts++
	}
	return w.advance(n)
}

func (w *world) open(n *node) error {
	// The index is derived: it begins empty, as after a deleted folder, and so do the tables beside the segments.
	mem := vfs.NewMem()
	if err := mem.MkdirAll("data", 0o755); err != nil {
		return err
	}
	ix, err := index.Open(index.Options{Dir: "index", FS: mem, BlockCacheBytes: 1 << 20, HeadsCacheBytes: 1 << 16})
	if err != nil {
		return err
	}
	n.faults = faultfs.New(n.disk)
	s, err := shard.OpenStepped(w.config(n), n.faults, "data", w.voters(), ix)
	if err != nil {
		_ = ix.Close()
		return err
	}
	n.index, n.shard = ix, s
	return nil
}

func (w *world) config(n *node) shard.Config {
	return shard.Config{
		Number: 1, Cluster: "sim", Replica: n.id, Limits: simLimits(),
		Behind: 1 + int(w.cfg.Seed%3), Salvage: true, NewHistory: w.rng.Uint64, Salt: w.rng.Uint64, Logger: slog.New(slog.NewTextHandler(traceWriter{w, n.id}, &slog.HandlerOptions{ReplaceAttr: withoutTime})),
	}
}

// withoutTime leaves out the one thing in a log line that a seed does not decide.
func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// traceWriter puts what a node logs into the trace.
type traceWriter struct {
	w  *world
	id uint64
}

func (t traceWriter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "role=leader") {
		t.w.stats.Elections++
	}
	t.w.trace("  node %d: %s", t.id, strings.TrimSpace(string(p)))
	return len(p), nil
}

// act does one thing, chosen by the seed.
func (w *world) act() error {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if n.offer != nil && w.rng.IntN(10) == 0 {
		return w.ship(n)
	}
	if w.cfg.Members && w.rng.IntN(20) == 0 {
		return w.govern(n)
	}
	switch x := w.rng.IntN(1000); {
	case x < 450:
		return w.deliver()
	case x < 700:
		return w.store(n)
	case x < 750:
		return w.tick(n)
	case x < 960:
		return w.clients[w.rng.IntN(len(w.clients))].act()
	case x < 970:
		return w.mark(n)
	case x < 980:
		return w.seal(n)
	case x < 986:
		return w.crash(n)
	case x < 992:
		return w.restart(n)
	case x < 994:
		w.partition()
	case x < 996:
		return w.rotSealed(n)
	case x < 997:
		return w.scrub(n)
	case x < 998:
		w.join()
	default:
		w.heal()
	}
	return nil
}

// deliver lets a random message of the network arrive; some are lost, some come twice.
func (w *world) deliver() error {
	if len(w.net) == 0 {
		return nil
	}
	i := w.rng.IntN(min(len(w.net), 8))
	m := w.net[i]
	luck := 100
	if !w.calm {
		luck = w.rng.IntN(100)
	}
	if luck >= 4 {
		// Below that, it stays in the network and comes again.
		w.net = slices.Delete(w.net, i, i+1)
	}
	if luck < 8 && luck >= 4 || w.cut[[2]uint64{m.GetFrom(), m.GetTo()}] {
		return nil
	}
	to := w.nodes[m.GetTo()-1]
	if to.shard == nil {
		return nil
	}
	to.shard.Receive(m)
	return w.advance(to)
}

func (w *world) advance(n *node) error {
	writes, messages, err := n.shard.Advance(w.now.Add(n.skew))
	if err != nil {
		return fmt.Errorf("node %d stopped: %w", n.id, err)
	}
	if m := n.shard.Offer(); m != nil {
		n.offer = m
	}
	n.pending = append(n.pending, writes...)
	w.net = append(w.net, messages...)
	return errors.Join(w.oneLeader(n), w.watch(n))
}

// watch holds every newly applied entry against what was applied at its index before: a committed prefix never changes.
func (w *world) watch(n *node) error {
	s := n.shard.Status()
	if s.Applied <= n.applied {
		return nil
	}
	es, err := n.shard.Entries(n.applied+1, s.Applied+1)
	if err != nil {
		return w.met(n, err)
	}
	for _, e := range es {
		if was, ok := w.seen[e.Index]; ok && (was.Term != e.Term || string(was.Data) != string(e.Data)) {
			return fmt.Errorf("entry %d was committed in term %d, and on node %d in term %d with other content", e.Index, was.Term, n.id, e.Term)
		}
		w.seen[e.Index] = e
	}
	n.applied = s.Applied
	return nil
}

// store lets what a node wants written reach its disk, in one batch or in two.
func (w *world) store(n *node) error {
	if n.shard == nil || len(n.pending) == 0 {
		return nil
	}
	k := 1 + w.rng.IntN(len(n.pending))
	ws := n.pending[:k]
	n.pending = n.pending[k:]
	if err := n.shard.Store(ws); err != nil {
		return fmt.Errorf("node %d: store: %w", n.id, err)
	}
	n.shard.Wrote(ws)
	return w.advance(n)
}

func (w *world) tick(n *node) error {
	w.now = w.now.Add(time.Duration(20+w.rng.IntN(160)) * time.Millisecond)
	if n.shard == nil {
		return nil
	}
	n.shard.Tick()
	return w.advance(n)
}

func (w *world) mark(n *node) error {
	if n.shard == nil || len(n.pending) > 0 {
		return nil
	}
	return n.shard.Mark()
}

func (w *world) seal(n *node) error {
	if n.shard == nil {
		return nil
	}
	if err := n.shard.Prepare(); err != nil {
		return err
	}
	before := len(n.index.Ingested())
	if err := n.shard.Seal(); err != nil {
		return fmt.Errorf("node %d: seal: %w", n.id, err)
	}
	w.stats.Sealed += len(n.index.Ingested()) - before
	return nil
}

// crash cuts a node's power, at times in the middle of a write.
func (w *world) crash(n *node) error {
	if n.shard == nil || len(n.pending) == 0 && w.rng.IntN(3) > 0 || w.careful() {
		return nil
	}
	if len(n.pending) > 0 && w.rng.IntN(2) == 0 {
		w.tornStore(n)
	}
	if w.rng.IntN(3) == 0 {
		n.asleep = w.step + w.rng.IntN(3000) // long enough to fall far behind
	}
	return w.cutPower(n)
}

// cutPower takes a node down with what its disk had not synced.
func (w *world) cutPower(n *node) error {
	w.stats.Crashes++
	w.trace("crash node %d", n.id)
	segs := n.shard.Segments()
	n.disk = n.disk.Crash()
	w.rot(n, segs[len(segs)-1])
	return w.down(n)
}

// down forgets what a node had in memory.
func (w *world) down(n *node) error {
	for _, c := range w.clients {
		c.crashed(n)
	}
	n.shard, n.pending, n.applied, n.offer = nil, nil, 0, nil
	err := n.index.Close()
	n.index = nil
	return err
}

// tornStore begins to store what waits and stops at one of the first operations: written but not synced, or half of it.
func (w *world) tornStore(n *node) {
	n.faults.FailNth(1 + w.rng.IntN(3))
	_ = n.shard.Store(n.pending)
}

// rot damages the last segment of a node's disk where it is not sealed, so that entries are cut although they were acknowledged: the doubt
// rule must save the group. One node of a run may rot. At times the damage is in the last batch, where it is taken for a torn write.
func (w *world) rot(n *node, active seglog.Segment) {
	if w.cfg.Nodes < 3 || w.rotten != nil && w.rotten != n || w.rng.IntN(3) > 0 || !w.spared(n) {
		return
	}
	reach := int64(60)
	if w.rng.IntN(2) == 0 {
		reach = active.Bytes - seglog.HeaderBytes
	}
	if reach <= 0 {
		return
	}
	rotten := n.disk.Clone()
	if rotten.Flip(filepath.Join("data", active.Name), active.Bytes-1-w.rng.Int64N(reach)) != nil {
		return
	}
	o := seglog.Options{FS: rotten.Clone(), Dir: "data", Shard: 1, SegmentBytes: simLimits().SegmentBytes, Salt: w.rng.Uint64}
	_, _, refused := seglog.Open(o)
	o.FS, o.Salvage = rotten.Clone(), true
	log, rec, err := seglog.Open(o)
	if err != nil {
		return
	}
	if refused != nil && len(n.shard.Conf().Voters) < 2 {
		_ = log.Close() // only among several voters a log is salvaged
		return
	}
	if log.Close(); rec.Cut != nil && filepath.Base(rec.Cut.File) == active.Name {
		w.trace("rot node %d: %+v", n.id, *rec.Cut)
		w.rotten, n.disk = n, rotten
		w.stats.Rotten++
		if refused != nil {
			w.stats.Salvaged++
		}
	}
}

func (w *world) restart(n *node) error {
	if n.shard != nil || n.gone || w.step < n.asleep && !w.calm {
		return nil
	}
	w.trace("restart node %d", n.id)
	return w.start(n)
}

// partition cuts a node off, in one direction or both.
func (w *world) partition() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	in, out := w.rng.IntN(2) == 0, w.rng.IntN(2) == 0
	w.trace("cut off node %d (in %v, out %v)", n.id, in, out)
	for _, o := range w.nodes {
		if in {
			w.cut[[2]uint64{o.id, n.id}] = true
		}
		if out {
			w.cut[[2]uint64{n.id, o.id}] = true
		}
	}
}

func (w *world) heal() {
	if len(w.cut) > 0 {
		w.trace("heal")
	}
	clear(w.cut)
}

// settle ends all trouble and lets the group come to rest.
func (w *world) settle() error {
	w.trace("settle")
	w.calm = true
	w.heal()
	for range w.nodes { // one that must be mended waits for the others
		for _, n := range w.nodes {
			if err := w.restart(n); err != nil {
				return err
			}
		}
	}
	for _, n := range w.nodes {
		if err := errors.Join(w.scrub(n), w.failed); err != nil {
			return err
		}
	}
	patience := 40_000
	if w.cfg.Members { // those who are no members any more keep asking for votes, and more have to catch up
		patience *= 4
	}
	for i := range patience {
		if w.cfg.Members && i%97 == 0 {
			n := w.nodes[w.rng.IntN(len(w.nodes))]
			n.look()
			if err := w.tend(n); err != nil {
				return err
			}
		}
		n := w.nodes[i%len(w.nodes)]
		if err := w.store(n); err != nil {
			return err
		}
		if err := w.deliver(); err != nil {
			return err
		}
		if err := w.ship(n); err != nil {
			return err
		}
		if i%200 == 0 {
			w.join()
		}
		if i%20 == 0 {
			if err := w.tick(w.nodes[i/20%len(w.nodes)]); err != nil {
				return err
			}
		}
		for _, c := range w.clients {
			if i%50 == 0 {
				if err := c.finish(); err != nil {
					return err
				}
			}
		}
		if i%100 == 99 && w.rested() {
			return nil
		}
	}
	return errs.New(errs.Internal, "the group did not come to rest: %s", w.describe())
}

func (w *world) rested() bool {
	for _, c := range w.clients {
		if c.now != nil {
			return false
		}
	}
	if w.cfg.Join && !w.joined() {
		return false
	}
	if w.cfg.Members && !w.arranged() {
		return false
	}
	first := w.kept()[0].shard.Status()
	for _, n := range w.kept() {
		s := n.shard.Status()
		if s.Leader == 0 || s.Applied != first.Applied || s.Applied != s.Last || len(n.pending) > 0 {
			return false
		}
	}
	return true
}

func (w *world) describe() string {
	var b strings.Builder
	for _, n := range w.nodes {
		if n.shard == nil {
			fmt.Fprintf(&b, "node %d down; ", n.id)
			continue
		}
		last, doubt := n.shard.Stored()
		fmt.Fprintf(&b, "node %d %+v stored %d doubt %v conf %+v at %d pending %d\n", n.id, n.shard.Status().Status, last, doubt, n.shard.Conf(), n.shard.ConfIndex(), len(n.pending))
	}
	fmt.Fprintf(&b, "wish %+v\n", w.wish.replicas)
	for i, c := range w.clients {
		fmt.Fprintf(&b, "client %d waits %v; ", i, c.now != nil)
	}
	return b.String()
}
