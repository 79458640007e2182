package entity

import (
	"log/slog"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/limits"
)

// Config is what a core is made of.
type Config struct {
	Limits   limits.Limits
	Logger   *slog.Logger
	Listener *Listener
	// IDs begins the ids of commands that come without one; no two cores may have the same.
	IDs string
}

// Bounds of the core; each has its reason beside it.
const (
	// waitForHandler is how long a command waits for a handler of its kind: long enough for one that is restarted.
	waitForHandler = 5 * time.Second
	// batchCommands and batchBytes bound the commands of one task: more would only make an entity's others wait.
	batchCommands = 64
	batchBytes    = 256 * limits.KiB
	// pieceBytes is how much of an entity is read, and sent, at once.
	pieceBytes = limits.MiB
	// mostTries is how often a command is decided anew because others write the entity's stream.
	mostTries = 16
	// mostMissing is how often a handler may say in a row that it lacks what it was given.
	mostMissing = 3
	// breakAfter failures in a row open a circuit breaker, for breakFor at first and at most breakLongest.
	breakAfter   = 16
	breakFor     = time.Second
	breakLongest = 30 * time.Second
	// entityBytes is what an entity is taken to cost beside its key and state.
	entityBytes = 640
	// TickEvery is how often Tick is due.
	TickEvery = 100 * time.Millisecond
	longest   = time.Minute // of a retry
)

// Step is what must happen outside after a step.
type Step struct {
	// Send are attachments that have something for their handlers; take it with Attachment.take.
	Send []*Attachment
	// Commits are to be submitted to the log in this order; hand their outcomes to Committed.
	Commits []*event.Call
	// Loads are to be read; hand what came of them to Loaded.
	Loads []*Loading
	// Confirms are to be asked of the log; hand the answers to Confirmed.
	Confirms []*Confirm
	// Done are calls that have their outcome.
	Done []*Call
}

// Loading is a part of an entity that is to be read.
type Loading struct {
	Spec event.LoadSpec
	// Barrier wants everything acknowledged before to be counted: what was read last was not the newest.
	Barrier bool
	// Got and Err are set by who reads.
	Got event.Loaded
	Err error

	e       *entity // nil: for a fold
	f       *fold
	seat    *seat
	task    uint64 // begun to be sent; 0: not yet
	session uint64
	began   time.Time
	events  int
}

// Confirm asks whether an entity is still where answers were judged that write nothing.
type Confirm struct {
	Topic, Key []byte
	// IDs are those of the commands, where they have one.
	IDs []string
	// Head is the stream's newest revision at a moment after the question, at which this node's view was the newest; Known are
	// the outcomes of commands whose id has been used, by place in IDs. Set by who asks.
	Head  uint64
	Known []Known
	Err   error

	e        *entity
	revision uint64
	commands []*command
}

// Known is what became of a command before.
type Known struct {
	Place   int
	Outcome event.Outcome
	Digest  [32]byte
}

// Core decides what goes where and when; it has no clock, disk, network or goroutine.
type Core struct {
	cfg   Config
	now   time.Time
	kinds map[string]*kind
	atts  []*Attachment // in the order of their coming
	out   Step
	dirty []*Attachment // that have something to be sent

	pending  commands // all that wait for an outcome, oldest first
	byID     map[idKey]*command
	delayed  []*command
	nextID   uint64 // of commands, tasks, sessions, attachments
	bytes    int64  // of the entities known
	entities int
	folds    map[*fold]bool
	stamper  event.Stamper
	leaving  string // why all handlers are to go when nothing is under way
}

// idKey names a command that came with an id.
type idKey struct{ kind, key, id string }

// kind is a kind of entities as it is served now.
type kind struct {
	name     string
	topic    []byte
	service  string
	conf     *KindConfig // the newest attachment's; nil before the first
	seats    []*seat     // one for each attachment that is not draining
	attached int         // those that drain included
	epoch    uint64      // counts changes of seats
	entities map[string]*entity
	idle     entities
	waiting  []*entity // for a handler
	folds    []*fold   // the same
	queued   int       // commands without an outcome
	inHand   int       // entities with a task or being loaded
}

// seat is an attachment's place at a kind.
type seat struct {
	att      *Attachment
	kind     *kind
	conf     *KindConfig
	ready    []*entity // that wait for credit, or for the kind's concurrency
	folds    []*fold   // the same
	failures int
	backoff  time.Duration
	openTo   time.Time // the breaker; zero: closed
	open     bool      // it was told so
	// stateless tells that the handler keeps no sessions: states are kept here for it.
	stateless bool
}

