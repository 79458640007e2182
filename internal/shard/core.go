package shard

import (
	"log/slog"
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/limits"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
)

// Config is what a shard is made of.
type Config struct {
	// Number names the shard in its cluster, from 1; Cluster is the cluster's id.
	Number  uint32
	Cluster string
	// Replica is this replica's number in the shard's group.
	Replica uint64
	Limits  limits.Limits
	// NewHistory draws the number of a new shard's history.
	NewHistory func() uint64
	// Lineage says how the log was forked; nil: never.
	Lineage *Lineage
	// Salt draws the number of each segment file; nil: from the system.
	Salt func() uint64
	// Behind is how many segments before the active one are given to other replicas as entries; 0: 4.
	Behind int
	// Salvage lets a replica in a group of several voters open when its last segment is damaged beyond what a power cut explains: it
	// is cut there, and until the replica has caught up past what it may have lost it is careful with its vote.
	Salvage  bool
	Logger   *slog.Logger
	Listener *Listener
}

// depth is how many writes may be under way before judging waits. Two keep the disk busy while the next batch is built; more
// would only make batches smaller.
const depth = 2

// Core is a shard without time, disk or network: it judges, numbers, proposes, applies and releases. One goroutine steps it.
type Core struct {
	cfg  Config
	rep  *replica.Replica
	disk *replica.Disk
	log  *seglog.Log
	ix   *index.Index
	now  time.Time

	// what is applied
	settings   event.Settings
	lastOffset uint64
	lastTime   int64
	segment    uint64
	tail       *tail

	// what this leader has judged and not yet applied
	serving  bool
	proposed proposed
	flights  []*flight
	writing  int // writes with entries that are not stored yet

	queue   []*task
	parked  []*query // until there is a leader
	remote  []*remote
	held    *task // the head of the queue waits for its resolver
	answers []*answer
	confirm uint64
	refuse  error // why nothing may be appended now (disk full, draining); nil when it may

	out Step
}

// Step is what must happen outside after a step.
type Step struct {
	Writes   []*replica.Write
	Messages []*pb.Message
	// Resolve are tasks whose look-ups must be made again; hand them to Resolve, then to Resolved.
	Resolve []*task
	// Done are calls and queries that have their outcome.
	Done []done
	// Offer is what a leader offers because this replica is too far behind for entries; nil: nothing.
	Offer *Manifest
	// Fatal is a broken invariant: the shard must stop.
	Fatal error
}

// done is an outcome on its way to its caller.
type done interface{ finish() }

// answer is an outcome that wrote nothing: it waits until what it was judged on is applied, and until this replica was
// confirmed as the leader after the judgement.
type answer struct {
	to        done
	fail      func(error)
	deadline  time.Time
	after     uint64 // the newest index proposed when it was judged
	confirm   uint64 // the confirmation that covers it
	applied   uint64 // once confirmed: what must be applied
	confirmed bool
}

// flight is an entry that was proposed and is not decided.
type flight struct {
	index, term uint64
	tasks       []*task
	undo        []undo
	ids         []uint64
}

func newCore(cfg Config, l *loaded) *Core {
	c := &Core{cfg: cfg, disk: l.disk, log: l.disk.Log, ix: l.index, tail: newTail(tailBytes)}
	c.settings, c.lastOffset, c.lastTime, c.segment = l.settings, l.lastOffset, l.lastTime, l.segment
	c.proposed.reset(c.lastOffset, c.lastTime)
	return c
}

// Submit queues tasks that were prefetched.
func (c *Core) Submit(ts []*task) { c.queue = append(c.queue, ts...) }

// Receive takes a message of a peer.
func (c *Core) Receive(m *pb.Message) { c.rep.Step(m) }

// Tick passes one tick of time.
func (c *Core) Tick() {
	c.rep.Tick()
	c.askAgain()
	c.expire()
}

// Wrote tells that a write is stored.
func (c *Core) Wrote(w *replica.Write) {
	if !w.Empty() {
		c.writing--
	}
	c.out.Messages = append(c.out.Messages, c.rep.Wrote(w)...)
}

// Resolved gives back a task of Step.Resolve.
func (c *Core) Resolved(t *task) {
	if c.held == t {
		c.held = nil
	}
}

// Advance does everything that is due at a moment and tells what must happen outside.
func (c *Core) Advance(now time.Time) Step {
	c.noticeJump(now)
	c.now = now
	c.ready()
	c.unpark()
	c.judgeQueue()
	c.ready()
	if c.confirmNeeded() {
		c.confirm++
		c.rep.Confirm(c.confirm)
		c.ready()
	}
	c.releaseAnswers()
	c.releaseRemote()
	out := c.out
	c.out = Step{}
	return out
}

// clockJump is how far the clock may move between two looks at it before it is worth a word. The core is looked after ten times a
// second, and recorded time never goes back, whatever the clock does.
const clockJump = time.Minute

