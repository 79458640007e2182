package entity

import (
	"fmt"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// Result takes what a handler answers.
func (c *Core) Result(a *Attachment, r *Result) {
	t := a.tasks[r.TaskID]
	if t == nil {
		if !a.gone {
			c.fault(a, Fault{TaskID: r.TaskID, Err: errs.New(errs.Invalid, "there is no task %d in hand: it was answered before, was too late, or never was", r.TaskID)})
		}
		return
	}
	c.takeBack(t)
	switch {
	case t.f != nil:
		c.foldResult(t, r)
	case t.e.broken || t.session != t.e.session:
		c.again(t.e, &t.commands)
		c.poke(t.e)
	default:
		c.take(t, r)
		c.settle(t.e)
		c.poke(t.e)
	}
	c.pumpSeat(t.seat)
}

// take takes the result of an entity's task.
func (c *Core) take(t *inHand, r *Result) {
	e, want := t.e, t.n
	query := t.commands.first.call.Command == ""
	if query {
		want = 0
	}
	switch {
	case r.Missing:
		c.lacking(t)
		return
	case r.Failed:
		c.failTask(t, errs.New(errs.Internal, "the handler failed: %.500s", r.Failure).With("reason", "handler_failed"))
		return
	case len(r.Decisions) != want:
		c.wrong(t, "has %d decisions for %d commands", len(r.Decisions), want)
		return
	case query && r.State == nil:
		c.wrong(t, "brings no state, and one was asked for")
		return
	}
	e.missing = 0
	c.succeeded(t.seat)
	if query {
		c.takeState(t, r.State)
	}
	last, wrote := (*event.State)(nil), false
	for i := range r.Decisions {
		cmd := t.commands.pop()
		if !c.verdict(t.seat, e, cmd, &r.Decisions[i]) {
			// What follows was decided on a state that is not to be.
			e.session = 0
			c.keep(e, nil)
			c.again(e, &t.commands)
			return
		}
		if cmd.write != nil {
			last, wrote = r.Decisions[i].State, true
		}
		if cmd.write != nil && r.Decisions[i].Delete && i+1 < len(r.Decisions) {
			// The entity ended: whether the rest may begin a new one, and on what, is decided anew.
			e.session = 0
			c.keep(e, nil)
			c.again(e, &t.commands)
			return
		}
	}
	c.keepSession(t, r, last, wrote)
}

// keepSession holds what the handler says that it kept against what is true.
func (c *Core) keepSession(t *inHand, r *Result, last *event.State, wrote bool) {
	e := t.e
	switch {
	case e.deleted:
		e.session = 0
		c.keep(e, nil)
	case r.Kept && r.Revision != e.revision:
		c.fault(t.seat.att, Fault{TaskID: t.id, Kind: e.kind.name, Key: e.key, Err: errs.New(errs.Invalid, "the handler kept revision %d, and the task led to %d: it begins again, cold", r.Revision, e.revision)})
		e.session = 0
		c.keep(e, nil)
	case r.Kept:
		t.seat.stateless = false
		c.keep(e, nil)
	default:
		e.session, t.seat.stateless = 0, true
		if wrote {
			c.keep(e, last)
		}
	}
}

// takeState answers a question for the state, when all that it rests on is stored.
func (c *Core) takeState(t *inHand, s *event.State) {
	cmd := t.commands.pop()
	if err := c.checkState(s); err != nil {
		cmd.err = err
	}
	cmd.state = s
	c.decide(t.e, cmd)
}

// verdict takes one decision; false: it is not to be, though the handler has gone on from it.
func (c *Core) verdict(s *seat, e *entity, cmd *command, d *Decision) bool {
	switch d.Verdict {
	case Accepted:
		return c.accept(s, e, cmd, d)
	case Rejected:
		cmd.err = rejection(d)
		c.decide(e, cmd)
	case Later:
		cmd.phase, cmd.due = delayed, c.now.Add(min(max(d.After, time.Millisecond), longest))
		c.delayed = append(c.delayed, cmd)
	case Failed:
		cmd.err = errs.New(errs.Internal, "the handler failed on %s: %.500s", cmd.call.Command, d.Message).With("reason", "handler_failed")
		cmd.proved = true
		c.tellFault(e, cmd.err)
		c.decide(e, cmd)
	default:
		c.faulty(s, e, cmd, errs.New(errs.Internal, "the handler's decision says nothing").With("reason", "handler_fault"))
	}
	return true
}

func rejection(d *Decision) error {
	e := &errs.Error{Code: errs.Rejected, Message: d.Message, Details: make(map[string]string, len(d.Details)+1)}
	for k, v := range d.Details {
		e.Details[k] = v
	}
	e.Details["rejection_code"] = d.Code
	if e.Message == "" {
		e.Message = "the command was rejected: " + d.Code
	}
	return e
}

// accept makes a commit of a decision.
func (c *Core) accept(s *seat, e *entity, cmd *command, d *Decision) bool {
	if err := c.checkDecision(d); err != nil {
		c.faulty(s, e, cmd, err)
		return len(d.Events) == 0 && !d.Delete
	}
	cmd.reply = d.Reply
	if cmd.call.ReturnState {
		cmd.state = d.State
	}
	if len(d.Events) == 0 && !d.Delete {
		c.decide(e, cmd)
		return true
	}
	w := &write{cmd: cmd}
	if err := c.prepare(s, e, cmd, d, w); err != nil {
		c.faulty(s, e, cmd, err)
		return false
	}
	n := len(w.append[0].Events)
	w.append[0].Topic, w.append[0].Key = e.kind.topic, e.bytes
	w.append[0].Expect = event.Expect{Kind: event.Exact, Revision: e.revision}
	w.commit.Streams = w.append[:]
	w.call.Commit, w.call.User = &w.commit, w
	if e.last != nil {
		w.call.After = &e.last.write.call
	}
	e.revision += uint64(n)
	e.deleted = d.Delete
	if w.commit.State != nil {
		e.carriedAt = e.revision
	}
	e.unknown++
	e.last = cmd
	cmd.write, cmd.events = w, n
	c.decide(e, cmd)
	c.out.Commits = append(c.out.Commits, &w.call)
	return true
}

// prepare makes the commit's parts.
func (c *Core) prepare(s *seat, e *entity, cmd *command, d *Decision, w *write) error {
	stamp := event.Stamp{ID: cmd.id, Time: cmd.call.Received, Metadata: cmd.call.Metadata, Cause: cmd.id}
	if s.conf.Events != nil {
		stamp.Declared = func(typ []byte, version uint32) bool { return s.conf.reads(string(typ), version) }
	}
	events, size, err := c.stamper.Prepare(&stamp, d.Events, d.Delete, w.event[:0], &c.cfg.Limits)
	if err != nil {
		return badDecision(err)
	}
	w.append[0].Events, w.commit.Bytes = events, size
	if id := cmd.call.ID; id != "" {
		w.commit.CommandID, w.commit.Request = []byte(id), &cmd.digest
		w.commit.Reply = d.Reply
		if d.Reply != nil {
			w.commit.Bytes += len(d.Reply.Data)
		}
	}
	w.commit.State = c.carries(s, e, d, e.revision+uint64(len(events)))
	if w.commit.State != nil {
		w.commit.Bytes += len(w.commit.State.Data)
	}
	if w.commit.Bytes > c.cfg.Limits.CommitBytes {
		return errs.New(errs.TooLarge, "the decision takes %d bytes with its reply and state; the limit commit_bytes is %d", w.commit.Bytes, c.cfg.Limits.CommitBytes).With("limit", "commit_bytes")
	}
	return nil
}

// carries gives the state that a commit is to carry; nil: none.
func (c *Core) carries(s *seat, e *entity, d *Decision, revision uint64) *event.State {
	if d.Delete {
		return &event.State{Payload: event.Payload{Type: event.Tombstone}}
	}
	if s.conf.Every == 0 || d.State == nil || revision < e.carriedAt+s.conf.Every {
		return nil
	}
	if d.State.Type != s.conf.State || d.State.Version != s.conf.Version {
		return nil // it could not be begun with
	}
	return d.State
}

func (c *Core) checkDecision(d *Decision) error {
	if d.Actions > 0 {
		return errs.New(errs.Unsupported, "the decision has actions, which this version does not perform; nothing was written: upgrade, or decide without").With("field", "actions")
	}
	if d.Reply != nil {
		if err := event.CheckPayload("reply", d.Reply, "reply_bytes", c.cfg.Limits.ReplyBytes); err != nil {
			return badDecision(err)
		}
	}
	return c.checkState(d.State)
}

func (c *Core) checkState(s *event.State) error {
	if s == nil {
		return nil
	}
	if err := event.CheckPayload("state", &s.Payload, "state_bytes", c.cfg.Limits.StateBytes); err != nil {
		return badDecision(err)
	}
	return nil
}

// badDecision tells a caller what was wrong with the handler's decision: too_large and unsupported stay what they are, for they say
// what to do; anything else is the handler's mistake.
func badDecision(err error) error {
	e := errs.As(err)
	if e.Code == errs.TooLarge || e.Code == errs.Unsupported {
		return e
	}
	told := *e
	told.Code, told.Message = errs.Internal, "the handler's decision is not valid: "+e.Message
	return told.With("reason", "handler_fault")
}

// decide puts a decision behind those that it was made after.
func (c *Core) decide(e *entity, cmd *command) {
	cmd.phase, cmd.revision = settled, e.revision
	e.decided.push(cmd)
}

// faulty answers a command whose decision was not valid, and tells the handler.
func (c *Core) faulty(s *seat, e *entity, cmd *command, err error) {
	c.fault(s.att, Fault{Kind: e.kind.name, Key: e.key, Err: err})
	cmd.err, cmd.proved = err, true
	c.decide(e, cmd)
}

// fault tells a handler's people what was wrong, and ours.
func (c *Core) fault(a *Attachment, f Fault) {
	const most = 64 // in one frame: a handler that is wrong about everything hears enough
	if len(a.frame.Faults) < most {
		a.frame.Faults = append(a.frame.Faults, f)
		c.touch(a)
	}
	c.cfg.Logger.Warn("a handler's result is wrong", "process", a.name, "kind", f.Kind, "key", f.Key, "task", f.TaskID, "error", f.Err)
	if told := c.cfg.Listener.Faulted; told != nil {
		told(f.Kind, "result")
	}
}

func (c *Core) tellFault(e *entity, err error) {
	c.cfg.Logger.Warn("a handler failed", "kind", e.kind.name, "key", e.key, "error", err)
	if told := c.cfg.Listener.Faulted; told != nil {
		told(e.kind.name, "failure")
	}
}

// wrong ends a task whose result cannot be read as one.
func (c *Core) wrong(t *inHand, format string, args ...any) {
	err := errs.New(errs.Internal, "the handler's result "+format, args...).With("reason", "handler_fault")
	c.fault(t.seat.att, Fault{TaskID: t.id, Kind: t.e.kind.name, Key: t.e.key, Err: err})
	c.endTask(t, err)
}

// failTask ends a task that failed as a whole.
func (c *Core) failTask(t *inHand, err error) {
	c.tellFault(t.e, err)
	c.endTask(t, err)
}

// endTask answers a task's commands with an error that writes nothing; the session is not to be trusted any more.
func (c *Core) endTask(t *inHand, err error) {
	c.failed(t.seat)
	t.e.session = 0
	c.keep(t.e, nil)
	for cmd := t.commands.pop(); cmd != nil; cmd = t.commands.pop() {
		cmd.err, cmd.proved = err, true
		c.decide(t.e, cmd)
	}
}

// lacking sends a task again, cold, when the handler does not have what it builds on.
func (c *Core) lacking(t *inHand) {
	if t.e.missing++; t.e.missing > mostMissing {
		t.e.missing = 0
		c.wrong(t, "says that the base is missing, %d times in a row", mostMissing)
		return
	}
	t.e.session = 0
	c.again(t.e, &t.commands)
}

// again puts commands of a task back where they came from; when the entity is broken, behind those that are to be decided before.
func (c *Core) again(e *entity, l *list) {
	if e.broken {
		for cmd := l.pop(); cmd != nil; cmd = l.pop() {
			cmd.phase, cmd.redo = settled, true
			e.decided.push(cmd)
		}
		return
	}
	for cmd := l.first; cmd != nil; cmd = cmd.next {
		cmd.phase = queued
	}
	e.queue.unpop(l)
}

// succeeded closes a breaker.
func (c *Core) succeeded(s *seat) {
	s.failures, s.backoff, s.openTo = 0, 0, time.Time{}
	c.tellBreaker(s, false)
}

// failed counts a failure, and opens the breaker at the last straw.
func (c *Core) failed(s *seat) {
	if s.failures++; s.failures < breakAfter {
		return
	}
	s.backoff = min(max(2*s.backoff, breakFor), breakLongest)
	s.openTo = c.now.Add(s.backoff)
	c.tellBreaker(s, true)
}

// isOpen tells whether nothing may be sent to a seat. When the time is over one task is tried; until it is answered the breaker is
// open still.
func (c *Core) isOpen(s *seat) bool {
	if s.openTo.IsZero() {
		return false
	}
	if c.now.Before(s.openTo) {
		return true
	}
	s.openTo = c.now.Add(max(s.conf.Timeout, s.backoff))
	return false
}

func (c *Core) tellBreaker(s *seat, open bool) {
	if s.open == open {
		return
	}
	s.open = open
	if open {
		c.cfg.Logger.Error("a circuit breaker is open: commands fail at once until the handler does better", "kind", s.kind.name, "process", s.att.name, "failures", s.failures, "until", s.openTo)
	} else {
		c.cfg.Logger.Info("a circuit breaker is closed again", "kind", s.kind.name, "process", s.att.name)
	}
	if told := c.cfg.Listener.Breaker; told != nil {
		told(s.kind.name, open)
	}
}

// String tells of a verdict, for messages.
func (v Verdict) String() string {
	switch v {
	case Accepted:
		return "accepted"
	case Rejected:
		return "rejected"
	case Later:
		return "retry"
	case Failed:
		return "failed"
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}
