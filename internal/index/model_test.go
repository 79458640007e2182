package index

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// model is the log as a list, and what an index must say about it.
type model struct {
	t        *rapid.T
	fs       vfs.FS
	ix       *Index
	window   uint64
	events   []Event
	commands []command
	segments []uint64 // first entries; the last one is active
	ends     []int    // events before the end of each segment but the last
	cmdEnds  []int
	states   []carried
	stEnds   []int
	sealed   int // segments ingested
	entry    uint64
	time     int64
}

// carried is a state in the log.
type carried struct {
	topic, key []byte
	revision   uint64
	loc        Loc
}

type command struct{ hash, offset uint64 }

func (m *model) open() {
	ix, err := Open(Options{Dir: "index", FS: m.fs, BlockCacheBytes: 1 << 20, HeadsCacheBytes: 1 << 20, IDWindow: m.window})
	m.no(err)
	m.ix = ix
}

func (m *model) no(err error) {
	if err != nil {
		m.t.Fatalf("unexpected error: %+v", err)
	}
}

func (m *model) file(i int) string { return fmt.Sprintf("seg-%d.idx", m.segments[i]) }

// draw makes events with few names, so that streams span segments and collide in topics.
func (m *model) add(t *rapid.T) {
	n := rapid.SampledFrom([]int{1, 2, 7, 90, 300}).Draw(t, "n")
	gappy := rapid.Bool().Draw(t, "gappy")
	batch := make([]Event, n)
	off := uint32(17)
	for i := range batch {
		if rapid.IntRange(0, 3).Draw(t, "entry") == 0 {
			m.entry, off = m.entry+uint64(rapid.IntRange(1, 3).Draw(t, "entries")), uint32(rapid.IntRange(0, 40).Draw(t, "off"))
			m.time += int64(rapid.IntRange(0, 5).Draw(t, "later"))
		}
		topic := fmt.Sprintf("t%d", rapid.SampledFrom([]int{0, 0, 0, 1, 2, 11}).Draw(t, "topic"))
		key := fmt.Sprintf("k%d", rapid.SampledFrom([]int{0, 0, 0, 1, 10, 100, rapid.IntRange(0, 500).Draw(t, "any")}).Draw(t, "key"))
		if key == "k1" {
			key = ""
		}
		size := uint32(rapid.SampledFrom([]int{256, 256, 0, 70000}).Draw(t, "size"))
		e := Event{
			Offset: m.last() + 1, Topic: []byte(topic), Key: []byte(key), Time: m.time,
			ID:  IDHash([]byte(topic), []byte(key), []byte{byte(rapid.IntRange(0, 40).Draw(t, "id"))}),
			Loc: Loc{Entry: m.entry, Off: off, Size: size},
		}
		off += 9 + size
		if gappy && rapid.IntRange(0, 5).Draw(t, "gap") == 0 {
			e.Offset += uint64(rapid.IntRange(1, 200).Draw(t, "hole"))
		}
		e.Revision = m.revision(e.Topic, e.Key) + 1
		e.Type = []byte{byte('A' + rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3}).Draw(t, "type"))}
		for range rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "tags") {
			e.Tags = append(e.Tags, TagHash([]byte{byte(rapid.SampledFrom([]int{0, 0, 1, 2, rapid.IntRange(3, 200).Draw(t, "rare")}).Draw(t, "tag"))}))
		}
		if gappy && rapid.IntRange(0, 5).Draw(t, "skip") == 0 {
			e.Revision += uint64(rapid.IntRange(1, 9).Draw(t, "skipped"))
		}
		m.events = append(m.events, e)
		batch[i] = e
	}
	m.ix.Add(batch)
	if rapid.Bool().Draw(t, "command") {
		c := command{hash: CommandHash([]byte("t"), nil, []byte{byte(n)}), offset: batch[0].Offset}
		m.commands = append(m.commands, c)
		m.ix.AddCommand(c.hash, Loc{}, c.offset)
	}
	m.entry++
}

