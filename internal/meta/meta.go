package meta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

const (
	// segmentBytes is small: a change is some hundred bytes, and a segment is what the log is trimmed by.
	segmentBytes = 4 << 20
	entryBytes   = 1 << 20
	// snapshotEvery bounds what is read at start, and what a snapshot lets go.
	snapshotEvery = 10_000
	tickEvery     = 50 * time.Millisecond
	kindCommand   = 1
	// group is the meta group's number in its log's checksums; shards count from 1.
	group = 0
)

// Options is what the meta group is opened with.
type Options struct {
	FS      vfs.FS
	Dir     string
	Replica uint64
	Voters  []uint64
	// Topics bounds how many topics there can be.
	Topics int
	Clock  clock.Clock
	Logger *slog.Logger
	// Send gives messages to peers; nil for a group of one.
	Send func([]*pb.Message)
	// Forward makes a change at the leader, and gives the entry that holds it; nil for a group of one.
	Forward func(ctx context.Context, leader uint64, payload []byte) (uint64, error)
	// Changed, which may be nil, hears that members or shards may be others. It must not block.
	Changed func()
	// Salt draws the number of each segment file; nil: from the system.
	Salt func() uint64

	// segment and every stand in for segmentBytes and snapshotEvery when they are set.
	segment int64
	every   uint64
}

// Meta runs the meta group's replica on this node.
type Meta struct {
	o    Options
	disk *replica.Disk
	rep  *replica.Replica
	pump *replica.Pump
	// pumped is closed when the pump has ended; offered is a leader's newest offer.
	pumped  chan struct{}
	offered *replica.Snapshot
	// writes and messages are what steps have brought that is not handed on yet. Messages wait until what is committed is applied: who
	// learns that an entry is stored here may count on this replica's knowing its group by then.
	writes   []*replica.Write
	messages []*pb.Message

	state    atomic.Pointer[state]
	status   atomic.Pointer[Status]
	snapshot uint64 // the newest snapshot's index

	mu      sync.Mutex
	inbox   inbox
	stopped error
	applied uint64
	waiters []waiter

	flights map[uint64]*change
	asking  map[uint64]chan uint64 // who waits for the answers to which questions
	asked   uint64
	waiting []*change // until there is a leader
	role    replica.Role
	leader  uint64
	term    uint64
	fatal   error

	wake, stop chan struct{}
	ended      chan struct{} // closed when the loop has ended
	caughtUp   chan struct{} // closed when an entry of this replica's own term was applied, or never will be
	current    sync.Once
	running    sync.WaitGroup
	once       sync.Once
}

type inbox struct {
	changes  []*change
	messages []*pb.Message
	wrote    []*replica.Write
	calls    []func(*replica.Replica)
	err      error
}

