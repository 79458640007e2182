package entity

import (
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// settle answers what is decided, in order, as far as everything that it rests on is stored.
func (c *Core) settle(e *entity) {
	if e.broken {
		c.mend(e)
		return
	}
	for cmd := e.decided.first; cmd != nil; cmd = e.decided.first {
		if cmd.write == nil {
			if !cmd.proved {
				c.ask(e)
				return
			}
			e.decided.pop()
			c.end(cmd, c.outcome(e, cmd), cmd.err)
			continue
		}
		if !cmd.write.known {
			return
		}
		e.decided.pop()
		c.stored(e, cmd)
	}
}

// outcome is what the caller of a command is told that wrote nothing.
func (c *Core) outcome(e *entity, cmd *command) Outcome {
	return Outcome{Reply: cmd.reply, Revision: cmd.revision, Position: e.durable, State: cmd.state}
}

// stored answers a command whose commit is stored.
func (c *Core) stored(e *entity, cmd *command) {
	o := &cmd.write.call.Outcome
	e.durable = o.Position
	c.end(cmd, Outcome{Reply: cmd.reply, Revision: cmd.revision, Position: o.Position, State: cmd.state, Events: cmd.events}, nil)
}

// Committed takes the outcome of a commit.
func (c *Core) Committed(call *event.Call) {
	w := call.User.(*write)
	w.known = true
	e := w.cmd.e
	if e.unknown--; e.last == w.cmd {
		e.last = nil
	}
	if !e.broken && (call.Err != nil || call.Outcome.Repeated) {
		c.fall(e) // at once, whatever stands before it: nothing more may be decided on it
	} else {
		c.settle(e)
	}
	c.poke(e)
}

// ask asks whether the entity is still where the answers in front were judged.
func (c *Core) ask(e *entity) {
	if e.confirm != nil {
		return
	}
	q := &Confirm{Topic: e.kind.topic, Key: e.bytes, e: e, revision: e.decided.first.revision}
	for cmd := e.decided.first; cmd != nil && cmd.write == nil; cmd = cmd.next {
		cmd.asked = q
		q.commands = append(q.commands, cmd)
		id := cmd.call.ID
		if cmd.call.Command == "" {
			id = ""
		}
		q.IDs = append(q.IDs, id)
	}
	e.confirm = q
	c.out.Confirms = append(c.out.Confirms, q)
}

// Confirmed takes the answer to a question. The answers in front are true when the stream had no event then that was not there when
// they were judged; or when the next commit of this entity was accepted, which was judged later and expected the same revision.
func (c *Core) Confirmed(q *Confirm) {
	e := q.e
	e.confirm = nil
	defer c.poke(e)
	if e.broken {
		c.mend(e)
		return
	}
	if q.Err != nil {
		for _, cmd := range q.commands {
			cmd.err, cmd.state, cmd.proved = q.Err, nil, true
		}
		c.settle(e)
		return
	}
	c.repeats(q)
	if q.Head != q.revision {
		switch next := c.nextWrite(e); {
		case next == nil:
			c.fall(e)
			return
		case !next.write.known:
			return // its outcome decides; settle asks again then
		}
	}
	for _, cmd := range q.commands {
		cmd.proved = true
	}
	c.settle(e)
}

// repeats gives commands whose id was used before the outcome that they had then.
func (c *Core) repeats(q *Confirm) {
	for i := range q.Known {
		k := &q.Known[i]
		cmd := q.commands[k.Place]
		cmd.known = k
	}
	if len(q.Known) == 0 {
		return
	}
	var rest list
	e := q.e
	for cmd := e.decided.pop(); cmd != nil; cmd = e.decided.pop() {
		if cmd.known == nil {
			rest.push(cmd)
			continue
		}
		c.endKnown(cmd, &cmd.known.Outcome, cmd.known.Digest)
	}
	e.decided = rest
}

// endKnown answers a command that had been executed before.
func (c *Core) endKnown(cmd *command, o *event.Outcome, digest [32]byte) {
	if digest != cmd.digest {
		c.end(cmd, Outcome{}, errSameID(cmd.call.ID))
		return
	}
	c.end(cmd, repeated(o), nil)
}

// repeated is what a repeat is told of its first outcome.
func repeated(o *event.Outcome) Outcome {
	s := &o.Streams[0]
	return Outcome{Reply: o.Reply, Revision: s.LastRevision, Position: o.Position, Events: int(s.LastRevision - s.FirstRevision + 1), Repeated: true}
}

func (c *Core) nextWrite(e *entity) *command {
	for cmd := e.decided.first; cmd != nil; cmd = cmd.next {
		if cmd.write != nil {
			return cmd
		}
	}
	return nil
}

// fall lets an entity begin again from what is stored: something that was decided is not, or others have written.
func (c *Core) fall(e *entity) {
	if told := c.cfg.Listener.Reset; told != nil {
		told(e.kind.name)
	}
	e.broken, e.session, e.barrier = true, 0, true
	c.keep(e, nil)
	c.mend(e)
}

// mend decides again what a broken entity had decided, once nothing of it is under way any more.
func (c *Core) mend(e *entity) {
	if e.unknown > 0 || e.task != nil || e.loading != nil || e.confirm != nil {
		return
	}
	e.broken = false
	var redo list
	for cmd := e.decided.pop(); cmd != nil; cmd = e.decided.pop() {
		if !c.ended(e, cmd) {
			c.reset(cmd)
			redo.push(cmd)
		}
	}
	e.queue.unpop(&redo)
	c.poke(e)
}

// ended answers what has its outcome, though the entity fell; false: it is decided again.
func (c *Core) ended(e *entity, cmd *command) bool {
	if cmd.write == nil {
		return false
	}
	w := &cmd.write.call
	switch {
	case w.Err == nil && w.Outcome.Repeated:
		c.end(cmd, repeated(&w.Outcome), nil)
	case w.Err == nil:
		c.stored(e, cmd)
	case errs.CodeOf(w.Err) != errs.Conflict:
		c.end(cmd, Outcome{}, w.Err)
	case cmd.tries >= mostTries:
		c.end(cmd, Outcome{}, errs.New(errs.Busy, "others write to %s/%s all the time, %d times in between; nothing was written: try again later", e.kind.name, e.key, cmd.tries))
	default:
		return false
	}
	return true
}

// reset makes a command one that was never decided.
func (c *Core) reset(cmd *command) {
	if !cmd.redo {
		cmd.tries++
	}
	cmd.phase, cmd.write, cmd.reply, cmd.state, cmd.err, cmd.asked, cmd.proved, cmd.redo = queued, nil, nil, nil, nil, nil, false, false
}