// carry adds a state for a stream that has events, or for one that has none.
func (m *model) carry(t *rapid.T) {
	c := carried{loc: Loc{Entry: m.entry, Off: uint32(rapid.IntRange(0, 1<<20).Draw(t, "off")), Size: uint32(len(m.states))}}
	c.topic, c.key = m.pick(t)
	c.revision = m.revision(c.topic, c.key)
	m.states = append(m.states, c)
	m.ix.AddState(c.topic, c.key, c.revision, c.loc)
	m.entry++
}

func (m *model) checkState(t *rapid.T) {
	topic, key := m.pick(t)
	atMost := rapid.SampledFrom([]uint64{^uint64(0), 0, 1, 5, 40}).Draw(t, "at most")
	var want *carried
	for i := range m.states {
		if c := &m.states[i]; bytes.Equal(c.topic, topic) && bytes.Equal(c.key, key) && c.revision <= atMost {
			want = c
		}
	}
	revision, loc, ok, err := m.ix.State(topic, key, atMost)
	m.no(err)
	if ok != (want != nil) || ok && (revision != want.revision || loc != want.loc) {
		t.Fatalf("State(%s/%s, %d): %d %+v %v, want %+v", topic, key, atMost, revision, loc, ok, want)
	}
}

func (m *model) last() uint64 {
	if len(m.events) == 0 {
		return 0
	}
	return m.events[len(m.events)-1].Offset
}

func (m *model) revision(topic, key []byte) uint64 {
	for _, e := range slices.Backward(m.events) {
		if bytes.Equal(e.Topic, topic) && bytes.Equal(e.Key, key) {
			return e.Revision
		}
	}
	return 0
}

func (m *model) roll(*rapid.T) {
	m.ends = append(m.ends, len(m.events))
	m.cmdEnds = append(m.cmdEnds, len(m.commands))
	m.stEnds = append(m.stEnds, len(m.states))
	m.entry += 2
	m.segments = append(m.segments, m.entry)
	m.begin(m.entry)
}

// begin gives some tables so little room that their later events have no terms.
func (m *model) begin(segment uint64) {
	m.ix.Begin(segment)
	if segment%3 == 0 {
		m.ix.current.terms.budget = 1 << 10
	}
}

func (m *model) seal(t *rapid.T) {
	if m.sealed == len(m.segments)-1 {
		t.Skip("nothing to seal")
	}
	_, err := m.ix.Build(m.segments[m.sealed], m.file(m.sealed))
	m.no(err)
	m.no(m.ix.Ingest(m.segments[m.sealed], m.file(m.sealed)))
	m.sealed++
}

func (m *model) reopen(*rapid.T) {
	m.no(m.ix.Close())
	m.open()
	m.restore()
}

// lose deletes the folder; the tables beside the segments are taken in again.
func (m *model) lose(*rapid.T) {
	m.no(m.ix.Close())
	m.no(m.fs.RemoveAll("index"))
	m.open()
	for i := range m.sealed {
		m.no(m.ix.Ingest(m.segments[i], m.file(i)))
	}
	m.restore()
}

// restore adds what is in no ingested segment.
func (m *model) restore() {
	if got := len(m.ix.Ingested()); got != m.sealed {
		m.t.Fatalf("%d segments ingested, want %d", got, m.sealed)
	}
	for i := m.sealed; i < len(m.segments); i++ {
		lo, hi, clo, chi, slo, shi := 0, len(m.events), 0, len(m.commands), 0, len(m.states)
		if i > 0 {
			lo, clo, slo = m.ends[i-1], m.cmdEnds[i-1], m.stEnds[i-1]
		}
		if i < len(m.ends) {
			hi, chi, shi = m.ends[i], m.cmdEnds[i], m.stEnds[i]
		}
		m.begin(m.segments[i])
		m.ix.Add(m.events[lo:hi])
		for _, c := range m.commands[clo:chi] {
			m.ix.AddCommand(c.hash, Loc{}, c.offset)
		}
		for _, c := range m.states[slo:shi] {
			m.ix.AddState(c.topic, c.key, c.revision, c.loc)
		}
	}
}

