package entity

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/gesta-db/gesta/internal/errs"
)

// Attachment is a handler's process as the core sees it.
type Attachment struct {
	hello    *Hello
	id       uint64
	name     string // of the process, unlike any other's
	hash     uint64
	seats    []*seat
	credit   int
	tasks    map[uint64]*inHand
	draining bool
	gone     bool
	dirty    bool
	frame    Frame      // to be sent
	pieces   []*Loading // whose last piece is on its way

	handler Handler // for the dispatcher
}

// Name is what the process is called in logs: its service, build and own name.
func (a *Attachment) Name() string { return a.name }

// inHand is a task that a handler has.
type inHand struct {
	id       uint64
	seat     *seat
	e        *entity // nil: of a fold
	f        *fold
	session  uint64
	began    int64 // nanoseconds
	commands list
	n        int
	credit   int // what was taken for it
}

// take gives what is to be sent.
func (a *Attachment) take() Frame {
	f := a.frame
	a.frame = Frame{}
	return f
}

// Attach lets a handler serve. The error is exists when another service serves one of its kinds.
func (c *Core) Attach(h *Hello) (*Attachment, error) {
	for i := range h.Kinds {
		if k := c.kinds[h.Kinds[i].Name]; k != nil && k.attached > 0 && k.service != h.Service {
			return nil, errs.New(errs.Exists, "the kind %s is served by the service %s, and cannot be by %s as well: stop that one first, or give the kind another name", k.name, k.service, h.Service).With("kind", k.name).With("service", k.service)
		}
	}
	a := &Attachment{hello: h, id: c.id(), credit: h.Credit, tasks: map[uint64]*inHand{}}
	a.name = c.nameOf(a)
	a.hash = hashOf(a.name)
	for i := range h.Kinds {
		k := c.kind(h.Kinds[i].Name)
		k.service, k.conf = h.Service, &h.Kinds[i]
		k.attached++
		s := &seat{att: a, kind: k, conf: k.conf}
		a.seats = append(a.seats, s)
		k.seats = append(k.seats, s)
		c.reseat(k)
	}
	c.atts = append(c.atts, a)
	c.cfg.Logger.Info("a handler attached", "service", h.Service, "build", h.Build, "process", a.name, "kinds", len(h.Kinds))
	c.attachments()
	return a, nil
}

// nameOf names a process unlike any other that serves one of its kinds: the same each time that it comes back, so that the same
// keys go to it.
func (c *Core) nameOf(a *Attachment) string {
	name := a.hello.Process
	if name == "" {
		name = a.hello.Service + "-" + strconv.FormatUint(a.id, 10)
	}
	for i := range a.hello.Kinds {
		for _, s := range c.kind(a.hello.Kinds[i].Name).seats {
			if s.att.name == name {
				return fmt.Sprintf("%s#%d", name, a.id)
			}
		}
	}
	return name
}

// reseat lets every entity of a kind choose its home again, and those that waited for one begin.
func (c *Core) reseat(k *kind) {
	k.epoch++
	waiting := k.waiting
	k.waiting = nil
	for _, e := range waiting {
		e.waits = false
		c.poke(e)
	}
	folds := k.folds
	k.folds = nil
	for _, f := range folds {
		c.startFold(f)
	}
}

// Drain gives a handler no more tasks: its entities move as they come to rest. It is told so behind the last one.
func (c *Core) Drain(a *Attachment, reason string) {
	if a.draining || a.gone {
		return
	}
	if reason == "" {
		reason = "it asked for it"
	}
	a.draining = true
	c.cfg.Logger.Info("a handler drains", "process", a.name, "reason", reason)
	c.unseat(a)
	a.frame.Drain = reason // behind the last task
	c.touch(a)
}

func (c *Core) unseat(a *Attachment) {
	for _, s := range a.seats {
		s.kind.seats = slices.DeleteFunc(s.kind.seats, func(o *seat) bool { return o == s })
		ready, folds := s.ready, s.folds
		s.ready, s.folds = nil, nil
		c.reseat(s.kind)
		for _, e := range ready {
			e.ready = false
			c.poke(e)
		}
		for _, f := range folds {
			c.startFold(f)
		}
	}
}

// Detach forgets a handler: what it had in hand is decided again, elsewhere.
func (c *Core) Detach(a *Attachment, reason string) {
	if a.gone {
		return
	}
	a.gone = true
	c.atts = slices.DeleteFunc(c.atts, func(o *Attachment) bool { return o == a })
	tasks := c.inOrder(a)
	a.frame = Frame{}
	if !a.draining {
		a.draining = true
		c.unseat(a)
	}
	for _, t := range tasks {
		c.lost(t)
	}
	pieces := a.pieces
	a.pieces = nil
	for _, l := range pieces {
		c.unload(l)
		if l.f != nil {
			c.foldAgain(l.f)
		} else {
			c.poke(l.e)
		}
	}
	for _, s := range a.seats {
		c.tellBreaker(s, false)
		s.kind.attached--
		c.forgetKind(s.kind)
	}
	c.cfg.Logger.Info("a handler left", "process", a.name, "reason", reason, "tasks", len(tasks))
	c.attachments()
}

// inOrder gives a handler's tasks in the order in which they were sent.
func (c *Core) inOrder(a *Attachment) []*inHand {
	tasks := make([]*inHand, 0, len(a.tasks))
	for _, t := range a.tasks {
		tasks = append(tasks, t)
	}
	slices.SortFunc(tasks, func(x, y *inHand) int { return int(int64(x.id) - int64(y.id)) })
	return tasks
}

// lost takes back a task whose handler is gone.
func (c *Core) lost(t *inHand) {
	c.takeBack(t)
	if t.f != nil {
		c.foldAgain(t.f)
		return
	}
	e := t.e
	e.session = 0
	c.again(e, &t.commands)
	c.poke(e)
}

// takeBack ends a task; its commands are still in it.
func (c *Core) takeBack(t *inHand) {
	delete(t.seat.att.tasks, t.id)
	t.seat.kind.inHand--
	if t.e != nil {
		t.e.task = nil
	}
}

// Grant lets a handler be sent so many more commands.
func (c *Core) Grant(a *Attachment, credit int) {
	if a.gone {
		return
	}
	a.credit = min(a.credit+credit, mostCredit)
	c.pump(a)
}

// pump goes on with what waits for a handler's credit.
func (c *Core) pump(a *Attachment) {
	for _, s := range a.seats {
		c.pumpSeat(s)
	}
}

func (c *Core) pumpSeat(s *seat) {
	for len(s.folds) > 0 && s.free() {
		f := s.folds[0]
		s.folds = s.folds[1:]
		c.startFold(f)
	}
	for len(s.ready) > 0 && s.free() {
		e := s.ready[0]
		s.ready[0] = nil
		if s.ready = s.ready[1:]; len(s.ready) == 0 {
			s.ready = nil
		}
		e.ready = false
		c.poke(e)
	}
}

// free tells whether an entity may begin a task.
func (s *seat) free() bool { return s.att.credit > 0 && s.kind.inHand < s.kind.concurrency() }

// choose gives the home of a key among those that serve: the one with the highest number made of both. When one joins or leaves,
// only the keys that it has, or will have, move.
func (k *kind) choose(hash uint64) *seat {
	var best *seat
	var most uint64
	for _, s := range k.seats {
		if n := mix(hash ^ s.att.hash); best == nil || n > most {
			best, most = s, n
		}
	}
	return best
}

func (c *Core) attachments() {
	if told := c.cfg.Listener.Attached; told != nil {
		told(len(c.atts))
	}
}
