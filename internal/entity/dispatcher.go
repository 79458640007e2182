package entity

import (
	"context"
	"sync"
	"time"

	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// Log is what entities need of the log.
type Log interface {
	// Submit queues commits of entities, in order; done is called once for each, and must not block. It waits for nothing but looking
	// things up.
	Submit(calls []*event.Call, done func(*event.Call))
	// Load reads an entity as far as it is applied here; it may read the disk.
	Load(spec event.LoadSpec) (event.Loaded, error)
	// Shard tells where an entity's events are.
	Shard(topic, key []byte) uint32
	// Barrier waits until everything acknowledged in a shard before the call is applied here, and this node's view of it is the newest.
	Barrier(ctx context.Context, shard uint32) error
	// Command finds the newest outcome of a command id, and the digest of what was asked for then.
	Command(topic, key, id []byte) (o event.Outcome, digest [32]byte, ok bool, err error)
	// Revision is the stream's newest revision that is applied here.
	Revision(topic, key []byte) (uint64, error)
	// Prepare makes a kind's topic exist.
	Prepare(ctx context.Context, kind string) error
	// Versions tells which types of events, in which versions, a topic holds behind a position, empty for all, and gives the position up
	// to which it came, also when it fails. It may take long.
	Versions(ctx context.Context, topic, after string, tell func(typ []byte, version uint32)) (upTo string, err error)
}

// Handler is what an attached process is reached by.
type Handler interface {
	// Send takes a frame; it must not block. After it went out, Attachment.Sent is to be called.
	Send(Frame)
	// End tells that nothing more comes, and why.
	End(err error)
}

// Dispatcher runs one Core.
type Dispatcher struct {
	cfg   Config
	log   Log
	clock clock.Clock

	core *Core

	mu      sync.Mutex
	inbox   inbox
	spare   inbox
	stopped error

	wake  chan struct{}
	stop  chan struct{}
	reads chan func()
	group sync.WaitGroup
	once  sync.Once
	ctx   context.Context
	end   context.CancelFunc

	seen versions
}

// inbox is what others have left for the loop.
type inbox struct {
	calls     []*Call
	committed []*event.Call
	loaded    []*Loading
	confirmed []*Confirm
	do        []func(*Core)
}

func (in *inbox) empty() bool {
	return len(in.calls)+len(in.committed)+len(in.loaded)+len(in.confirmed)+len(in.do) == 0
}

// readers is how many entities are read from disk at once.
const readers = 8

// Open begins to run.
func Open(cfg Config, log Log, cl clock.Clock) *Dispatcher {
	d := &Dispatcher{cfg: cfg, log: log, clock: cl, core: New(cfg), wake: make(chan struct{}, 1), stop: make(chan struct{}), reads: make(chan func(), 1024)}
	d.ctx, d.end = context.WithCancel(context.Background())
	d.group.Go(d.loop)
	for range readers {
		d.group.Go(d.read)
	}
	return d
}

// Execute takes calls in the order in which commands of one entity are to be decided. What was executed before is answered at once.
func (d *Dispatcher) Execute(calls []*Call) {
	fresh := calls[:0:0]
	for _, call := range calls {
		if call.ID == "" || call.Command == "" || !d.repeat(call) {
			fresh = append(fresh, call)
		}
	}
	d.post(func(in *inbox) { in.calls = append(in.calls, fresh...) })
}

// repeat answers a command that was executed before. What is not found here may still be: the log's judgement decides.
func (d *Dispatcher) repeat(call *Call) bool {
	o, digest, ok, err := d.log.Command([]byte(call.Kind), []byte(call.Key), []byte(call.ID))
	switch {
	case err != nil:
		call.Err = err
	case !ok:
		return false
	case digest != event.RequestDigest(call.Command, &call.Payload):
		call.Err = errSameID(call.ID)
	default:
		call.Outcome = repeated(&o)
	}
	if told := d.cfg.Listener; told != nil && told.Executed != nil {
		told.Executed(call.Kind, d.clock.Now().Sub(call.Received), call.Outcome.Repeated, call.Err)
	}
	call.Done(call)
	return true
}

// Fold takes a question for a state at a revision.
func (d *Dispatcher) Fold(call *Call, at uint64) {
	if !d.do(func(c *Core) { c.Fold(call, at) }) {
		call.Err = d.why()
		call.Done(call)
	}
}

// post leaves something for the loop. After the end, calls get the reason.
func (d *Dispatcher) post(put func(*inbox)) {
	d.mu.Lock()
	put(&d.inbox)
	var in inbox
	err := d.stopped
	if err != nil {
		in, d.inbox = d.inbox, inbox{}
	}
	d.mu.Unlock()
	if err != nil {
		for _, call := range in.calls {
			call.Err = err
			call.Done(call)
		}
		return
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// do lets the loop do something; false: it has ended.
func (d *Dispatcher) do(f func(*Core)) bool {
	d.mu.Lock()
	if d.stopped != nil {
		d.mu.Unlock()
		return false
	}
	d.inbox.do = append(d.inbox.do, f)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return true
}

func (d *Dispatcher) why() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stopped
}

func (d *Dispatcher) loop() {
	tick := time.NewTicker(TickEvery)
	defer tick.Stop()
	for {
		ticked := false
		select {
		case <-d.stop:
			d.halt()
			return
		case <-d.wake:
		case <-tick.C:
			ticked = true
		}
		d.core.At(d.clock.Now())
		if ticked {
			d.core.Tick()
		}
		for in := d.take(); !in.empty(); in = d.take() {
			d.feed(&in)
			d.give(d.core.Take())
		}
		d.give(d.core.Take())
	}
}

// take swaps the inbox for an empty one.
func (d *Dispatcher) take() inbox {
	d.mu.Lock()
	defer d.mu.Unlock()
	in := d.inbox
	d.inbox = d.spare
	d.spare = inbox{}
	return in
}

func (d *Dispatcher) feed(in *inbox) {
	for _, call := range in.committed {
		d.core.Committed(call)
	}
	for _, f := range in.do {
		f(d.core)
	}
	for _, l := range in.loaded {
		d.core.Loaded(l)
	}
	for _, q := range in.confirmed {
		d.core.Confirmed(q)
	}
	for _, call := range in.calls {
		d.core.Execute(call)
	}
	clear(in.committed)
	clear(in.do)
	clear(in.loaded)
	clear(in.confirmed)
	clear(in.calls)
	d.spare = inbox{in.calls[:0], in.committed[:0], in.loaded[:0], in.confirmed[:0], in.do[:0]}
}

// give does what a step asks for. Commits go first: the log is what is waited for.
func (d *Dispatcher) give(s Step) {
	if len(s.Commits) > 0 {
		d.log.Submit(s.Commits, d.committed)
	}
	for _, a := range s.Send {
		if f := a.take(); !a.gone {
			a.handler.Send(f)
		}
	}
	for _, call := range s.Done {
		call.Done(call)
	}
	for _, l := range s.Loads {
		d.later(func() { d.load(l) })
	}
	for _, qs := range d.byShard(s.Confirms) {
		d.later(func() { d.confirm(qs) })
	}
}

// later lets a reader do something; when all are busy, a further one.
func (d *Dispatcher) later(f func()) {
	select {
	case d.reads <- f:
	default:
		d.group.Go(f)
	}
}

func (d *Dispatcher) read() {
	for {
		select {
		case <-d.stop:
			return
		case f := <-d.reads:
			f()
		}
	}
}

// committed is every commit's Done.
func (d *Dispatcher) committed(call *event.Call) {
	d.post(func(in *inbox) { in.committed = append(in.committed, call) })
}

func (d *Dispatcher) load(l *Loading) {
	if l.Barrier {
		l.Err = d.log.Barrier(d.ctx, d.log.Shard(l.Spec.Topic, l.Spec.Key))
	}
	if l.Err == nil {
		l.Got, l.Err = d.log.Load(l.Spec)
	}
	d.post(func(in *inbox) { in.loaded = append(in.loaded, l) })
}

// byShard divides questions by where they are to be asked.
func (d *Dispatcher) byShard(qs []*Confirm) (groups [][]*Confirm) {
	place := map[uint32]int{}
	for _, q := range qs {
		shard := d.log.Shard(q.Topic, q.Key)
		i, ok := place[shard]
		if !ok {
			i = len(groups)
			place[shard], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], q)
	}
	return groups
}

// confirm asks about all, which are of one shard, with one barrier.
func (d *Dispatcher) confirm(qs []*Confirm) {
	err := d.log.Barrier(d.ctx, d.log.Shard(qs[0].Topic, qs[0].Key))
	for _, q := range qs {
		if q.Err = err; err == nil {
			q.Err = d.look(q)
		}
	}
	d.post(func(in *inbox) { in.confirmed = append(in.confirmed, qs...) })
}

func (d *Dispatcher) look(q *Confirm) (err error) {
	if q.Head, err = d.log.Revision(q.Topic, q.Key); err != nil {
		return err
	}
	for i, id := range q.IDs {
		if id == "" {
			continue
		}
		o, digest, ok, err := d.log.Command(q.Topic, q.Key, []byte(id))
		if err != nil {
			return err
		}
		if ok {
			q.Known = append(q.Known, Known{Place: i, Outcome: o, Digest: digest})
		}
	}
	return nil
}

// halt answers all that waits: what was being stored may have been written.
func (d *Dispatcher) halt() {
	why := errs.New(errs.Unavailable, "the node stops; nothing was decided: try again, or another node").With("reason", "draining")
	d.mu.Lock()
	d.stopped = why
	in := d.inbox
	d.inbox = inbox{}
	d.mu.Unlock()
	for _, call := range in.calls {
		call.Err = why
		call.Done(call)
	}
	d.core.At(d.clock.Now())
	for _, f := range in.do {
		f(d.core)
	}
	for _, call := range in.committed {
		d.core.Committed(call)
	}
	d.core.Halt(why)
	s := d.core.Take()
	for _, call := range s.Done {
		call.Done(call)
	}
	for _, a := range d.core.atts {
		a.handler.End(why)
	}
}

// Drain asks every handler to finish and go, once no command is under way any more.
func (d *Dispatcher) Drain(reason string) {
	d.do(func(c *Core) { c.DrainWhenIdle(reason) })
}

// Close ends everything: the callers that are left are told so.
func (d *Dispatcher) Close() {
	d.once.Do(func() {
		close(d.stop)
		d.end()
		d.group.Wait()
	})
}

// Stats tells how much there is.
func (d *Dispatcher) Stats() Stats {
	got := make(chan Stats, 1)
	if !d.do(func(c *Core) { got <- c.Stats() }) {
		return Stats{}
	}
	select {
	case s := <-got:
		return s
	case <-d.ctx.Done():
		return Stats{}
	}
}