// Open opens the meta group's folder and begins to run.
func Open(o Options) (*Meta, error) {
	m := &Meta{o: o, flights: map[uint64]*change{}, asking: map[uint64]chan uint64{}, wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}), caughtUp: make(chan struct{})}
	if err := m.begin(); err != nil {
		return nil, err
	}
	m.startPump()
	m.publish()
	m.running.Go(m.loop)
	if v := m.disk.State.Load().Conf.Voters; len(v) == 1 && v[0] == o.Replica {
		if err := m.catchUp(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// begin opens the folder: at first, and again when a leader's state was installed in it.
func (m *Meta) begin() error {
	log := seglog.Options{FS: m.o.FS, Dir: m.o.Dir, Shard: group, SegmentBytes: cmp.Or(m.o.segment, segmentBytes), MaxBatchEntries: 1024, Salt: m.o.Salt}
	if err := finishInstall(log); err != nil {
		return fmt.Errorf("install the meta group's state: %w", err)
	}
	disk, err := replica.OpenDisk(log, m.o.Voters)
	if err != nil {
		return fmt.Errorf("open meta log: %w", err)
	}
	m.disk = disk
	if err := m.load(); err != nil {
		_ = disk.Close()
		return fmt.Errorf("load meta: %w", err)
	}
	m.rep, err = replica.Open(replica.Config{
		ID: m.o.Replica, Disk: disk, ElectionTicks: 10, HeartbeatTicks: 2, EntryBytes: entryBytes, UncommittedBytes: 8 * entryBytes,
		CacheBytes: entryBytes, Logger: m.o.Logger, Snapshot: m.offer,
	}, m)
	if err != nil {
		_ = disk.Close()
		return err
	}
	m.showApplied(m.state.Load().Index)
	return nil
}

func (m *Meta) startPump() {
	pump, pumped := replica.NewPump(m.disk, m.wrote, nil), make(chan struct{})
	m.pump, m.pumped = pump, pumped
	m.running.Go(func() {
		defer close(pumped)
		pump.Run()
	})
}

// catchUp waits until a group of one has applied everything that it ever acknowledged: the newest of it is committed again only with
// the first entry of the new term.
func (m *Meta) catchUp() error {
	<-m.caughtUp
	m.mu.Lock()
	err := m.stopped
	m.mu.Unlock()
	if err != nil {
		_ = m.Close()
		return fmt.Errorf("open meta: %w", err)
	}
	return nil
}

// load folds the snapshot and the committed entries behind it.
func (m *Meta) load() error {
	s, err := loadSnapshot(m.o.FS, m.o.Dir)
	if err != nil {
		return err
	}
	m.snapshot = s.Index
	m.state.Store(s)
	if first := m.disk.Log.First(); first > s.Index+1 {
		return missing(m.o.Dir, first, s.Index)
	}
	for i := s.Index + 1; i <= m.disk.Loadable(); i++ {
		es, err := m.disk.Log.Entries(i, i+1, 1)
		if err != nil {
			return err
		}
		if _, err := m.fold(es[0]); err != nil {
			return err
		}
	}
	return nil
}

func missing(dir string, first, snapshot uint64) error {
	name := filepath.Join(dir, snapshotName)
	return errs.New(errs.Corrupt, "the meta log begins at entry %d and its snapshot ends at %d: entries are missing; restore the folder %s from a backup", first, snapshot, dir).
		With("file", name).With("offset", "0")
}

// fold applies an entry's command, unless the state holds it already. The refusal is for who proposed it.
func (m *Meta) fold(e replica.Entry) (refusal, err error) {
	if e.Type != seglog.TypeRecords || len(e.Data) == 0 || e.Index <= m.state.Load().Index {
		return nil, nil
	}
	w := seglog.WalkRecords(e.Data)
	for w.Next() {
		next, no, err := m.state.Load().apply(e.Index, w.Payload())
		if err != nil {
			return nil, err
		}
		refusal = no
		m.state.Store(next)
	}
	return refusal, w.Err()
}

// Topic gives a topic by its name.
func (m *Meta) Topic(name string) (Topic, bool) {
	t, ok := m.state.Load().Topics[name]
	return t, ok
}

// Topics lists topics in the order of their names.
func (m *Meta) Topics(prefix, after string, limit int) ([]Topic, bool) {
	return m.state.Load().list(prefix, after, limit)
}

// Count is how many topics there are.
func (m *Meta) Count() int { return len(m.state.Load().Topics) }

// EnsureTopic creates a topic where the layout says, unless there is one of that name. The name was checked by the caller.
func (m *Meta) EnsureTopic(ctx context.Context, name string, l Layout) (created bool, err error) {
	if _, ok := m.Topic(name); ok {
		return false, nil
	}
	t := &Topic{Name: name, Created: m.o.Clock.Now().UTC(), Shard: firstShard}
	c := command{CreateTopic: t, Limit: m.o.Topics}
	if l.any() {
		c.Layout = &l
	}
	if err := m.propose(ctx, c); err != nil {
		return false, err
	}
	made, ok := m.Topic(name)
	return !ok || made.Created.Equal(t.Created), nil // another node may have made it in between
}

// DeleteTopic removes a topic's declaration.
func (m *Meta) DeleteTopic(ctx context.Context, name string) error {
	if _, ok := m.Topic(name); !ok {
		return errs.New(errs.NotFound, "there is no topic %s", name)
	}
	return m.propose(ctx, command{DeleteTopic: &name})
}

// Cursor gives a cursor by its name.
func (m *Meta) Cursor(name string) (Cursor, bool) {
	c, ok := m.state.Load().Cursors[name]
	return c, ok
}

// Cursors lists cursors in the order of their names: those with the prefix, after a name.
func (m *Meta) Cursors(prefix, after string, limit int) ([]Cursor, bool) {
	return page(m.state.Load().Cursors, prefix, after, limit)
}

// SetCursor moves or makes a cursor, durably. Expect is nil, or the position that it must have, empty when it must not be there
// yet; otherwise: conflict. The name and the position were checked by the caller.
func (m *Meta) SetCursor(ctx context.Context, name, position string, expect *string) (Cursor, error) {
	c := Cursor{Name: name, Position: position, Updated: m.o.Clock.Now().UTC()}
	return c, m.propose(ctx, command{SetCursor: &setCursor{Cursor: c, Expect: expect}})
}

// DeleteCursor forgets a cursor, durably. Unknown: not_found.
func (m *Meta) DeleteCursor(ctx context.Context, name string) error {
	return m.propose(ctx, command{DeleteCursor: &name})
}

func (m *Meta) wrote(ws []*replica.Write, err error) {
	m.post(func(in *inbox) {
		in.wrote = append(in.wrote, ws...)
		in.err = errors.Join(in.err, err)
	})
}

// Deliver takes messages of peers.
func (m *Meta) Deliver(ms []*pb.Message) {
	m.post(func(in *inbox) { in.messages = append(in.messages, ms...) })
}

func (m *Meta) post(put func(*inbox)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	put(&m.inbox)
	if m.stopped != nil {
		for _, c := range m.inbox.changes {
			c.end(0, m.stopped)
		}
		m.inbox = inbox{}
		return
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *Meta) loop() {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	defer func() { m.pump.Close() }()
	for {
		m.step()
		m.handOn()
		if m.fatal != nil {
			m.halt(m.fatal)
			return
		}
		select {
		case <-m.stop:
			m.halt(errs.New(errs.Unavailable, "the node is closing"))
			return
		case <-m.wake:
		case <-tick.C:
			m.rep.Tick()
		}
		m.feed()
	}
}

// step does what is due, and takes what a leader offers.
func (m *Meta) step() {
	m.advance()
	offer := m.offered
	if m.offered = nil; offer == nil || m.fatal != nil {
		return
	}
	if m.fatal = m.install(*offer); m.fatal == nil {
		m.advance()
	}
}

// handOn gives writes to the pump and messages to peers.
func (m *Meta) handOn() {
	m.pump.Add(m.writes)
	if len(m.messages) > 0 && m.o.Send != nil {
		m.o.Send(m.messages)
	}
	m.writes, m.messages = nil, nil
}

func (m *Meta) feed() {
	m.mu.Lock()
	in := m.inbox
	m.inbox = inbox{}
	m.mu.Unlock()
	if in.err != nil {
		m.fatal = in.err
	}
	for _, w := range in.wrote {
		m.messages = append(m.messages, m.rep.Wrote(w)...)
	}
	for _, msg := range in.messages {
		m.rep.Step(msg)
	}
	for _, call := range in.calls {
		call(m.rep)
	}
	m.waiting = append(m.waiting, in.changes...)
}

// advance proposes what waits, once there is a leader, and does what is due.
func (m *Meta) advance() {
	m.ready()
	switch {
	case m.role == replica.Leader:
		for _, c := range m.waiting {
			m.start(c)
		}
		m.waiting = nil
	case m.leader != 0:
		for _, c := range m.waiting {
			c.end(0, errs.New(errs.NoLeader, "another node leads the meta group; nothing was changed: try there"))
		}
		m.waiting = nil
	}
	m.ready()
	m.publish()
}

func (m *Meta) start(c *change) {
	data := seglog.AppendRecord(nil, group, m.rep.Next(), kindCommand, c.payload)
	index, term, err := m.rep.Propose(data)
	if err != nil {
		c.end(0, errs.New(errs.NoLeader, "the change could not be proposed; nothing was changed: %w", err))
		return
	}
	c.term = term
	m.flights[index] = c
}

func (m *Meta) ready() {
	for {
		o, more := m.rep.Ready()
		if o.Damage != nil {
			m.fatal = o.Damage
		}
		if !more {
			return
		}
		for i := range o.Offers {
			m.offered = &o.Offers[i]
		}
		m.messages = append(m.messages, o.Messages...)
		if o.Write != nil {
			m.writes = append(m.writes, o.Write)
		}
	}
}

// Apply folds a committed entry and answers who waits for it.
func (m *Meta) Apply(e replica.Entry) {
	if m.fatal != nil {
		return // what comes behind an entry that was not folded must not be folded either
	}
	before := m.state.Load()
	refusal, err := m.fold(e)
	if err != nil {
		m.fatal = err
		return
	}
	m.decide(e, refusal)
	m.showApplied(e.Index)
	if m.o.Changed != nil && m.state.Load() != before {
		m.o.Changed()
	}
	if e.Index >= m.snapshot+cmp.Or(m.o.every, snapshotEvery) {
		m.trim(e.Index)
	}
	if m.role == replica.Leader && e.Term == m.term {
		m.current.Do(func() { close(m.caughtUp) })
	}
}

// decide answers who waits for an entry, and who proposed in an earlier term what is not in the log: terms never fall along it.
func (m *Meta) decide(e replica.Entry, refusal error) {
	for index, c := range m.flights {
		switch {
		case index == e.Index && c.term == e.Term:
			c.end(e.Index, refusal)
		case index <= e.Index || c.term < e.Term:
			c.end(0, errs.New(errs.NoLeader, "leadership moved before the change was replicated; nothing was changed: try again"))
		default:
			continue
		}
		delete(m.flights, index)
	}
}

// trim writes a snapshot and lets the log before it go. Failing costs space only; it is tried again later.
func (m *Meta) trim(index uint64) {
	s := *m.state.Load()
	s.Index = index
	if err := saveSnapshot(m.o.FS, m.o.Dir, &s); err != nil {
		m.o.Logger.Error("meta snapshot not written; it is tried again", "error", err)
		return
	}
	m.snapshot = index
	if err := m.disk.Log.Trim(index); err != nil {
		m.o.Logger.Error("meta log not trimmed; it is tried again", "error", err)
	}
}

// RoleChanged notes who leads.
func (m *Meta) RoleChanged(term uint64, role replica.Role, leader uint64) {
	m.term, m.role, m.leader = term, role, leader
}

// Ready tells whether changes can be made here or at a known leader.
func (m *Meta) Ready() (bool, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped != nil {
		return false, fmt.Sprintf("meta stopped: %v", m.stopped)
	}
	return true, ""
}

func (m *Meta) halt(why error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = why
	m.current.Do(func() { close(m.caughtUp) })
	for _, c := range append(m.inbox.changes, m.waiting...) {
		c.end(0, why)
	}
	for _, c := range m.flights {
		c.end(0, errs.New(errs.UnknownOutcome, "meta stopped; the change may have been made: %w", why))
	}
	for _, w := range m.waiters {
		close(w.done)
	}
	m.inbox, m.waiters = inbox{}, nil
	close(m.ended)
	select {
	case <-m.stop: // it was asked to
	default:
		m.o.Logger.Error("meta stopped: no topic and no cursor can be changed until the node is restarted", "error", why)
	}
}

// Close stops the group's replica here.
func (m *Meta) Close() error {
	var err error
	m.once.Do(func() {
		close(m.stop)
		m.running.Wait()
		err = m.disk.Close()
	})
	return err
}
