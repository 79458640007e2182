package shard

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/seglog"
)

// match runs a shard and the model side by side.
type match struct {
	*rig
	*rapid.T
	m    model
	next int // for new ids
	past []*event.Commit
}

var (
	topics = []string{"orders", "orders2", "a"}
	keys   = []string{"", "1", "12", "customer/é", "\x00"}
	types  = []string{"Placed", "Paid"}
)

// TestShardLikeModel appends, repeats, reads and restarts at random: the shard answers like a list in memory, whatever was sealed,
// deleted or damaged of what is derived.
func TestShardLikeModel(t *testing.T) {
	var sealed atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(rt)
		r.o.LogListener = &seglog.Listener{Sealed: func(uint64) { sealed.Add(1) }}
		r.o.Limits.IDWindowEvents = int64(rapid.SampledFrom([]int{5, 40, 1000}).Draw(rt, "window"))
		m := &match{rig: r, T: rt, m: model{window: uint64(r.o.Limits.IDWindowEvents), age: r.o.Limits.IDWindow}}
		defer m.close()
		m.open().mustServe()
		rt.Repeat(map[string]func(*rapid.T){
			"append":  m.appendNew,
			"many":    m.appendMany,
			"repeat":  m.repeatPast,
			"time":    m.passTime,
			"read":    m.readSome,
			"pages":   m.readPages,
			"counts":  m.compareCounts,
			"heads":   m.compareHeads,
			"restart": m.restart,
		})
		m.compareAll()
	})
	if t.Logf("%d segments were sealed", sealed.Load()); sealed.Load() == 0 {
		t.Fatal("nothing was ever sealed")
	}
}

func (m *match) commit(t *rapid.T, id func() string) *event.Commit {
	c := &event.Commit{}
	for range rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "streams") {
		a := event.Append{Topic: []byte(rapid.SampledFrom(topics).Draw(t, "topic")), Key: []byte(rapid.SampledFrom(keys).Draw(t, "key"))}
		if twice(c, &a) {
			continue
		}
		a.Expect = m.expectation(t, &a)
		for range rapid.SampledFrom([]int{1, 1, 2, 5}).Draw(t, "events") {
			e := eventwire.Event{ID: id(), Type: rapid.SampledFrom(types).Draw(t, "type"), Data: make([]byte, rapid.SampledFrom([]int{0, 10, 100, 250}).Draw(t, "size")), Tags: drawTags(t)}
			b := eventwire.AppendEvent(nil, &e)
			a.Events = append(a.Events, event.Prepared{ID: []byte(e.ID), Type: []byte(e.Type), Bytes: b})
			c.Bytes += len(b)
		}
		c.Streams = append(c.Streams, a)
	}
	if rapid.IntRange(0, 2).Draw(t, "command") == 0 {
		c.CommandID = []byte(id())
	}
	return c
}

// drawTags draws few of few, one of them rare.
func drawTags(t *rapid.T) (tags []string) {
	for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "tags") {
		tags = append(tags, rapid.SampledFrom([]string{"x", "x", "y", "order:7", ""}).Draw(t, "tag"))
	}
	return tags
}

// third matches every third event of a stream.
type third struct{}

func (third) Match(_ []byte, v *eventwire.View) (bool, error) { return v.Revision%3 == 0, nil }

func twice(c *event.Commit, a *event.Append) bool {
	for i := range c.Streams {
		if s := &c.Streams[i]; string(s.Topic) == string(a.Topic) && string(s.Key) == string(a.Key) {
			return true
		}
	}
	return false
}

func (m *match) expectation(t *rapid.T, a *event.Append) event.Expect {
	switch kind := event.ExpectKind(rapid.IntRange(0, 3).Draw(t, "expect")); kind {
	case event.Exact:
		actual := m.m.head(a.Topic, a.Key).Revision
		return event.Expect{Kind: kind, Revision: rapid.SampledFrom([]uint64{actual, actual, actual, actual + 1, actual / 2, ^uint64(0)}).Draw(t, "revision")}
	default:
		return event.Expect{Kind: kind}
	}
}

