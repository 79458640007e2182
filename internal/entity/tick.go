package entity

import (
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

// Tick does what is due by time: it ends what waited for too long, sends again what was to be retried, and forgets what is idle.
func (c *Core) Tick() {
	c.wake()
	c.expire()
	c.timeouts()
	c.passivate()
}

// wake puts commands that the handler wanted later back into their queues.
func (c *Core) wake() {
	kept := c.delayed[:0]
	for _, cmd := range c.delayed {
		if c.now.Before(cmd.due) && !cmd.told {
			kept = append(kept, cmd)
			continue
		}
		cmd.phase = queued
		cmd.e.queue.push(cmd)
		c.poke(cmd.e)
	}
	clear(c.delayed[len(kept):])
	c.delayed = kept
}

// expire ends the waiting of callers whose deadline has passed, or who wait for a handler that does not come.
func (c *Core) expire() {
	stuck := map[*kind]bool{}
	for cmd, next := c.pending.first, (*command)(nil); cmd != nil; cmd = next {
		next = cmd.after
		c.expireTwins(cmd)
		if cmd.told {
			continue
		}
		err := c.overdue(cmd)
		if err == nil {
			continue
		}
		cmd.told = true
		c.answer(cmd.call, err)
		if cmd.phase == queued && cmd.e.waits {
			stuck[cmd.e.kind] = true
		}
	}
	for k := range stuck {
		c.sweep(k)
	}
	for f := range c.folds {
		if !f.call.Deadline.IsZero() && c.now.After(f.call.Deadline) {
			c.endFold(f, nil, errs.New(errs.Unavailable, "the deadline passed before the state of %s/%s was made: try again", f.call.Kind, f.call.Key))
		} else if f.kind.attached == 0 && c.now.Sub(f.call.Received) >= waitForHandler {
			c.endFold(f, nil, c.noHandler(f.kind))
		}
	}
}

func (c *Core) overdue(cmd *command) error {
	late := !cmd.call.Deadline.IsZero() && c.now.After(cmd.call.Deadline)
	switch {
	case cmd.phase == settled && cmd.write != nil && late:
		return errs.New(errs.UnknownOutcome, "the deadline passed while what the command caused was being stored; it may have been written: retry with the same id")
	case cmd.phase == inTask && late:
		return errs.New(errs.UnknownOutcome, "the deadline passed while the handler decided; what it decides may yet be written: retry with the same id")
	case late:
		return errs.New(errs.Unavailable, "the deadline passed before the command was decided; nothing was written: try again later")
	case cmd.phase == queued && len(cmd.e.kind.seats) == 0 && c.now.Sub(cmd.call.Received) >= waitForHandler:
		return c.noHandler(cmd.e.kind)
	}
	return nil
}

func (c *Core) noHandler(k *kind) error {
	return errs.New(errs.Unavailable, "no handler serves the kind %s; nothing was decided: start a process that attaches for it, see docs/concepts/entities.md", k.name).With("reason", "no_handler").With("kind", k.name)
}

// expireTwins ends the waiting of those who sent the same command.
func (c *Core) expireTwins(cmd *command) {
	kept := cmd.twins[:0]
	for _, twin := range cmd.twins {
		if !twin.Deadline.IsZero() && c.now.After(twin.Deadline) {
			c.answer(twin, errs.New(errs.UnknownOutcome, "the deadline passed while the command was executed for another caller; it may have been written: retry with the same id"))
			continue
		}
		kept = append(kept, twin)
	}
	cmd.twins = kept
}

// sweep drops the answered commands of entities that wait for a handler.
func (c *Core) sweep(k *kind) {
	waiting := k.waiting
	k.waiting = nil
	for _, e := range waiting {
		var left list
		for cmd := e.queue.pop(); cmd != nil; cmd = e.queue.pop() {
			if cmd.told && len(cmd.twins) == 0 {
				c.drop(cmd)
				continue
			}
			left.push(cmd)
		}
		if e.queue = left; left.first != nil {
			k.waiting = append(k.waiting, e)
			continue
		}
		e.waits = false
		c.rest(e)
	}
}

// timeouts ends tasks that their handler has not answered in time.
func (c *Core) timeouts() {
	for _, a := range c.atts {
		var late []*inHand
		for _, t := range a.tasks {
			if c.now.UnixNano()-t.began >= int64(t.seat.conf.Timeout) {
				late = append(late, t)
			}
		}
		for _, t := range late {
			c.timeout(t)
		}
	}
}

func (c *Core) timeout(t *inHand) {
	c.takeBack(t)
	err := errs.New(errs.Unavailable, "the handler %s did not answer within %v; nothing was written: try again, or look at what it does", t.seat.att.name, t.seat.conf.Timeout.Round(time.Millisecond)).With("reason", "handler_timeout")
	if t.f != nil {
		c.endFold(t.f, nil, err)
		return
	}
	if t.e.broken {
		c.again(t.e, &t.commands)
		c.poke(t.e)
		return
	}
	c.failTask(t, err)
	c.settle(t.e)
	c.poke(t.e)
	c.pumpSeat(t.seat)
}

// Stats tells how much there is.
type Stats struct {
	Entities int
	Bytes    int64
	Pending  int
	InHand   int
	Handlers int
	Kinds    []string // those that a handler serves
}

// Stats tells how much there is now.
func (c *Core) Stats() Stats {
	s := Stats{Entities: c.entities, Bytes: c.bytes, Handlers: len(c.atts)}
	for _, k := range c.kinds {
		s.Pending += k.queued
		s.InHand += k.inHand
		if k.attached > 0 {
			s.Kinds = append(s.Kinds, k.name)
		}
	}
	return s
}