func (m *model) check(t *rapid.T) {
	m.t = t
	if got, _ := m.ix.Last(); got != m.last() {
		t.Fatalf("Last: %d, want %d", got, m.last())
	}
	m.checkStream(t)
	m.checkTopic(t)
	m.checkIDs(t)
	m.checkTime(t)
	m.checkList(t)
	m.checkState(t)
	m.checkFind(t)
	m.checkCounts(t)
	if len(m.events) > 0 {
		e := rapid.SampledFrom(m.events).Draw(t, "located")
		loc, err := m.ix.Locate(e.Offset)
		m.no(err)
		if loc != e.Loc {
			t.Fatalf("Locate(%d): %+v, want %+v", e.Offset, loc, e.Loc)
		}
	}
}

func (m *model) pick(t *rapid.T) (topic, key []byte) {
	if len(m.events) == 0 || rapid.IntRange(0, 9).Draw(t, "absent") == 0 {
		return []byte("t0"), []byte("absent")
	}
	e := rapid.SampledFrom(m.events).Draw(t, "of")
	return e.Topic, e.Key
}

func (m *model) checkStream(t *rapid.T) {
	topic, key := m.pick(t)
	var all []Posting
	var head Head
	for _, e := range m.events {
		if bytes.Equal(e.Topic, topic) && bytes.Equal(e.Key, key) {
			all = append(all, Posting{e.Offset, e.Revision, e.Loc})
			head = Head{e.Revision, e.Offset, e.Time}
		}
	}
	got, ok, err := m.ix.Head(topic, key)
	m.no(err)
	if got != head || ok != (head.Revision > 0) {
		t.Fatalf("Head(%s/%s): %+v, want %+v", topic, key, got, head)
	}
	from := rapid.Uint64Range(0, head.Revision+2).Draw(t, "from")
	m.compare(t, "stream", m.ix.Stream(topic, key, from, false), since(all, from, byRevision))
	m.compare(t, "stream backwards", m.ix.Stream(topic, key, from, true), until(all, from, byRevision))
}

func (m *model) checkTopic(t *rapid.T) {
	topic, _ := m.pick(t)
	var all []Posting
	for _, e := range m.events {
		if bytes.Equal(e.Topic, topic) {
			all = append(all, Posting{Offset: e.Offset, Loc: e.Loc})
		}
	}
	n, err := m.ix.TopicEvents(topic)
	m.no(err)
	if n != uint64(len(all)) {
		t.Fatalf("TopicEvents(%s): %d, want %d", topic, n, len(all))
	}
	from := rapid.Uint64Range(0, m.last()+2).Draw(t, "from")
	m.compare(t, "topic", m.ix.Topic(topic, from, false), since(all, from, byOffset))
	m.compare(t, "topic backwards", m.ix.Topic(topic, from, true), until(all, from, byOffset))
}

func byRevision(p Posting) uint64 { return p.Revision }
func byOffset(p Posting) uint64   { return p.Offset }

func since(all []Posting, from uint64, by func(Posting) uint64) (out []Posting) {
	for _, p := range all {
		if by(p) >= from {
			out = append(out, p)
		}
	}
	return out
}

func until(all []Posting, from uint64, by func(Posting) uint64) (out []Posting) {
	for _, p := range slices.Backward(all) {
		if by(p) <= from {
			out = append(out, p)
		}
	}
	return out
}

func (m *model) compare(t *rapid.T, what string, it *Iter, want []Posting) {
	defer it.Close()
	var got []Posting
	room := make([]Posting, rapid.SampledFrom([]int{1, 3, 64, 1000}).Draw(t, "room"))
	for {
		n, err := it.Next(room)
		m.no(err)
		if n == 0 {
			break
		}
		got = append(got, room[:n]...)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %d postings %v, want %d %v", what, len(got), got, len(want), want)
	}
}

