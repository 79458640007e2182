package shard

import (
	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/seglog"
)

// builder is an entry in the making: the commits that were accepted in one go, numbered as the log will hold them.
type builder struct {
	data    []byte
	prelude event.Prelude
	start   int
	flight  *flight
	// what to return to if the entry is refused
	lastOffset uint64
	lastTime   int64
	answers    int // those given since the entry was begun were judged on it
}

// roomBytes is what a record takes beside the event's own bytes and names: headers and numbers.
const roomBytes = 64

// include adds an accepted task, opening an entry when there is none and closing one that is full.
func (c *Core) include(b *builder, t *task) *builder {
	need := t.room()
	if b != nil && len(b.data)+need > c.cfg.Limits.EntryBytes {
		c.close(b)
		b = nil
	}
	if b == nil {
		b = c.open(need)
	}
	c.write(b, t)
	return b
}

func (t *task) room() int {
	n := 3*roomBytes + len(t.call.Commit.CommandID) + t.call.Commit.Bytes
	if t.call.Commit.State != nil {
		n += len(t.call.Commit.Streams[0].Topic) + len(t.call.Commit.Streams[0].Key)
	}
	for i := range t.call.Commit.Streams {
		s := &t.call.Commit.Streams[i]
		n += len(s.Events) * (len(s.Topic) + len(s.Key) + roomBytes)
	}
	return n
}

func (c *Core) open(need int) *builder {
	for _, t := range c.queue[1:] {
		if need >= c.cfg.Limits.EntryBytes {
			break
		}
		need += t.room()
	}
	p := &c.proposed
	b := &builder{lastOffset: p.lastOffset, lastTime: p.lastTime, answers: len(c.answers), flight: &flight{index: c.rep.Next()}}
	p.lastTime = max(c.now.UnixNano(), p.lastTime)
	b.prelude = event.Prelude{Term: c.rep.Status().Term, FirstOffset: p.lastOffset + 1, Recorded: p.lastTime}
	b.data = make([]byte, 0, need+2*roomBytes)
	b.start = len(b.data)
	b.data = event.AppendPrelude(seglog.BeginRecord(b.data, byte(event.KindPrelude)), &b.prelude)
	return b
}

// write numbers a task's events and puts them behind those of the tasks before it.
func (c *Core) write(b *builder, t *task) {
	commit := t.call.Commit
	if t.command {
		c.writeCommand(b, commit)
	}
	if commit.State != nil {
		c.writeState(b, commit, t.revisions[0]+uint64(len(commit.Streams[0].Events)))
	}
	t.call.Outcome.Streams = t.outcome1[:0]
	for i := range commit.Streams {
		o := c.writeStream(b, t, i, i == len(commit.Streams)-1)
		t.call.Outcome.Streams = append(t.call.Outcome.Streams, o)
		t.call.Outcome.Position = c.position(o.LastOffset)
	}
	for _, h := range t.ids {
		c.proposed.ids[h] = b.flight.index
	}
	b.flight.ids = append(b.flight.ids, t.ids...)
	b.flight.tasks = append(b.flight.tasks, t)
}

func (c *Core) writeStream(b *builder, t *task, i int, last bool) event.StreamOutcome {
	s := &t.call.Commit.Streams[i]
	p := &c.proposed
	revision := t.revisions[i]
	o := event.StreamOutcome{FirstRevision: revision + 1, FirstOffset: p.lastOffset + 1}
	for j := range s.Events {
		revision++
		p.lastOffset++
		kind := byte(event.KindEvent)
		if last && j == len(s.Events)-1 {
			kind |= byte(event.EndOfCommit)
		}
		start := len(b.data)
		b.data = seglog.BeginRecord(b.data, kind)
		b.data = eventwire.AppendRecorded(b.data, s.Events[j].Bytes, p.lastOffset, revision, s.Topic, s.Key, b.prelude.Recorded)
		seglog.EndRecord(b.data, start, uint64(c.cfg.Number), b.flight.index)
	}
	b.prelude.Events += uint32(len(s.Events))
	b.flight.undo = append(b.flight.undo, p.setHead(s.Topic, s.Key, head{revision: revision, entry: b.flight.index}))
	o.LastRevision, o.LastOffset = revision, p.lastOffset
	return o
}