func (c *Core) noticeJump(now time.Time) {
	// Without Round the difference would be that of the monotonic clock, which never jumps.
	if d := now.Round(0).Sub(c.now.Round(0)); !c.now.IsZero() && (d > clockJump || d < -clockJump) {
		c.cfg.Logger.Warn("the clock jumped, or the process was suspended; recorded times never go back", "by", d)
	}
}

func (c *Core) ready() {
	for {
		o, more := c.rep.Ready()
		if o.Damage != nil {
			c.out.Fatal = o.Damage
		}
		if !more {
			return
		}
		for _, s := range o.Offers {
			c.offered(s)
		}
		c.out.Messages = append(c.out.Messages, o.Messages...)
		if o.Write != nil {
			c.out.Writes = append(c.out.Writes, o.Write)
			if !o.Write.Empty() {
				c.writing++
			}
		}
	}
}

// RoleChanged forgets what was judged in another term: it was judged on entries that may never be.
func (c *Core) RoleChanged(term uint64, role replica.Role, leader uint64) {
	// A held task stays held until its resolver is done with it.
	c.serving = false
	c.proposed.reset(c.lastOffset, c.lastTime)
	for _, a := range c.answers {
		a.fail(errs.New(errs.NoLeader, "leadership moved before the answer could be confirmed; nothing was written: try again"))
		c.out.Done = append(c.out.Done, a.to)
	}
	c.answers = nil
	c.parkRemote()
	c.cfg.Logger.Info("role changed", "term", term, "role", role.String(), "leader", leader)
}

// Confirmed marks the answers that the n-th confirmation covers.
func (c *Core) Confirmed(n, index uint64) {
	for _, a := range c.answers {
		if !a.confirmed && a.confirm != 0 && a.confirm <= n {
			a.confirmed, a.applied = true, max(a.after, index)
		}
	}
	c.confirmRemote(n, index)
}

// mayLead tells whether waiting can help: this replica leads, or nobody is known to.
func (c *Core) mayLead() bool {
	s := c.rep.Status()
	return s.Role == replica.Leader || s.Leader == 0
}

func (c *Core) notLeader() error {
	return errs.New(errs.NoLeader, "replica %d does not lead shard %d; replica %d does", c.cfg.Replica, c.cfg.Number, c.rep.Status().Leader)
}

func (c *Core) answer(to done, fail func(error), deadline time.Time) {
	c.answers = append(c.answers, &answer{to: to, fail: fail, deadline: deadline, after: c.proposed.lastIndex})
}

// confirmNeeded gives answers that no confirmation and no later entry covers to the next confirmation.
func (c *Core) confirmNeeded() bool {
	if !c.serving {
		return false
	}
	need := false
	for _, a := range c.answers {
		if a.confirm == 0 && !a.confirmed && a.after >= c.proposed.lastIndex {
			a.confirm, need = c.confirm+1, true
		}
	}
	return need
}

// confirmBy marks answers that were judged before an entry of this leader that is now applied was proposed.
func (c *Core) confirmBy(index uint64) {
	for _, a := range c.answers {
		if !a.confirmed && a.after < index {
			a.confirmed, a.applied = true, index
		}
	}
}

func (c *Core) releaseAnswers() {
	applied := c.rep.Status().Applied
	c.answers = slices.DeleteFunc(c.answers, func(a *answer) bool {
		if !a.confirmed || a.applied > applied {
			return false
		}
		c.out.Done = append(c.out.Done, a.to)
		return true
	})
}

// expire ends what has waited for too long, with the truth about it.
func (c *Core) expire() {
	late := func(d time.Time) bool { return !d.IsZero() && c.now.After(d) }
	c.queue = slices.DeleteFunc(c.queue, func(t *task) bool {
		if t == c.held || !late(t.call.Deadline) {
			return false
		}
		c.fail(t, errs.New(errs.Busy, "the deadline passed before the append could be proposed; nothing was written: try again later"))
		return true
	})
	for _, f := range c.flights {
		f.tasks = slices.DeleteFunc(f.tasks, func(t *task) bool {
			if !late(t.call.Deadline) {
				return false
			}
			c.fail(t, errs.New(errs.UnknownOutcome, "the deadline passed while the append was being replicated; it may have been written: retry with the same ids"))
			return true
		})
	}
	c.expireQueries(late)
	c.answers = slices.DeleteFunc(c.answers, func(a *answer) bool {
		if !late(a.deadline) {
			return false
		}
		a.fail(errs.New(errs.NoLeader, "the deadline passed before leadership could be confirmed; nothing was written: try again"))
		c.out.Done = append(c.out.Done, a.to)
		return true
	})
}

func (c *Core) fail(t *task, err error) {
	t.call.Err = err
	c.out.Done = append(c.out.Done, t)
}

func (c *Core) position(offset uint64) position.Position {
	return position.Position{Shard: c.cfg.Number, History: c.cfg.Lineage.history(c.settings.History), Offset: offset}
}
