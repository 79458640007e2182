package entity

import (
	"strconv"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// poke lets an entity go on, if nothing of it is in the way. It may be called at any time.
func (c *Core) poke(e *entity) {
	if e.broken {
		c.mend(e)
		return
	}
	if e.task != nil || e.loading != nil || e.checking || e.ready || e.waits {
		return
	}
	if !c.clean(e) {
		c.rest(e)
		return
	}
	s := c.homeOf(e)
	if s == nil {
		e.waits = true
		e.kind.waiting = append(e.kind.waiting, e)
		return
	}
	if c.isOpen(s) {
		c.refuse(e, errs.New(errs.Unavailable, "the circuit breaker of %s at handler %s is open, because its last %d tasks failed; nothing was decided: it is tried again at %s", e.kind.name, s.att.name, s.failures, s.openTo.UTC().Format(time.RFC3339)).With("reason", "circuit_breaker"))
		return
	}
	if !s.free() {
		e.ready = true
		s.ready = append(s.ready, e)
		return
	}
	switch {
	case e.session != 0:
		c.send(e, s, nil)
	case e.kept != nil:
		c.send(e, s, &event.Loaded{Revision: e.revision, Base: e.revision, Carried: e.kept})
	case e.decided.first == nil:
		c.load(e, s)
	}
	// else what was decided is stored first: a load tells only of that.
}

// clean drops what needs no deciding any more from the front of the queue; false: nothing is left.
func (c *Core) clean(e *entity) bool {
	for e.queue.first != nil && e.queue.first.told && len(e.queue.first.twins) == 0 {
		c.drop(e.queue.pop())
	}
	return e.queue.first != nil
}

// homeOf gives the seat that serves an entity. One that moves goes cold.
func (c *Core) homeOf(e *entity) *seat {
	if e.home != nil && e.epoch == e.kind.epoch && !e.home.att.gone {
		return e.home
	}
	s := e.kind.choose(e.hash)
	if s != e.home {
		if e.session != 0 && e.home != nil && !e.home.att.gone {
			c.evict(e)
		}
		e.session = 0
		c.keep(e, nil)
	}
	e.home, e.epoch = s, e.kind.epoch
	return s
}

// refuse answers all that waits for an entity.
func (c *Core) refuse(e *entity, err error) {
	for cmd := e.queue.pop(); cmd != nil; cmd = e.queue.pop() {
		c.end(cmd, Outcome{}, err)
	}
	c.rest(e)
}

// load begins to read an entity. The credit of its task is taken now, so that what was read does not wait for it.
func (c *Core) load(e *entity, s *seat) {
	l := &Loading{e: e, seat: s, Barrier: e.barrier, began: c.now, Spec: event.LoadSpec{Topic: e.kind.topic, Key: e.bytes, Accept: s.conf.accepts, Bytes: pieceBytes}}
	s.att.credit--
	s.kind.inHand++
	e.loading, e.barrier = l, false
	c.out.Loads = append(c.out.Loads, l)
}

// unload ends a load.
func (c *Core) unload(l *Loading) {
	l.seat.kind.inHand--
	if l.seat.att.credit++; l.e != nil {
		l.e.loading = nil
	}
}

// Loaded takes what a load gave.
func (c *Core) Loaded(l *Loading) {
	if l.f != nil {
		c.foldLoaded(l)
		return
	}
	e := l.e
	if l.Err == nil && l.seat == e.home && e.epoch == e.kind.epoch && !l.seat.att.gone {
		if l.unchecked() {
			c.unload(l)
			c.check(e, l)
			return
		}
		if l.events += len(l.Got.Events); l.Got.More {
			c.sendPiece(l, &Task{Kind: e.kind.name, Key: e.key})
			return
		}
	}
	c.unload(l)
	switch {
	case l.Err != nil:
		c.refuse(e, l.Err)
		return
	case l.seat.att.gone || e.epoch != e.kind.epoch:
		if l.task != 0 && !l.seat.att.gone {
			c.evictSession(l)
		}
		c.poke(e)
		return
	}
	if told := c.cfg.Listener.Loaded; told != nil {
		told(e.kind.name, l.events, c.now.Sub(l.began))
	}
	got := &l.Got
	e.revision, e.durable, e.deleted = got.Revision, got.Position, got.Deleted
	if l.task == 0 || got.Deleted {
		e.carriedAt = got.Base
	}
	c.sendLoaded(e, l.seat, l)
	c.pumpSeat(l.seat)
}

// evictSession takes back a session that was begun in pieces and not finished.
func (c *Core) evictSession(l *Loading) {
	a := l.seat.att
	a.frame.Evicts = append(a.frame.Evicts, Evict{Kind: l.e.kind.name, Key: l.e.key, Session: l.session})
	c.touch(a)
}

// sendPiece sends a part of what is loaded; the next is read when it has gone out.
func (c *Core) sendPiece(l *Loading, t *Task) {
	t.More, t.Events = true, l.Got.Events
	if l.task == 0 {
		l.task = c.id()
		if l.e != nil {
			l.session = c.id()
			l.e.carriedAt = l.Got.Base
		}
		t.Base, t.Session, t.Carried, t.CarriedAt = Cold, l.session, l.Got.Carried, l.Got.Base
		t.Revision = l.Got.Head.Revision
		if l.Spec.AtMost > 0 {
			t.Revision = l.Spec.AtMost
		}
		l.Spec.AtMost = t.Revision // what comes meanwhile is for another time
	} else {
		t.Follows = true
	}
	t.ID = l.task
	c.emit(l.seat.att, t)
	l.Spec.After = l.Got.Revision
	l.seat.att.pieces = append(l.seat.att.pieces, l)
}

// Sent tells that everything taken for a handler went out.
func (c *Core) Sent(a *Attachment) {
	pieces := a.pieces
	a.pieces = nil
	for _, l := range pieces {
		l.Got = event.Loaded{}
		c.out.Loads = append(c.out.Loads, l)
	}
}

func (c *Core) emit(a *Attachment, t *Task) {
	a.frame.Tasks = append(a.frame.Tasks, t)
	c.touch(a)
}

func (c *Core) sendLoaded(e *entity, s *seat, l *Loading) {
	if l.task == 0 {
		c.send(e, s, &l.Got)
		return
	}
	t := &Task{ID: l.task, Kind: e.kind.name, Key: e.key, Session: l.session, Revision: e.revision, Events: l.Got.Events, Follows: true}
	e.session = l.session
	c.sendTask(e, s, t)
}

// send sends what waits for an entity, as far as it goes into one task. base is nil for a session that the handler has.
func (c *Core) send(e *entity, s *seat, base *event.Loaded) {
	t := &Task{Kind: e.kind.name, Key: e.key, Revision: e.revision, Base: Hot}
	if base != nil {
		t.Base, t.Carried, t.CarriedAt, t.Events = Cold, base.Carried, base.Base, base.Events
		e.session = c.id()
	}
	t.Session = e.session
	c.sendTask(e, s, t)
}

// sendTask fills a task with commands and sends it. Without any it does not, unless it was begun: the session is then not used.
func (c *Core) sendTask(e *entity, s *seat, t *Task) {
	h := &inHand{seat: s, e: e, session: t.Session, began: c.now.UnixNano()}
	c.fill(e, s, t, h)
	if h.n == 0 {
		if t.Base != Hot {
			if t.Follows {
				c.evict(e)
			}
			e.session = 0
		}
		c.settle(e)
		c.poke(e)
		return
	}
	if t.ID == 0 {
		t.ID = c.id()
	}
	h.id, h.credit = t.ID, h.n
	s.att.tasks[t.ID] = h
	s.att.credit -= h.n
	s.kind.inHand++
	e.task = h
	if s.conf.Every > 0 {
		t.StateAt = e.carriedAt + s.conf.Every
	}
	c.emit(s.att, t)
	c.settle(e) // what was answered without the handler
}

// fill takes commands from the queue into a task. Those that are answered without the handler are decided here.
func (c *Core) fill(e *entity, s *seat, t *Task, h *inHand) {
	room := min(batchCommands, s.att.credit)
	for size := 0; h.n < room && size < batchBytes && c.clean(e); {
		cmd := e.queue.first
		if h.n > 0 && (cmd.call.Expects || cmd.call.Command == "") {
			return // it depends on what comes of those before it
		}
		e.queue.pop()
		if err := c.without(e, s, cmd); err != nil {
			cmd.err = err
			c.decide(e, cmd)
			continue
		}
		cmd.phase = inTask
		h.commands.push(cmd)
		h.n++
		if cmd.call.Command == "" {
			t.WantState = true
			return
		}
		t.Commands = append(t.Commands, c.describe(cmd, s))
		size += len(cmd.call.Payload.Data)
	}
}

// without gives the error of a command that needs no handler to be answered.
func (c *Core) without(e *entity, s *seat, cmd *command) error {
	switch {
	case e.deleted && (cmd.call.Command == "" || !s.conf.NewLife):
		return errs.New(errs.Gone, "entity %s/%s was deleted at revision %d", e.kind.name, e.key, e.revision).With("revision", strconv.FormatUint(e.revision, 10))
	case cmd.call.Command == "" && e.revision == 0:
		return errs.New(errs.NotFound, "entity %s/%s has no events", e.kind.name, e.key)
	case cmd.call.Expects && cmd.call.Expected != e.revision:
		return errs.New(errs.Conflict, "entity %s/%s is at revision %d, expected revision %d: look at it again and decide anew", e.kind.name, e.key, e.revision, cmd.call.Expected).
			With("topic", e.kind.name).With("key", e.key).With("actual_revision", strconv.FormatUint(e.revision, 10))
	}
	return nil
}

// describe is what the handler is told of a command.
func (c *Core) describe(cmd *command, s *seat) *Command {
	call := cmd.call
	if cmd.id == "" {
		if cmd.id = call.ID; cmd.id == "" {
			cmd.id = c.cfg.IDs + "-" + strconv.FormatUint(c.id(), 36)
		}
	}
	return &Command{ID: cmd.id, Name: call.Command, Payload: &call.Payload, Metadata: call.Metadata, ReturnState: call.ReturnState || s.stateless, Received: call.Received.UnixNano()}
}