func (m *model) checkIDs(t *rapid.T) {
	if len(m.events) == 0 {
		return
	}
	hash := rapid.SampledFrom(m.events).Draw(t, "id").ID
	if len(m.commands) > 0 && rapid.Bool().Draw(t, "of command") {
		hash = rapid.SampledFrom(m.commands).Draw(t, "command").hash
	}
	var want, recent []uint64
	for _, o := range m.offsetsOf(hash) {
		want = append(want, o)
		if o+m.window > m.last() {
			recent = append(recent, o)
		}
	}
	got, err := m.ix.SealedIDs(hash, nil)
	m.no(err)
	got = m.ix.ActiveIDs(hash, got)
	for _, o := range recent {
		if !slices.Contains(got, o) {
			t.Fatalf("ids: %v lacks %d of %v (last %d)", got, o, want, m.last())
		}
	}
	all, err := m.ix.FindIDs(hash, nil)
	m.no(err)
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	if !slices.Equal(all, want) {
		t.Fatalf("FindIDs: %v, want %v", all, want)
	}
	for _, o := range got {
		if !slices.Contains(want, o) {
			t.Fatalf("ids: %d is not one of %v", o, want)
		}
	}
	none, err := m.ix.SealedIDs(hash+1, nil)
	m.no(err)
	if none = m.ix.ActiveIDs(hash+1, none); len(m.offsetsOf(hash+1)) == 0 && len(m.ix.view.Load().sealed) == 0 && len(none) > 0 {
		t.Fatalf("an id that never was is at %v", none)
	}
}

func (m *model) offsetsOf(hash uint64) (out []uint64) {
	for _, e := range m.events {
		if e.ID == hash {
			out = append(out, e.Offset)
		}
	}
	for _, c := range m.commands {
		if c.hash == hash {
			out = append(out, c.offset)
		}
	}
	slices.Sort(out)
	return out
}

func (m *model) checkTime(t *rapid.T) {
	at := rapid.Int64Range(0, m.time+2).Draw(t, "at")
	want := m.last() + 1
	for _, e := range slices.Backward(m.events) {
		if e.Time >= at {
			want = e.Offset
		}
	}
	got, err := m.ix.AtTime(at)
	m.no(err)
	if got != want {
		t.Fatalf("AtTime(%d): %d, want %d", at, got, want)
	}
}

func (m *model) checkList(t *rapid.T) {
	topic, key := m.pick(t)
	prefix := key[:rapid.IntRange(0, len(key)).Draw(t, "prefix")]
	_, after := m.pick(t)
	hasAfter := rapid.Bool().Draw(t, "has after")
	heads := map[string]Head{}
	for _, e := range m.events {
		if bytes.Equal(e.Topic, topic) && bytes.HasPrefix(e.Key, prefix) && (!hasAfter || bytes.Compare(e.Key, after) > 0) {
			heads[string(e.Key)] = Head{e.Revision, e.Offset, e.Time}
		}
	}
	var want []string
	for k, h := range heads {
		want = append(want, fmt.Sprintf("%s %+v", k, h))
	}
	slices.SortFunc(want, func(a, b string) int {
		return bytes.Compare(bytes.SplitN([]byte(a), []byte(" "), 2)[0], bytes.SplitN([]byte(b), []byte(" "), 2)[0])
	})
	limit := rapid.SampledFrom([]int{1, 5, 1000}).Draw(t, "limit")
	list, more, err := m.ix.Streams(topic, prefix, after, hasAfter, limit)
	m.no(err)
	var got []string
	for _, s := range list {
		got = append(got, fmt.Sprintf("%s %+v", s.Key, s.Head))
	}
	if more != (len(want) > limit) || !slices.Equal(got, want[:min(limit, len(want))]) {
		t.Fatalf("Streams(%s, %q, after %q %v): %v more %v, want %v", topic, prefix, after, hasAfter, got, more, want)
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, fs: vfs.NewMem(), window: uint64(rapid.SampledFrom([]int{1, 50, 700, 1 << 20}).Draw(t, "window")), entry: 1}
		m.open()
		m.segments = []uint64{1}
		m.ix.Begin(1)
		t.Repeat(map[string]func(*rapid.T){
			"add": m.add, "add more": m.add, "carry": m.carry, "carry more": m.carry, "roll": m.roll, "seal": m.seal, "reopen": m.reopen, "lose": m.lose, "": m.check,
		})
		m.no(m.ix.Close())
	})
}
