package shard

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

// Options is what a shard is opened with.
type Options struct {
	Config
	FS vfs.FS
	// Dir is the shard's folder; IndexDir that of its index, which may be deleted.
	Dir, IndexDir string
	// Voters are the first members of a new shard's group.
	Voters []uint64
	Clock  clock.Clock
	// Send gives messages to peers; it must not block. Nil for a group of one.
	Send func([]*pb.Message)
	// Offered hears of a leader's offer of segments: this replica is too far behind for entries. Who hosts the shard fetches them
	// (Fetch), closes the shard, installs them (Install), opens it again, and lets the leader know (ReportSnapshot there). The same
	// offer comes again every few seconds. It must not block. Nil: the replica stays behind.
	Offered func(Manifest)
	// LogListener and IndexListener hear of the storage's doings.
	LogListener   *seglog.Listener
	IndexListener *index.Listener

	// tune changes the index's options, for tests.
	tune func(*index.Options)
}

// Listener hears what a shard does. Every field may be nil; none may block.
type Listener struct {
	// Loading tells how many of the segments are in the index at start.
	Loading func(done, of int, since time.Duration)
	// Cut tells of a doubtful last batch that was cut at start.
	Cut func(seglog.Cut)
	// Stored tells of one write: its entries, and how long it took with its sync.
	Stored func(entries int, took time.Duration)
	// Damaged tells of damage on disk that a read or an append met; the caller got the same error, with the code corrupt. The same
	// damage is told each time that it is met.
	Damaged func(error)
	// Stopped tells that the shard stopped by itself, and why.
	Stopped func(error)
}

// damaged is who hears of damage that was met for a peer.
func (c *Config) damaged() func(error) {
	if c.Listener == nil {
		return nil
	}
	return c.Listener.Damaged
}

func (l *Listener) stored() func(int, time.Duration) {
	if l == nil {
		return nil
	}
	return l.Stored
}

// damaged passes an error on, and tells who listens when it is damage.
func (s *Shard) damaged(err error) error {
	if l := s.o.Listener; err != nil && l != nil && l.Damaged != nil && errs.CodeOf(err) == errs.Corrupt {
		l.Damaged(err)
	}
	return err
}

// tickEvery is Raft's tick. A follower that hears nothing for ten to twenty of them, drawn anew each time, asks for votes: half a second
// at least, far above what a full disk queue or a collected heap costs, and a second at most.
const tickEvery = 50 * time.Millisecond

// Shard runs one Core.
type Shard struct {
	o    Options
	disk *replica.Disk
	ix   *index.Index
	core *Core
	look *resolver
	tail *tail

	mu       sync.Mutex
	inbox    inbox
	spare    inbox
	stopped  error
	refusals map[string]*errs.Error

	queued  atomic.Int64 // bytes of calls that have no outcome yet
	status  atomic.Pointer[Status]
	refusal atomic.Pointer[errs.Error]

	members []replica.Member // as of the last tick

	wake   chan struct{}
	stop   chan struct{}
	halted chan struct{} // closed when the loop has ended
	pump   *replica.Pump
	keep   *keeper
	group  sync.WaitGroup
	once   sync.Once
	// tellEvery is the constant of that name, shorter in tests.
	tellEvery time.Duration

	using sync.RWMutex // held for reading by who uses the log or the index beside the loop
	ended bool
}

// inbox is what others have left for the loop.
type inbox struct {
	tasks    []*task
	resolved []*task
	queries  []*query
	messages []*pb.Message
	wrote    []*replica.Write
	calls    []func(*replica.Replica)
	err      error
}

// Open opens a shard's folder, brings its index up to its log, and begins to run.
func Open(o Options) (*Shard, error) {
	if err := finishInstall(o.Config, o.FS, o.Dir); err != nil {
		return nil, fmt.Errorf("install segments of shard %d: %w", o.Number, err)
	}
	disk, err := replica.OpenDisk(logOptions(o.Config, o.FS, o.Dir, o.LogListener), o.Voters)
	if err != nil {
		return nil, fmt.Errorf("open log of shard %d: %w", o.Number, err)
	}
	if disk.Cut != nil && o.Listener != nil && o.Listener.Cut != nil {
		o.Listener.Cut(*disk.Cut)
	}
	io := index.Options{Dir: o.IndexDir, BlockCacheBytes: o.Limits.BlockCacheBytes, HeadsCacheBytes: o.Limits.HeadsCacheBytes, IDWindow: idWindow(o.Config, disk), Listener: o.IndexListener}
	if o.tune != nil {
		o.tune(&io)
	}
	ix, err := index.Open(io)
	if err != nil {
		_ = disk.Close()
		return nil, fmt.Errorf("open index of shard %d: %w", o.Number, err)
	}
	s, err := start(o, disk, ix)
	if err != nil {
		_ = ix.Close()
		_ = disk.Close()
		return nil, err
	}
	return s, nil
}