func (m *match) newID() string {
	m.next++
	return fmt.Sprintf("id-%d", m.next)
}

func (m *match) appendNew(t *rapid.T) { m.do(m.commit(t, m.newID)) }

// appendMany makes the log roll and the window pass.
func (m *match) appendMany(t *rapid.T) {
	for range rapid.SampledFrom([]int{3, 10, 60}).Draw(t, "many") {
		m.do(m.commit(t, m.newID))
	}
}

// repeatPast sends a commit again: as it was, with other expectations, with other content, or with some of its ids.
func (m *match) repeatPast(t *rapid.T) {
	if len(m.past) == 0 {
		t.Skip("nothing was appended yet")
	}
	was := m.past[rapid.IntRange(0, len(m.past)-1).Draw(t, "which")]
	c := &event.Commit{Streams: append([]event.Append(nil), was.Streams...), CommandID: was.CommandID, Bytes: was.Bytes}
	s := &c.Streams[len(c.Streams)-1]
	switch rapid.IntRange(0, 4).Draw(t, "how") {
	case 0, 1:
	case 2:
		s.Expect = m.expectation(t, s)
	case 3:
		e := eventwire.Event{ID: string(s.Events[0].ID), Type: "Other"}
		s.Events = append([]event.Prepared{{ID: s.Events[0].ID, Type: []byte("Other"), Bytes: eventwire.AppendEvent(nil, &e)}}, s.Events[1:]...)
	case 4:
		ids := []string{string(s.Events[0].ID)}
		c = m.commit(t, func() string {
			if len(ids) == 0 {
				return m.newID()
			}
			id := ids[0]
			ids = ids[1:]
			return id
		})
		c.Streams[0].Topic, c.Streams[0].Key = s.Topic, s.Key
		c.Streams = c.Streams[:1]
	}
	m.do(c)
}

func (m *match) do(c *event.Commit) {
	m.T.Helper()
	now := m.clock.Now()
	want := m.m.judge(c, now)
	got, err := m.append(c)
	if err != nil {
		m.refused(c, want, err)
		return
	}
	want.outcome.Position = position.Position{Shard: 1, History: 7, Offset: want.outcome.Position.Offset}
	want.outcome.Repeated = want.repeat
	if len(want.codes) > 0 && !want.repeat {
		m.T.Fatalf("%s\naccepted as %+v, want %v", show(c), got, want.codes)
	}
	if d := cmp.Diff(want.outcome, got); d != "" {
		m.T.Fatalf("%s\noutcome (-want +got):\n%s", show(c), d)
	}
	if !want.repeat {
		m.past = append(m.past, c)
	}
}

func (m *match) refused(c *event.Commit, want expected, err error) {
	m.T.Helper()
	for _, code := range want.codes {
		if errs.CodeOf(err) != code {
			continue
		}
		if code == errs.Conflict && want.actual != ^uint64(0) && errs.As(err).Details["actual_revision"] != fmt.Sprint(want.actual) {
			m.T.Fatalf("%s\n%v tells revision %s, want %d", show(c), err, errs.As(err).Details["actual_revision"], want.actual)
		}
		return
	}
	m.T.Fatalf("%s\n%v, want %+v", show(c), err, want)
}

func show(c *event.Commit) (text string) {
	text = fmt.Sprintf("command %q", c.CommandID)
	for _, s := range c.Streams {
		text += fmt.Sprintf("; %s/%q expect %+v:", s.Topic, s.Key, s.Expect)
		for _, e := range s.Events {
			text += fmt.Sprintf(" %s", e.ID)
		}
	}
	return text
}

func (m *match) passTime(t *rapid.T) {
	m.clock.Advance(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Minute, 50 * time.Minute, -time.Second}).Draw(t, "time"))
}