// New gives a core without handlers.
func New(cfg Config) *Core {
	if cfg.Listener == nil {
		cfg.Listener = &Listener{}
	}
	return &Core{cfg: cfg, kinds: map[string]*kind{}, byID: map[idKey]*command{}, folds: map[*fold]bool{}}
}

// At tells the time of the steps that follow.
func (c *Core) At(now time.Time) { c.now = now }

// Take gives what must happen outside, and forgets it.
func (c *Core) Take() Step {
	c.leave()
	for _, a := range c.dirty {
		if a.dirty = false; !a.gone {
			c.out.Send = append(c.out.Send, a)
		}
	}
	c.dirty = c.dirty[:0]
	out := c.out
	c.out = Step{}
	return out
}

// touch marks an attachment that has something to be sent.
func (c *Core) touch(a *Attachment) {
	if !a.dirty {
		a.dirty = true
		c.dirty = append(c.dirty, a)
	}
}

func (c *Core) id() uint64 {
	c.nextID++
	return c.nextID
}

// Execute takes a call: a command, or a question for a state.
func (c *Core) Execute(call *Call) {
	k := c.kind(call.Kind)
	if err := c.admit(k, call); err != nil {
		c.answer(call, err)
		c.forgetKind(k)
		return
	}
	e := k.entities[call.Key]
	if e == nil {
		e = c.newEntity(k, call.Key)
	}
	if e.count >= k.entityQueue() {
		c.answer(call, errs.New(errs.Busy, "%d commands wait for entity %s/%s; nothing was decided: try again later", e.count, k.name, e.key).With("limit", "entity_queue"))
		return
	}
	cmd := &command{call: call, e: e}
	if call.ID != "" && call.Command != "" {
		cmd.digest = event.RequestDigest(call.Command, &call.Payload)
		id := idKey{call.Kind, call.Key, call.ID}
		if first := c.byID[id]; first != nil {
			c.join(first, cmd)
			return
		}
		c.byID[id] = cmd
	}
	c.awake(e)
	k.queued++
	e.count++
	c.pending.add(cmd)
	e.queue.push(cmd)
	c.poke(e)
}

// join lets a command wait for another of the same id: it gets the same outcome.
func (c *Core) join(first, cmd *command) {
	if first.digest != cmd.digest {
		c.answer(cmd.call, errSameID(cmd.call.ID))
		return
	}
	first.twins = append(first.twins, cmd.call)
}

func errSameID(id string) error {
	return errs.New(errs.Invalid, "the command id %q was used before for other content: use a new id for a new command, and send a retry unchanged", id).With("field", "id")
}

// admit refuses what cannot be decided, before anything is kept of it.
func (c *Core) admit(k *kind, call *Call) error {
	switch {
	case k.queued >= k.queue():
		return errs.New(errs.Busy, "%d commands of kind %s wait; nothing was decided: try again later", k.queued, k.name).With("limit", "queue")
	case call.Command == "" || k.conf == nil || k.conf.Commands == nil:
		return nil
	}
	if _, ok := k.conf.Commands[call.Command]; !ok {
		return errs.New(errs.Invalid, "the kind %s takes no command %.80q", k.name, call.Command).With("field", "command")
	}
	return nil
}

func (c *Core) kind(name string) *kind {
	k := c.kinds[name]
	if k == nil {
		k = &kind{name: name, topic: []byte(name), entities: map[string]*entity{}}
		c.kinds[name] = k
	}
	return k
}

// forgetKind drops what is known of a kind that nobody serves and nobody waits for.
func (c *Core) forgetKind(k *kind) {
	if k.attached == 0 && k.queued == 0 && len(k.entities) == 0 {
		delete(c.kinds, k.name)
	}
}

func (k *kind) queue() int {
	if k.conf == nil {
		return defaultQueue
	}
	return k.conf.Queue
}

func (k *kind) entityQueue() int {
	if k.conf == nil {
		return defaultEntityQueue
	}
	return k.conf.EntityQueue
}

func (k *kind) concurrency() int {
	if k.conf == nil {
		return defaultConcurrency
	}
	return k.conf.Concurrency
}

// answer gives a call its outcome.
func (c *Core) answer(call *Call, err error) {
	call.Err = err
	if told := c.cfg.Listener.Executed; told != nil {
		told(call.Kind, c.now.Sub(call.Received), call.Outcome.Repeated, err)
	}
	c.out.Done = append(c.out.Done, call)
}
