package shard

import (
	"bytes"
	"slices"
	"time"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// model is a shard as one would write it without a disk: a list of events, searched from end to end.
type model struct {
	events   []kept
	commands []keptCommand
	window   uint64
	age      time.Duration
}

type kept struct {
	topic, key, id string
	kind           string // the event's type
	bytes          []byte
	tags           []string
	revision       uint64
	time           int64
}

type keptCommand struct {
	topic, key, id string
	digest         [32]byte
	outcome        event.Outcome
	time           int64
}

func (m *model) last() uint64 { return uint64(len(m.events)) }

func (m *model) lastTime() int64 {
	if len(m.events) == 0 {
		return rigStart.UnixNano() // of the shard's settings
	}
	return m.events[len(m.events)-1].time
}

func (m *model) head(topic, key []byte) (h event.Head) {
	for i := range m.events {
		if e := &m.events[i]; e.topic == string(topic) && e.key == string(key) {
			h = event.Head{Revision: e.revision, Offset: uint64(i) + 1, Time: e.time}
		}
	}
	return h
}

func (m *model) inWindow(offset uint64, at, now int64) bool {
	return m.last()-offset < m.window && max(now, m.lastTime())-at < int64(m.age)
}

// verdict is what an append may come to; an error of more than one code is allowed only where the promise leaves it open.
type expected struct {
	outcome event.Outcome
	codes   []errs.Code // of the errors allowed; empty: only the outcome
	repeat  bool
	actual  uint64 // that a conflict must tell
}

// judge tells what an append must come to, and takes it in when it is a new one.
func (m *model) judge(c *event.Commit, now time.Time) expected {
	at := now.UnixNano()
	if x, ok := m.command(c, at); ok {
		return x
	}
	if x, ok := m.known(c, at); ok {
		return x
	}
	for i := range c.Streams {
		s := &c.Streams[i]
		if actual := m.head(s.Topic, s.Key).Revision; !s.Expect.Met(actual) {
			return expected{codes: []errs.Code{errs.Conflict}, actual: actual}
		}
	}
	return m.take(c, at)
}

func (m *model) command(c *event.Commit, now int64) (expected, bool) {
	for _, k := range slices.Backward(m.commands) {
		s := &c.Streams[0]
		if len(c.CommandID) == 0 || k.id != string(c.CommandID) || k.topic != string(s.Topic) || k.key != string(s.Key) {
			continue
		}
		if !m.inWindow(k.outcome.Position.Offset, k.time, now) {
			return expected{}, false
		}
		if k.digest != c.Digest() {
			return expected{codes: []errs.Code{errs.Invalid}}, true
		}
		return expected{outcome: k.outcome, repeat: true}, true
	}
	return expected{}, false
}

// known finds the commit's events among what is kept.
func (m *model) known(c *event.Commit, now int64) (expected, bool) {
	x := expected{repeat: true}
	taken, whole, atExpected := 0, true, false
	for i := range c.Streams {
		s := &c.Streams[i]
		var o event.StreamOutcome
		for j := range s.Events {
			offset, in := m.find(s, j, now)
			if in {
				taken++
			}
			if offset == 0 {
				whole = false
				continue
			}
			e := &m.events[offset-1]
			if s.Expect.Kind >= event.Exact || s.Expect.Kind == event.None {
				atExpected = atExpected || e.revision == s.Expect.Revision+uint64(j)+1
			}
			whole = whole && bytes.Equal(e.bytes, s.Events[j].Bytes) && (j == 0 || e.revision == o.LastRevision+1)
			if j == 0 {
				o.FirstRevision, o.FirstOffset = e.revision, offset
			}
			o.LastRevision, o.LastOffset = e.revision, offset
		}
		x.outcome.Streams = append(x.outcome.Streams, o)
		x.outcome.Position.Offset = max(x.outcome.Position.Offset, o.LastOffset)
	}
	switch events := count(c); {
	case taken == events && whole:
		return x, true
	case taken > 0 && whole: // the edge of the window runs through it: what is beyond may be forgotten
		x.codes = []errs.Code{errs.Invalid}
		return x, true
	case taken > 0:
		return expected{codes: []errs.Code{errs.Invalid}}, true
	case whole && atExpected && len(c.Streams) == 1:
		return x, true
	case whole && atExpected: // the other streams' events may be forgotten
		x.codes = []errs.Code{errs.Conflict}
		x.actual = ^uint64(0)
		return x, true
	}
	return expected{}, false
}

func count(c *event.Commit) (n int) {
	for i := range c.Streams {
		n += len(c.Streams[i].Events)
	}
	return n
}

// find gives the offset of an event with the id of the j-th of an append: the newest one in the window, else the one at the expected
// revision, else the newest; 0 when there is none.
func (m *model) find(s *event.Append, j int, now int64) (offset uint64, in bool) {
	atExpected := false
	for i := range m.events {
		e := &m.events[i]
		if e.topic != string(s.Topic) || e.key != string(s.Key) || e.id != string(s.Events[j].ID) {
			continue
		}
		switch o := uint64(i) + 1; {
		case m.inWindow(o, e.time, now):
			return o, true
		case s.Expect.Kind == event.None && e.revision == uint64(j)+1, s.Expect.Kind == event.Exact && e.revision == s.Expect.Revision+uint64(j)+1:
			offset, atExpected = o, true
		case !atExpected:
			offset = o
		}
	}
	return offset, false
}

func (m *model) take(c *event.Commit, now int64) (x expected) {
	at := max(now, m.lastTime())
	for i := range c.Streams {
		s := &c.Streams[i]
		revision := m.head(s.Topic, s.Key).Revision
		o := event.StreamOutcome{FirstRevision: revision + 1, FirstOffset: m.last() + 1}
		for _, e := range s.Events {
			revision++
			k := kept{topic: string(s.Topic), key: string(s.Key), id: string(e.ID), kind: string(e.Type), bytes: e.Bytes, revision: revision, time: at}
			var decoded eventwire.Event
			if eventwire.DecodeEvent(e.Bytes, &decoded) == nil {
				k.tags = decoded.Tags
			}
			m.events = append(m.events, k)
		}
		o.LastRevision, o.LastOffset = revision, m.last()
		x.outcome.Streams = append(x.outcome.Streams, o)
	}
	x.outcome.Position.Offset = m.last()
	if len(c.CommandID) > 0 {
		s := &c.Streams[0]
		m.commands = append(m.commands, keptCommand{string(s.Topic), string(s.Key), string(c.CommandID), c.Digest(), x.outcome, at})
	}
	return x
}

// read gives the payloads that a read must give.
func (m *model) read(spec event.ReadSpec, now time.Time) (payloads [][]byte) {
	var offsets []uint64
	for i := range m.events {
		if e, offset := &m.events[i], uint64(i)+1; m.inScope(spec, e) && m.pastPoint(spec, e, offset, now) {
			offsets = append(offsets, offset)
		}
	}
	if spec.Backwards {
		slices.Reverse(offsets)
	}
	for _, offset := range offsets {
		e := &m.events[offset-1]
		if !wanted(spec, e) {
			continue
		}
		payloads = append(payloads, eventwire.AppendRecorded(nil, e.bytes, offset, e.revision, []byte(e.topic), []byte(e.key), e.time))
		if spec.Limit > 0 && uint64(len(payloads)) == spec.Limit {
			break
		}
	}
	return payloads
}

func (m *model) inScope(spec event.ReadSpec, e *kept) bool {
	switch spec.Scope {
	case event.ScopeStream:
		return e.topic == string(spec.Topic) && e.key == string(spec.Key)
	case event.ScopeTopic:
		return e.topic == string(spec.Topic)
	}
	return true
}

func wanted(spec event.ReadSpec, e *kept) bool {
	if !bytes.HasPrefix([]byte(e.key), spec.KeyPrefix) {
		return false
	}
	for _, tag := range spec.Tags {
		if !slices.Contains(e.tags, string(tag)) {
			return false
		}
	}
	if spec.Where != nil && e.revision%3 != 0 {
		return false
	}
	return len(spec.Types) == 0 || slices.ContainsFunc(spec.Types, func(t []byte) bool { return string(t) == e.kind })
}

// pastPoint tells whether an event lies at or behind the starting point, in the direction of the read.
func (m *model) pastPoint(spec event.ReadSpec, e *kept, offset uint64, now time.Time) bool {
	at, here := uint64(0), offset
	switch p := spec.From; p.Kind {
	case event.Start:
		return !spec.Backwards
	case event.End:
		return spec.Backwards
	case event.Number:
		at = max(p.Number, 1)
		if spec.Scope == event.ScopeStream {
			here = e.revision
		}
	case event.AtPosition:
		if at = p.Position.Offset; !spec.Backwards {
			at++
		}
	case event.AtID:
		at = m.offsetOf(spec, string(p.ID))
	case event.AtTime, event.Ago:
		t := p.Time
		if p.Kind == event.Ago {
			t = now.Add(-p.Ago)
		}
		if spec.Backwards {
			return e.time <= t.UnixNano()
		}
		return e.time >= t.UnixNano()
	}
	if spec.Backwards {
		return here <= at
	}
	return here >= at
}

// offsetOf is the offset of the one event of a stream that has an id; 0 when there is none, or several.
func (m *model) offsetOf(spec event.ReadSpec, id string) (offset uint64) {
	for i := range m.events {
		if e := &m.events[i]; m.inScope(spec, e) && e.id == id {
			if offset > 0 {
				return 0
			}
			offset = uint64(i) + 1
		}
	}
	return offset
}