func (c *Core) writeCommand(b *builder, commit *event.Commit) {
	cmd := event.Command{Topic: commit.Streams[0].Topic, Key: commit.Streams[0].Key, ID: commit.CommandID, Digest: commit.Digest()}
	for i := range commit.Streams {
		cmd.Events = append(cmd.Events, uint32(len(commit.Streams[i].Events)))
	}
	start := len(b.data)
	b.data = event.AppendCommand(seglog.BeginRecord(b.data, byte(event.KindCommand)), &cmd)
	seglog.EndRecord(b.data, start, uint64(c.cfg.Number), b.flight.index)
	if commit.Reply == nil {
		return
	}
	start = len(b.data)
	b.data = event.AppendReply(seglog.BeginRecord(b.data, byte(event.KindReply)), commit.Reply)
	seglog.EndRecord(b.data, start, uint64(c.cfg.Number), b.flight.index)
}

// writeState writes what the first stream amounts to at the revision that the commit brings it to.
func (c *Core) writeState(b *builder, commit *event.Commit, revision uint64) {
	s := &commit.Streams[0]
	carried := event.Carried{Topic: s.Topic, Key: s.Key, Revision: revision, State: *commit.State}
	start := len(b.data)
	b.data = event.AppendCarried(seglog.BeginRecord(b.data, byte(event.KindState)), &carried)
	seglog.EndRecord(b.data, start, uint64(c.cfg.Number), b.flight.index)
}

// close seals an entry and proposes it. A refused one leaves nothing behind: its calls are told so.
func (c *Core) close(b *builder) {
	if b == nil {
		return
	}
	head := event.AppendPrelude(b.data[:b.start+seglog.RecordHeader], &b.prelude)
	seglog.EndRecord(b.data[:len(head)], b.start, uint64(c.cfg.Number), b.flight.index)
	index, term, err := c.rep.Propose(b.data)
	if err != nil {
		c.proposed.rollback(b.flight)
		c.proposed.lastOffset, c.proposed.lastTime = b.lastOffset, b.lastTime
		for _, t := range b.flight.tasks {
			t.call.Outcome = event.Outcome{}
			c.fail(t, err)
		}
		for _, a := range c.answers[b.answers:] {
			a.fail(err)
			c.out.Done = append(c.out.Done, a.to)
		}
		c.answers = c.answers[:b.answers]
		return
	}
	b.flight.index, b.flight.term = index, term
	c.proposed.lastIndex = index
	c.flights = append(c.flights, b.flight)
	// Hand the entry to the disk before the next one is built.
	c.ready()
}

// begin proposes a new shard's settings: nothing is judged before they are applied.
func (c *Core) begin() {
	s := event.Settings{
		Cluster: []byte(c.cfg.Cluster), Shard: c.cfg.Number, History: c.cfg.NewHistory(), SegmentBytes: c.cfg.Limits.SegmentBytes,
		IDWindowEvents: uint64(c.cfg.Limits.IDWindowEvents), IDWindow: c.cfg.Limits.IDWindow,
	}
	index, now := c.rep.Next(), max(c.now.UnixNano(), c.lastTime)
	p := event.Prelude{Term: c.rep.Status().Term, FirstOffset: c.lastOffset + 1, Recorded: now}
	data := event.AppendPrelude(seglog.BeginRecord(nil, byte(event.KindPrelude)), &p)
	seglog.EndRecord(data, 0, uint64(c.cfg.Number), index)
	start := len(data)
	data = event.AppendSettings(seglog.BeginRecord(data, byte(event.KindSettings)|byte(event.EndOfCommit)), &s)
	seglog.EndRecord(data, start, uint64(c.cfg.Number), index)
	if _, _, err := c.rep.Propose(data); err != nil {
		c.cfg.Logger.Warn("settings of a new shard not proposed; the next leader does it", "error", err)
	}
}