// idWindow is for how many events the index must find ids: what the shard's log says, whatever is configured now.
func idWindow(cfg Config, disk *replica.Disk) uint64 {
	l, configured := &loaded{disk: disk}, uint64(cfg.Limits.IDWindowEvents)
	if err := l.findSettings(); err != nil || l.settings.History == 0 {
		return configured // load meets the error again, and says so
	}
	if kept := l.settings.IDWindowEvents; kept != configured || l.settings.IDWindow != cfg.Limits.IDWindow {
		cfg.Logger.Warn("the id window of a shard is set when it begins and stays; the configured one is not used", "events", kept, "age", l.settings.IDWindow, "configured_events", configured, "configured_age", cfg.Limits.IDWindow)
	}
	return l.settings.IDWindowEvents
}

func logOptions(cfg Config, fsys vfs.FS, dir string, l *seglog.Listener) seglog.Options {
	return seglog.Options{FS: fsys, Dir: dir, Shard: uint64(cfg.Number), SegmentBytes: cfg.Limits.SegmentBytes, MaxBatchEntries: maxBatchEntries, Salvage: cfg.Salvage, Salt: cfg.Salt, Listener: l}
}

// maxBatchEntries bounds the entries of one write: it bounds what a damaged last batch may have held.
const maxBatchEntries = 1024

func start(o Options, disk *replica.Disk, ix *index.Index) (*Shard, error) {
	l, err := load(o.Config, o.FS, o.Dir, disk, ix)
	if err != nil {
		return nil, fmt.Errorf("load shard %d: %w", o.Number, err)
	}
	core, err := openCore(o.Config, l)
	if err != nil {
		return nil, err
	}
	s := &Shard{o: o, disk: disk, ix: ix, core: core, tail: core.tail, wake: make(chan struct{}, 1), tellEvery: tellEvery, stop: make(chan struct{}), halted: make(chan struct{}), refusals: map[string]*errs.Error{}}
	s.look = newResolver(core)
	s.pump = replica.NewPump(disk, s.wrote, o.Listener.stored())
	s.pump.Full = s.diskFull
	s.keep = newKeeper(s)
	s.publish()
	s.group.Go(s.loop)
	s.group.Go(s.pump.Run)
	s.group.Go(s.keep.run)
	return s, nil
}

// openCore makes the core of a loaded folder.
func openCore(cfg Config, l *loaded) (*Core, error) {
	c := newCore(cfg, l)
	c.tail.set(l.lastOffset)
	rep, err := replica.Open(replica.Config{
		ID: cfg.Replica, Disk: l.disk, ElectionTicks: 10, HeartbeatTicks: 2,
		EntryBytes: uint64(cfg.Limits.EntryBytes), UncommittedBytes: uint64(cfg.Limits.UncommittedBytes),
		CacheBytes: tailBytes, Logger: cfg.Logger, Behind: cfg.Behind, Snapshot: c.snapshot, Damaged: cfg.damaged(),
	}, c)
	if err != nil {
		return nil, fmt.Errorf("open group of shard %d: %w", cfg.Number, err)
	}
	c.rep = rep
	return c, nil
}

// diskFull refuses appends while what was already proposed waits for space.
func (s *Shard) diskFull(why error) {
	if why == nil {
		s.o.Logger.Info("space returned; what waited is stored")
		s.Refuse("storing", nil)
		return
	}
	s.o.Logger.Error("no space on the disk: what is in flight waits for some, appends are refused", "error", why)
	s.Refuse("storing", errs.New(errs.NoSpace, "the disk of shard %d is full; nothing was written: free space and try again", s.o.Number))
	s.nudge()
}

// post leaves something for the loop. After the shard has stopped, calls and queries get the reason.
func (s *Shard) post(put func(*inbox)) {
	s.mu.Lock()
	put(&s.inbox)
	err := s.stopped
	var in inbox
	if err != nil {
		in, s.inbox = s.inbox, inbox{}
	}
	s.mu.Unlock()
	if err != nil {
		s.turnAway(in, err)
		return
	}
	s.nudge()
}

func (s *Shard) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Shard) turnAway(in inbox, err error) {
	for _, t := range append(in.tasks, in.resolved...) {
		t.call.Err = err
		s.finish(t)
	}
	for _, q := range in.queries {
		q.err = err
		q.finish()
	}
}

// Deliver takes messages of peers.
func (s *Shard) Deliver(ms []*pb.Message) {
	s.post(func(in *inbox) { in.messages = append(in.messages, ms...) })
}

// ReportSnapshot tells this shard, if it leads, how a replica fared with the segments it was offered: they are installed and it is open
// again, or it needs another offer.
func (s *Shard) ReportSnapshot(id uint64, installed bool) {
	s.post(func(in *inbox) {
		in.calls = append(in.calls, func(r *replica.Replica) { r.ReportSnapshot(id, installed) })
	})
}

func (s *Shard) wrote(ws []*replica.Write, err error) {
	s.post(func(in *inbox) {
		in.wrote = append(in.wrote, ws...)
		if err != nil {
			in.err = err
		}
	})
}

