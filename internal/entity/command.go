package entity

import (
	"time"

	"github.com/gesta-db/gesta/internal/event"
)

// phase is where a command is.
type phase uint8

const (
	queued  phase = iota // to be sent
	inTask               // the handler has it
	settled              // it is decided; it waits for what it rests on
	delayed              // the handler wants it again later
	ended                // nothing is left of it
)

// command is a call on its way through the core.
type command struct {
	call   *Call
	e      *entity
	phase  phase
	told   bool // its caller has an answer: the rest is done for the sake of the log
	tries  int
	id     string // the caller's, or the one it got
	digest [32]byte
	twins  []*Call
	next   *command // in the entity's queue, task or decided list

	before, after *command // among the pending ones

	// the decision
	write    *write // nil: it writes nothing
	revision uint64 // of the entity after it
	events   int
	reply    *event.Payload
	state    *event.State
	err      error
	asked    *Confirm // that covers it
	known    *Known   // what it had come to before
	proved   bool     // it needs no asking
	redo     bool     // it was not decided: it stands in order with those that are decided again
	due      time.Time
}

// write is a commit of a decision, in one piece of memory.
type write struct {
	call   event.Call
	commit event.Commit
	append [1]event.Append
	event  [1]event.Prepared
	cmd    *command
	known  bool // the outcome is there
}

// list is a queue of commands.
type list struct{ first, last *command }

func (l *list) push(c *command) {
	c.next = nil
	if l.last == nil {
		l.first = c
	} else {
		l.last.next = c
	}
	l.last = c
}

func (l *list) pop() *command {
	c := l.first
	if c == nil {
		return nil
	}
	if l.first = c.next; l.first == nil {
		l.last = nil
	}
	c.next = nil
	return c
}

// unpop puts other commands in front, in their order.
func (l *list) unpop(other *list) {
	if other.first == nil {
		return
	}
	if other.last.next = l.first; l.last == nil {
		l.last = other.last
	}
	l.first = other.first
	*other = list{}
}

// commands are all that have no outcome, oldest first.
type commands struct{ first, last *command }

func (l *commands) add(c *command) {
	c.before, c.after = l.last, nil
	if l.last == nil {
		l.first = c
	} else {
		l.last.after = c
	}
	l.last = c
}

func (l *commands) remove(c *command) {
	if c.before == nil {
		l.first = c.after
	} else {
		c.before.after = c.after
	}
	if c.after == nil {
		l.last = c.before
	} else {
		c.after.before = c.before
	}
	c.before, c.after = nil, nil
}

// end finishes a command: its caller and those who sent the same get the outcome, unless they have one already.
func (c *Core) end(cmd *command, o Outcome, err error) {
	if !cmd.told {
		cmd.told, cmd.call.Outcome = true, o
		c.answer(cmd.call, err)
	}
	if o.Repeated = o.Repeated || cmd.write != nil; err != nil {
		o = Outcome{}
	}
	for _, twin := range cmd.twins {
		twin.Outcome = o
		c.answer(twin, err)
	}
	cmd.twins = nil
	c.drop(cmd)
}

// drop forgets a command that is in no list of its entity.
func (c *Core) drop(cmd *command) {
	cmd.phase = ended
	c.pending.remove(cmd)
	cmd.e.kind.queued--
	cmd.e.count--
	if id := cmd.call.ID; id != "" {
		at := idKey{cmd.call.Kind, cmd.call.Key, id}
		if c.byID[at] == cmd {
			delete(c.byID, at)
		}
	}
}