func (m *match) spec(t *rapid.T) event.ReadSpec {
	s := event.ReadSpec{
		Scope: event.Scope(rapid.IntRange(1, 3).Draw(t, "scope")), Topic: []byte(rapid.SampledFrom(topics).Draw(t, "topic")),
		Key: []byte(rapid.SampledFrom(keys).Draw(t, "key")), Backwards: rapid.Bool().Draw(t, "backwards"),
		Limit: rapid.SampledFrom([]uint64{0, 1, 3, 1000}).Draw(t, "limit"),
	}
	if rapid.IntRange(0, 3).Draw(t, "filter") == 0 {
		s.Types = [][]byte{[]byte(rapid.SampledFrom(types).Draw(t, "type"))}
	}
	if rapid.IntRange(0, 7).Draw(t, "second filter") == 0 {
		s.Types = append(s.Types, []byte(rapid.SampledFrom(types).Draw(t, "second type")))
	}
	if rapid.IntRange(0, 3).Draw(t, "prefix") == 0 {
		s.KeyPrefix = []byte("1")
	}
	if rapid.IntRange(0, 3).Draw(t, "tagged") == 0 {
		for _, tag := range drawTags(t) {
			s.Tags = append(s.Tags, []byte(tag))
		}
	}
	if rapid.IntRange(0, 7).Draw(t, "where") == 0 {
		s.Where = third{}
	}
	s.From = m.point(t)
	return s
}

func (m *match) point(t *rapid.T) event.Point {
	p := event.Point{Kind: event.PointKind(rapid.IntRange(int(event.Start), int(event.Ago)).Draw(t, "from"))}
	some := rapid.Uint64Range(0, m.m.last()+1).Draw(t, "some")
	switch p.Kind {
	case event.Number:
		p.Number = rapid.SampledFrom([]uint64{some, some / 4, ^uint64(0)}).Draw(t, "number")
	case event.AtPosition:
		p.Position = position.Position{Shard: 1, History: 7, Offset: some}
	case event.AtID:
		p.ID = []byte("none")
		if some > 0 && some <= m.m.last() {
			p.ID = []byte(m.m.events[some-1].id)
		}
	case event.AtTime:
		p.Time = rigStart.Add(time.Hour)
		if some > 0 && some <= m.m.last() {
			p.Time = time.Unix(0, m.m.events[some-1].time+int64(rapid.IntRange(-1, 1).Draw(t, "beside")))
		}
	case event.Ago:
		p.Ago = rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour, 1e6 * time.Hour}).Draw(t, "ago")
	}
	return p
}

// readable tells which error a read must end with; "" when it must not.
func (m *match) readable(s event.ReadSpec) errs.Code {
	switch s.From.Kind {
	case event.Number:
		if s.Scope == event.ScopeTopic {
			return errs.Invalid
		}
	case event.AtPosition:
		if s.From.Position.Offset > m.m.last() {
			return errs.Invalid
		}
	case event.AtID:
		if s.Scope != event.ScopeStream {
			return errs.Invalid
		}
		if m.m.offsetOf(s, string(s.From.ID)) == 0 {
			return errs.NotFound
		}
	}
	return ""
}

func (m *match) readSome(t *rapid.T) {
	s := m.spec(t)
	if s.From.Kind == event.AtID && s.Scope == event.ScopeStream && m.several(s) {
		t.Skip("several events have the id, beyond the window")
	}
	got, err := m.read(s)
	if code := m.readable(s); code != "" {
		wantCode(t, err, code)
		return
	}
	if err != nil {
		t.Fatalf("%+v: %v", s, err)
	}
	if d := cmp.Diff(m.m.read(s, m.clock.Now()), got); d != "" {
		t.Fatalf("%+v (-want +got):\n%s", s, d)
	}
}

func (m *match) several(s event.ReadSpec) bool {
	n := 0
	for i := range m.m.events {
		if e := &m.m.events[i]; m.m.inScope(s, e) && e.id == string(s.From.ID) {
			n++
		}
	}
	return n > 1
}

