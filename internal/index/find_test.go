package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// drawQuery asks for anything that might be there, or is not.
func (m *model) drawQuery(t *rapid.T) (q Query) {
	topic, key := m.pick(t)
	switch rapid.IntRange(0, 3).Draw(t, "names") {
	case 0:
		q.Topic, q.Key, q.HasKey = topic, key, true
	case 1:
		q.Topic, q.KeyPrefix = topic, key[:rapid.IntRange(0, len(key)).Draw(t, "prefix")]
	case 2:
		q.Topic = topic
	}
	for range rapid.IntRange(0, 2).Draw(t, "types") {
		q.Types = append(q.Types, []byte{byte('A' + rapid.IntRange(0, 5).Draw(t, "type"))})
	}
	for range rapid.IntRange(0, 2).Draw(t, "tags") {
		q.Tags = append(q.Tags, []byte{byte(rapid.SampledFrom([]int{0, 1, 7, 201}).Draw(t, "tag"))})
	}
	return q
}

func (q *Query) answeredBy(e *Event) bool {
	if q.Topic != nil && !bytes.Equal(e.Topic, q.Topic) || q.HasKey && !bytes.Equal(e.Key, q.Key) || !bytes.HasPrefix(e.Key, q.KeyPrefix) {
		return false
	}
	for _, tag := range q.Tags {
		if !slices.Contains(e.Tags, TagHash(tag)) {
			return false
		}
	}
	return len(q.Types) == 0 || slices.ContainsFunc(q.Types, func(t []byte) bool { return bytes.Equal(t, e.Type) })
}

// checkFind holds that a Finder finds every event that answers, in order, once, where it is, and says truly how far it came.
func (m *model) checkFind(t *rapid.T) {
	q := m.drawQuery(t)
	from := rapid.Uint64Range(0, m.last()+2).Draw(t, "find from")
	for _, backwards := range []bool{false, true} {
		what := fmt.Sprintf("%+v from %d, backwards %v", q, from, backwards)
		f := m.ix.Find(q, from, backwards)
		room := make([]Posting, rapid.SampledFrom([]int{1, 3, 64, 1000}).Draw(t, "find room"))
		found := map[uint64]bool{}
		for at := from; ; {
			n, more, err := f.Next(room)
			m.no(err)
			for i := range m.events {
				if o := m.events[i].Offset; f.Whole() > 0 && o >= at && o <= f.Whole() {
					found[o] = true
				}
			}
			for _, p := range room[:n] {
				i, ok := slices.BinarySearchFunc(m.events, p.Offset, func(e Event, at uint64) int { return compare(e.Offset, at) })
				if !ok || m.events[i].Loc != p.Loc || !backwards && p.Offset < at || backwards && p.Offset > at {
					t.Fatalf("%s: found %+v behind %d", what, p, at)
				}
				if found[p.Offset] = true; backwards {
					at = p.Offset - 1
				} else {
					at = p.Offset + 1
				}
			}
			if !backwards && f.At() < at || backwards && f.At() > at {
				t.Fatalf("%s: went back from %d to %d", what, at, f.At())
			}
			if at = f.At(); !more {
				break
			}
		}
		for i := range m.events {
			e := &m.events[i]
			if q.answeredBy(e) && (!backwards && e.Offset >= from || backwards && e.Offset <= from) && !found[e.Offset] {
				t.Fatalf("%s: lacks %d", what, e.Offset)
			}
		}
	}
}

// checkCounts counts every event of a topic, or of all, between some times.
func (m *model) checkCounts(t *rapid.T) {
	topic, _ := m.pick(t)
	if rapid.Bool().Draw(t, "all topics") {
		topic = nil
	}
	times := rapid.SliceOfN(rapid.Int64Range(0, m.time+3), 0, 20).Draw(t, "times")
	slices.Sort(times)
	want := make([]uint64, max(len(times), 1)-1)
	for i := range m.events {
		e := &m.events[i]
		for j := range want {
			if (topic == nil || bytes.Equal(topic, e.Topic)) && e.Time >= times[j] && e.Time < times[j+1] {
				want[j]++
			}
		}
	}
	got, err := m.ix.Counts(topic, times)
	m.no(err)
	if !slices.Equal(got, want) {
		t.Fatalf("Counts(%s, %d): %d, want %d", topic, times, got, want)
	}
}

// TestHostileTags adds events that each carry 32 tags no other carries: the table's terms stay within what they may take, and what has
// none is still among what is found.
func TestHostileTags(t *testing.T) {
	h := newHistory(10)
	ix, err := Open(Options{Dir: "index", FS: vfs.NewMem(), BlockCacheBytes: 1 << 20, HeadsCacheBytes: 1 << 20})
	ok(t, err)
	ix.Begin(1)
	ix.current.terms.budget = 1 << 20
	tag := []byte("wanted")
	next := uint64(0)
	for range 100 {
		batch := h.batch(100)
		for i := range batch {
			for range 32 {
				next++
				batch[i].Tags = append(batch[i].Tags, TagHash(binary.BigEndian.AppendUint64(nil, next)))
			}
		}
		batch[50].Tags[7] = TagHash(tag)
		ix.Add(batch)
	}
	s := &ix.current.terms
	if n := s.rows.len(); s.used > s.budget || n > uint32(s.budget/termCost) || s.until == 0 {
		t.Fatalf("%d terms of %d bytes, until %d", n, s.used, s.until)
	}
	for _, sealed := range []bool{false, true} {
		if sealed {
			ix.Begin(1 << 20)
			_, err := ix.Build(1, "1.idx")
			ok(t, err)
			ok(t, ix.Ingest(1, "1.idx"))
		}
		f, found := ix.Find(Query{Tags: [][]byte{tag}}, 10_000, true), map[uint64]bool{}
		room := make([]Posting, 1000)
		for more := true; more; {
			var n int
			n, more, err = f.Next(room)
			ok(t, err)
			for _, p := range room[:n] {
				found[p.Offset] = true
			}
		}
		for offset := uint64(51); offset <= 10_000; offset += 100 {
			if !found[offset] {
				t.Fatalf("sealed %v: lacks %d", sealed, offset)
			}
		}
	}
	ok(t, ix.Close())
}

// TestSize holds what a table takes on disk for an event of 256 bytes, which is about 340 in the log.
func TestSize(t *testing.T) {
	for _, c := range []struct {
		name string
		tags int // of each event; the first is its own, the others are of one in 50
		most int64
	}{{"types", 0, 24}, {"types and a tag of one", 1, 36}, {"types and three tags", 3, 40}} {
		h, fs := newHistory(benchStreams), vfs.NewMem()
		ix, err := Open(Options{Dir: "index", FS: fs, BlockCacheBytes: 1 << 20, HeadsCacheBytes: 1 << 20})
		ok(t, err)
		ix.Begin(1)
		const events = 10_000
		for range events / 100 {
			batch := h.batch(100)
			for i := range batch {
				for n := range c.tags {
					own := batch[i].Offset
					if n > 0 {
						own = h.random.Uint64N(50)
					}
					batch[i].Tags = append(batch[i].Tags, TagHash(fmt.Appendf(nil, "%d:%d", n, own)))
				}
			}
			ix.Add(batch)
		}
		built, err := ix.Build(1, "1.idx")
		ok(t, err)
		if t.Logf("%s: %.1f bytes for an event", c.name, float64(built.Bytes)/events); built.Bytes > c.most*events {
			t.Errorf("%s: %d bytes for an event, more than %d", c.name, built.Bytes/events, c.most)
		}
		ok(t, ix.Close())
	}
}
