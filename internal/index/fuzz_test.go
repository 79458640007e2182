package index

import (
	"slices"
	"testing"
)

// FuzzDecoders gives every decoder of values any bytes: each ends, and none panics or makes up more than the bytes can hold.
func FuzzDecoders(f *testing.F) {
	f.Add([]byte{})
	f.Add((&layout{SegmentMark: SegmentMark{FirstOffset: 1, LastOffset: 300, Events: 300}, idBits: 4, idWidth: 2}).append(nil))
	f.Add(appendPlaces(nil, 1, []place{{offset: 1, loc: Loc{1, 20, 256}, time: 5}, {offset: 2, loc: Loc{1, 300, 256}, time: 5}}))
	f.Add(appendRuns(nil, 0, []run{{1, 2}, {9, 1}}))
	f.Add(appendPostings(nil, []spot{{1, 1}, {5, 3}}, true))
	var w blockWriter
	w.add([]byte("key"), &streamEntry{count: 2, lastRevision: 2, lastOffset: 9, inline: appendInline(nil, []spot{{3, 1}, {9, 2}}, false)})
	w.add([]byte("keys"), &streamEntry{count: 99, external: true, lastRevision: 99, lastOffset: 100})
	f.Add(w.buf)
	f.Fuzz(func(t *testing.T, b []byte) {
		var l layout
		_ = l.decode(1, b)
		var c placeChunk
		if c.decode(1, 1, b) == nil {
			c.find(1)
			c.from(5)
		}
		_, _, _ = locIn(b, 1, 1, 5)
		var g placeGroup
		if g.load(&segment{}, 1, b, 9) == nil {
			_, _, _ = g.loc(5)
			_, _, _ = g.find(7)
		}
		if runs, err := readRuns(nil, 1, b); err == nil && len(runs) > len(b) {
			t.Fatalf("%d runs of %d bytes", len(runs), len(b))
		}
		for _, gaps := range []bool{false, true} {
			if spots, err := readPostings(nil, b, 1, gaps); err == nil && len(spots) > len(b) {
				t.Fatalf("%d postings of %d bytes", len(spots), len(b))
			}
		}
		if e, ok, err := findTerm(b, 5); ok && err == nil && !e.external {
			_, _ = e.runs(1)
		}
		_ = readIDs(b, 1, 3, func(uint32, uint64) {})
		_, _ = findIDs(nil, b, 1, 3, 7)
		_ = newBloom(1).load(0, b)
		var r blockReader
		for r.reset(b); r.next(); {
			if e := r.entry; !e.external {
				_, _ = e.spots(nil)
			}
		}
		r.reset(b)
		r.find([]byte("key"))
	})
}

// FuzzStreamBlock holds that a block gives back what was put in.
func FuzzStreamBlock(f *testing.F) {
	f.Add([]byte("abc"), []byte("abd"), uint64(3), uint64(900), true)
	f.Fuzz(func(t *testing.T, a, b []byte, revision, offset uint64, gaps bool) {
		if slices.Compare(a, b) >= 0 || revision < 3 || offset < 10 || offset > 1<<62 || revision > 1<<62 {
			t.Skip()
		}
		spots := []spot{{offset - 7, revision - 2}, {offset, revision}}
		if !gaps {
			spots[0].revision = revision - 1
		}
		in := streamEntry{count: 2, gaps: gaps, lastRevision: revision, lastOffset: offset, inline: appendInline(nil, spots, gaps)}
		var w blockWriter
		w.add(a, &streamEntry{count: 1, lastRevision: 1})
		w.add(b, &in)
		var r blockReader
		r.reset(w.buf)
		if !r.find(b) {
			t.Fatalf("%q is lost", b)
		}
		got, err := r.entry.spots(nil)
		slices.Reverse(got)
		if err != nil || !slices.Equal(got, spots) {
			t.Fatalf("%v %v, want %v", got, err, spots)
		}
	})
}