// readPages reads on from where a page ended: together the pages are the whole.
func (m *match) readPages(t *rapid.T) {
	s := m.spec(t)
	s.From, s.Limit = event.Point{Kind: event.Start}, 0
	if s.Backwards {
		s.From.Kind = event.End
	}
	whole := m.m.read(s, m.clock.Now())
	size := rapid.Uint64Range(1, 5).Draw(t, "page")
	s.Limit = size
	var got [][]byte
	for range len(whole) + 2 {
		r, err := m.s.Read(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		page, at, err := drain(t.Context(), r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, page...); uint64(len(page)) < size {
			break
		}
		s.From = event.Point{Kind: event.AtPosition, Position: at}
	}
	if d := cmp.Diff(whole, got); d != "" {
		t.Fatalf("pages of %d of %+v (-want +got):\n%s", size, s, d)
	}
}

func (m *match) compareHeads(t *rapid.T) {
	topic := []byte(rapid.SampledFrom(topics).Draw(t, "topic"))
	var events uint64
	var want []event.StreamHead
	for _, key := range []string{"", "\x00", "1", "12", "customer/é"} { // in the order of their bytes
		h := m.m.head(topic, []byte(key))
		got, _, err := m.s.Head(t.Context(), topic, []byte(key))
		if err != nil || got != h {
			t.Fatalf("head of %s/%q: %+v, %v, want %+v", topic, key, got, err, h)
		}
		if h.Revision > 0 {
			want = append(want, event.StreamHead{Key: []byte(key), Head: h})
		}
		events += h.Revision
	}
	got, more, err := m.s.Streams(topic, nil, nil, false, 10)
	if err != nil || more || !cmp.Equal(want, got, cmp.Comparer(func(a, b []byte) bool { return string(a) == string(b) })) {
		if len(want)+len(got) > 0 {
			t.Fatalf("streams of %s: %v, %v, %v (-want +got):\n%s", topic, got, more, err, cmp.Diff(want, got))
		}
	}
	if n, err := m.s.TopicEvents(topic); err != nil || n != events {
		t.Fatalf("%s has %d events, %v, want %d", topic, n, err, events)
	}
}

// restart ends the shard in one of the ways in which a process ends, harms what is derived, and opens it again.
func (m *match) restart(t *rapid.T) {
	disk := m.disk
	switch rapid.IntRange(0, 2).Draw(t, "end") {
	case 0: // as kill -9 leaves it
		copied := disk.Clone()
		m.close()
		disk = copied
	case 1: // as a power cut leaves it
		m.close()
		disk = disk.Crash()
	default:
		m.close()
	}
	m.use(disk)
	if rapid.IntRange(0, 1).Draw(t, "index") == 0 {
		if err := m.mem.RemoveAll(m.o.IndexDir); err != nil {
			t.Fatal(err)
		}
		m.harmTables(t)
	}
	m.open()
}

// harmTables deletes, empties or damages some tables beside the segments.
func (m *match) harmTables(t *rapid.T) {
	names, err := m.mem.List(m.o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range names {
		name = filepath.Join(m.o.Dir, name)
		b := m.table(name)
		if len(b) == 0 || m.mem.Remove(name) != nil {
			t.Fatalf("table %s has %d bytes", name, len(b))
		}
		switch rapid.IntRange(0, 4).Draw(t, "harm") {
		case 0:
			continue
		case 1:
			b = b[:len(b)/2]
		case 2:
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= 0x10
		}
		m.putTable(name, b)
	}
}

func (r *rig) table(name string) []byte {
	f, err := r.mem.Open(name)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *rig) putTable(name string, b []byte) {
	f, err := r.mem.Create(name, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(b)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		r.t.Fatal(err)
	}
}

func (m *match) compareAll() {
	for _, s := range []event.ReadSpec{{Scope: event.ScopeAll}, {Scope: event.ScopeAll, Backwards: true, From: event.Point{Kind: event.End}}} {
		got, err := m.read(s)
		if err != nil {
			m.T.Fatal(err)
		}
		if d := cmp.Diff(m.m.read(s, m.clock.Now()), got); d != "" {
			m.T.Fatalf("%+v (-want +got):\n%s", s, d)
		}
	}
}
