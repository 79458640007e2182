package shard

import (
	"cmp"
	"strconv"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/replica"
)

// verdict is what judging a task came to.
type verdict uint8

const (
	accepted verdict = iota // build it into the entry
	answered                // it has an outcome that writes nothing
	wait                    // an entry in flight decides about it first
	lookUp                  // its look-ups must be made again, outside
)

// judgeQueue judges what waits, in order, and proposes it in entries. It stops at a task that must wait: the order in which
// calls came is the order in which they are judged.
func (c *Core) judgeQueue() {
	if !c.canJudge() {
		c.turnAway()
		return
	}
	var b *builder
	for len(c.queue) > 0 && c.held == nil && (c.writing < depth || c.refuse != nil) {
		t := c.queue[0]
		if err := cmp.Or(c.refuse, t.unread, c.tooLarge(t)); err != nil {
			c.queue = c.queue[1:]
			c.fail(t, err)
			continue
		}
		switch c.judge(t) {
		case accepted:
			b = c.include(b, t)
		case wait:
			c.close(b)
			return
		case lookUp:
			c.held = t
			c.out.Resolve = append(c.out.Resolve, t)
			c.close(b)
			return
		case answered:
		}
		t.call.After = nil // a chain would keep all that came before
		c.queue[0] = nil
		c.queue = c.queue[1:]
	}
	c.close(b)
}

// tooLarge refuses what no segment of this log can hold: its segments keep the size that they began with, whatever limits are
// configured now.
func (c *Core) tooLarge(t *task) error {
	if n := t.room() + roomBytes; int64(n) > c.settings.SegmentBytes/2 {
		return errs.New(errs.TooLarge, "the commit takes %d bytes, and the segments of shard %d have %d: commit less at once", n, c.cfg.Number, c.settings.SegmentBytes).With("limit", "segment_bytes")
	}
	return nil
}

func (c *Core) canJudge() bool {
	return c.serving && c.rep.Status().Role == replica.Leader
}

// turnAway fails what waits for a leader that is somewhere else.
func (c *Core) turnAway() {
	if c.mayLead() || c.held != nil {
		return
	}
	for _, t := range c.queue {
		c.fail(t, c.notLeader())
	}
	c.queue = nil
}

// judge decides about one task on what is applied and what is proposed. It reads memory only.
func (c *Core) judge(t *task) verdict {
	if t.generation != c.ix.Generation() {
		return lookUp
	}
	for _, h := range t.ids {
		if _, flying := c.proposed.ids[h]; flying {
			return wait
		}
	}
	if !c.idsChecked(t) {
		return lookUp
	}
	c.readRevisions(t)
	if t.generation != c.ix.Generation() {
		return lookUp // a segment's table left the memory while it was asked
	}
	if t.prior != nil && c.inWindow(t.prior.Position.Offset, t.priorTime) {
		t.prior.Position = c.position(t.prior.Position.Offset)
		c.repeat(t, *t.prior, t.priorSame)
		return answered
	}
	if o, same, any := c.known(t); any {
		c.repeat(t, o, same)
		return answered
	}
	return c.judgeHeads(t)
}

// idsChecked tells whether every event in memory with the hash of one of the task's ids was compared in full.
func (c *Core) idsChecked(t *task) bool {
	var room [4]uint64
	for _, h := range t.ids {
		for _, offset := range c.ix.ActiveIDs(h, room[:0]) {
			if !contains(t.checked, offset) {
				return false
			}
		}
	}
	return true
}

func contains(s []uint64, x uint64) bool {
	for _, v := range s {
		if v == x {
			return true
		}
	}
	return false
}

// inWindow tells whether an id written at offset and time is still remembered. Its age is taken from the time at which the append
// that asks would itself be recorded.
func (c *Core) inWindow(offset uint64, at int64) bool {
	s := &c.settings
	return c.proposed.lastOffset-offset < s.IDWindowEvents && max(c.now.UnixNano(), c.proposed.lastTime)-at < int64(s.IDWindow)
}