// loop is the shard's one goroutine: everything that is decided is decided here.
func (s *Shard) loop() {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	if !s.step() {
		return
	}
	for {
		ticked := false
		select {
		case <-s.stop:
			s.halt(s.closed())
			return
		case <-s.wake:
		case <-tick.C:
			ticked = true
		}
		in := s.take()
		if in.err != nil {
			s.turnAway(in, in.err)
			s.halt(in.err)
			return
		}
		s.feed(in, ticked)
		if !s.step() {
			return
		}
	}
}

// step does what is due; false when the shard has stopped over it.
func (s *Shard) step() bool {
	step := s.core.Advance(s.o.Clock.Now())
	if step.Fatal != nil {
		s.finishAll(step.Done)
		s.halt(step.Fatal)
		return false
	}
	s.advance(step)
	return true
}

// take swaps the inbox for an empty one, keeping its memory for the time after next.
func (s *Shard) take() inbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.inbox
	s.inbox = s.spare
	s.spare = inbox{tasks: in.tasks[:0], wrote: in.wrote[:0]}
	return in
}

func (s *Shard) feed(in inbox, ticked bool) {
	c := s.core
	c.refuse = nil
	if e := s.refusal.Load(); e != nil {
		c.refuse = e
	}
	for _, w := range in.wrote {
		c.Wrote(w)
	}
	for _, m := range in.messages {
		c.Receive(m)
	}
	for _, t := range in.resolved {
		c.Resolved(t)
	}
	for _, call := range in.calls {
		call(c.rep)
	}
	c.Submit(in.tasks)
	for _, q := range in.queries {
		c.Query(q)
	}
	if ticked {
		c.Tick()
		s.members = c.rep.Members()
	}
}

func (s *Shard) advance(step Step) {
	s.pump.Add(step.Writes)
	if len(step.Messages) > 0 && s.o.Send != nil {
		s.o.Send(step.Messages)
	}
	if step.Offer != nil && s.o.Offered != nil {
		s.o.Offered(*step.Offer)
	}
	s.finishAll(step.Done)
	for _, t := range step.Resolve {
		s.group.Go(func() { s.resolveAgain(t) })
	}
	was := s.status.Load().segment
	s.publish()
	if s.core.segment != was {
		s.keep.hold()
	}
	if len(step.Writes) > 0 {
		s.keep.nudge()
	}
}

func (s *Shard) resolveAgain(t *task) {
	t.unread = s.damaged(s.look.resolve(t))
	s.post(func(in *inbox) { in.resolved = append(in.resolved, t) })
}

func (s *Shard) finishAll(ds []done) {
	for _, d := range ds {
		if t, ok := d.(*task); ok {
			s.finish(t)
			continue
		}
		d.finish()
	}
}

func (s *Shard) finish(t *task) {
	s.queued.Add(-int64(t.call.Commit.Bytes))
	t.finish()
}

// halt stops for good: nothing in flight can be known any more.
func (s *Shard) halt(why error) {
	s.mu.Lock()
	first := s.stopped == nil
	if first {
		s.stopped = why
	}
	in := s.inbox
	s.inbox = inbox{}
	s.mu.Unlock()
	if !first {
		return
	}
	close(s.halted)
	s.turnAway(in, why)
	for _, t := range s.core.queue {
		if t == s.core.held {
			continue // its resolver still reads the call, and hands it in to be turned away
		}
		t.call.Err = why
		s.finish(t)
	}
	unknown := errs.New(errs.UnknownOutcome, "the shard stopped while the append was being stored; it may have been written: retry with the same ids (%v)", why)
	for _, f := range s.core.flights {
		for _, t := range f.tasks {
			t.call.Err = unknown
			s.finish(t)
		}
	}
	for _, q := range s.core.queries() {
		q.err = why
		q.finish()
	}
	for _, a := range s.core.answers {
		a.fail(why)
		s.finishAll([]done{a.to})
	}
	s.tail.close()
	s.publish()
	select {
	case <-s.stop: // it was asked to
		return
	default:
	}
	if l := s.o.Listener; l != nil && l.Stopped != nil {
		l.Stopped(why)
	}
}

// Refuse makes appends fail with e until it is called with nil for the same cause: the disk is full, the node is draining, ….
func (s *Shard) Refuse(cause string, e *errs.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e == nil {
		delete(s.refusals, cause)
	} else {
		s.refusals[cause] = e
	}
	var any *errs.Error
	for _, c := range slices.Sorted(maps.Keys(s.refusals)) {
		any = s.refusals[c]
	}
	s.refusal.Store(any)
}

// Close stops the shard: what is queued is answered, what is stored stays, and a mark is written.
func (s *Shard) Close() error {
	var err error
	s.once.Do(func() {
		close(s.stop)
		s.pump.Close()
		s.keep.close()
		s.group.Wait()
		s.using.Lock()
		s.ended = true
		s.using.Unlock()
		err = s.disk.Close()
		if e := s.ix.Close(); err == nil {
			err = e
		}
	})
	return err
}