// known compares what was found with what is asked. same tells that all of it was written before, with equal content, as one run
// of each stream; any that it was, or that at least one id is taken. What has left the window takes no id any more, but completes
// the retry of a commit that the window's edge runs through.
func (c *Core) known(t *task) (o event.Outcome, same, any bool) {
	if len(t.found) == 0 {
		return
	}
	n, hits, expected := 0, 0, false
	same = true
	for i := range t.call.Commit.Streams {
		s := &t.call.Commit.Streams[i]
		var so event.StreamOutcome
		for j := range s.Events {
			f, taken := c.foundFor(t, n)
			n++
			if f == nil {
				same = false
				continue
			}
			if taken {
				hits++
			}
			expected = expected || f.expected
			same = same && f.same && (j == 0 || f.revision == so.LastRevision+1)
			if j == 0 {
				so.FirstRevision, so.FirstOffset = f.revision, f.offset
			}
			so.LastRevision, so.LastOffset = f.revision, f.offset
		}
		o.Streams = append(o.Streams, so)
		o.Position = c.position(max(o.Position.Offset, so.LastOffset))
	}
	return o, same, hits > 0 || same && expected
}

// foundFor is what was found for the n-th event: the one that takes its id, else the one at the expected revision, else any.
func (c *Core) foundFor(t *task, n int) (best *found, taken bool) {
	for i := range t.found {
		f := &t.found[i]
		if f.event != n {
			continue
		}
		if c.inWindow(f.offset, f.time) {
			return f, true
		}
		if best == nil || f.expected || f.offset > best.offset && !best.expected {
			best = f
		}
	}
	return best, false
}

// repeat answers with the first outcome, or refuses an id that now names something else.
func (c *Core) repeat(t *task, o event.Outcome, same bool) {
	if same {
		o.Repeated = true
		t.call.Outcome = o
	} else {
		t.call.Err = errs.New(errs.Invalid, "an id of this append was used before for other content: use a new id for a new fact, and send a retry unchanged").With("field", "id")
	}
	c.answer(t, func(err error) { t.call.Err = err }, t.call.Deadline)
}

// judgeHeads holds the expectations against the streams' newest revisions, and against the call that this one rests on: the
// revision alone would also be met by what others wrote in its place.
func (c *Core) judgeHeads(t *task) verdict {
	if prev := t.call.After; prev != nil && (prev.Err != nil || prev.Outcome.Repeated || len(prev.Outcome.Streams) == 0) {
		t.call.Err = conflict(&t.call.Commit.Streams[0], t.revisions[0])
		c.answer(t, func(err error) { t.call.Err = err }, t.call.Deadline)
		return answered
	}
	for i := range t.call.Commit.Streams {
		s := &t.call.Commit.Streams[i]
		if s.Expect.Kind == event.Any {
			continue
		}
		if actual := t.revisions[i]; !s.Expect.Met(actual) {
			t.call.Err = conflict(s, actual)
			c.answer(t, func(err error) { t.call.Err = err }, t.call.Deadline)
			return answered
		}
	}
	return accepted
}

func (c *Core) readRevisions(t *task) {
	t.revisions = t.rev1[:0]
	for i := range t.call.Commit.Streams {
		t.revisions = append(t.revisions, c.revision(t, i))
	}
}

// revision is the newest revision of the call's i-th stream: proposed, in memory, or sealed.
func (c *Core) revision(t *task, i int) uint64 {
	s := &t.call.Commit.Streams[i]
	if r, ok := c.proposed.head(s.Topic, s.Key); ok {
		return r
	}
	if h, ok := c.ix.ActiveHead(s.Topic, s.Key); ok {
		return h.Revision
	}
	return t.heads[i].Revision
}

func conflict(s *event.Append, actual uint64) error {
	want := map[event.ExpectKind]string{event.None: "no events", event.Exists: "events"}[s.Expect.Kind]
	if s.Expect.Kind == event.Exact {
		want = "revision " + strconv.FormatUint(s.Expect.Revision, 10)
	}
	return errs.New(errs.Conflict, "stream %s/%s is at revision %d, expected %s: read it again and decide anew", s.Topic, s.Key, actual, want).
		With("topic", string(s.Topic)).With("key", string(s.Key)).With("actual_revision", strconv.FormatUint(actual, 10))
}
