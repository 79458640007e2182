package index

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestHeadsBudget puts ten times what fits: the cache stays within its budget, says nothing wrong, and keeps what is used.
func TestHeadsBudget(t *testing.T) {
	const budget = 2 << 20
	h := newHeads(budget)
	random := rand.New(rand.NewPCG(1, 1))
	truth := map[string]Head{}
	hits := 0
	hot := []byte("hot")
	for i := range 100_000 {
		key := streamKey(random.IntN(80_000))
		hash := streamHash(benchTopic, key)
		got, found := h.get(hash, benchTopic, key)
		if found && got != truth[string(key)] {
			t.Fatalf("%s: %+v, want %+v", key, got, truth[string(key)])
		}
		head := Head{Revision: truth[string(key)].Revision + 1, Offset: uint64(i)}
		truth[string(key)] = head
		h.put(hash, benchTopic, key, head, 0)
		h.put(hash, benchTopic, key, Head{}, 0)                          // older
		h.put(hash, benchTopic, key, Head{Revision: 9e9, Offset: 1}, 44) // of another generation
		if i == 0 {
			h.put(streamHash(benchTopic, hot), benchTopic, hot, Head{Revision: 7}, 0)
		}
		if _, found := h.get(streamHash(benchTopic, hot), benchTopic, hot); found && i%50 == 0 {
			hits++
		}
	}
	var m Metrics
	if h.measure(&m); m.HeadsBytes > budget || m.HeadsBytes < budget/2 {
		t.Fatalf("the cache takes %d bytes of %d", m.HeadsBytes, budget)
	}
	if hits < 1_950 {
		t.Fatalf("the stream that is always used was found %d times of 2000", hits)
	}
}

// TestHeadsComplete holds that nothing is known of absent streams once one was dropped, and everything before.
func TestHeadsComplete(t *testing.T) {
	h := newHeads(2 << 20)
	absent := func(i int) bool {
		key := fmt.Appendf(nil, "absent-%d", i)
		head, known := h.get(streamHash(benchTopic, key), benchTopic, key)
		return known && head.Revision == 0
	}
	for i := range 5_000 {
		h.put(streamHash(benchTopic, streamKey(i)), benchTopic, streamKey(i), Head{Revision: 1}, 0)
		if !absent(i) {
			t.Fatalf("after %d streams an absent one is not known to be absent", i)
		}
	}
	for i := range 60_000 {
		h.put(streamHash(benchTopic, streamKey(i)), benchTopic, streamKey(i), Head{Revision: 1}, 0)
	}
	for i := range 1000 {
		if absent(i) {
			t.Fatal("an absent stream is known to be absent though entries were dropped")
		}
	}
}

// TestIDWindow moves a window over segments: what is in it is found, what left it long ago takes no memory.
func TestIDWindow(t *testing.T) {
	const window, each = 20_000, 500
	w := newIDWindow(window)
	random := rand.New(rand.NewPCG(1, 1))
	var segments []*segment
	var ids [][]uint64
	for i := range 120 {
		s := &segment{}
		s.Segment, s.FirstOffset, s.Events = uint64(i+1), uint64(i*each+1), each
		s.LastOffset = s.FirstOffset + each - 1
		hashes := make([]uint64, each)
		for j := range hashes {
			hashes[j] = random.Uint64()
		}
		slices.Sort(hashes)
		w.add(hashed{s, hashes})
		segments, ids = append(segments, s), append(ids, hashes)
	}
	for i := len(segments) - window/each; i < len(segments); i++ {
		for _, hash := range ids[i] {
			if !slices.Contains(w.candidates(hash, nil), segments[i]) {
				t.Fatalf("an id of segment %d is lost", i)
			}
		}
	}
	found := 0
	for range 20_000 {
		found += len(w.candidates(random.Uint64(), nil))
	}
	if found > 20 {
		t.Fatalf("%d of 20000 absent ids pass", found)
	}
	if n := w.bytes(); n > window*9 {
		t.Fatalf("the window takes %d bytes for %d ids", n, window)
	}
}

// TestCachesBounded fills an index with streams that do not fit its caches.
func TestCachesBounded(t *testing.T) {
	const budget = 2 << 20
	ix, err := Open(Options{Dir: "index", FS: vfs.NewMem(), BlockCacheBytes: budget, HeadsCacheBytes: budget, IDWindow: 10_000})
	ok(t, err)
	h := newHistory(1 << 40)
	for i := range 8 {
		first := h.entry
		ix.Begin(first)
		for range 100 {
			ix.Add(h.batch(100))
		}
		_, err := ix.Build(first, file(i))
		ok(t, err)
		ok(t, ix.Ingest(first, file(i)))
	}
	var room [100]Posting
	it := ix.Topic(benchTopic, 0, false)
	for n, err := it.Next(room[:]); n > 0; n, err = it.Next(room[:]) {
		ok(t, err)
	}
	m := ix.Metrics()
	if m.HeadsBytes > budget || m.FilterBytes > budget/2 || m.IDWindowBytes > 10_000*12 || m.BlockCacheBytes > budget {
		t.Fatalf("a cache takes more than its budget: %+v", m)
	}
	if m.Segments != 8 || m.Tables != 0 || m.DiskBytes == 0 {
		t.Fatalf("%+v", m)
	}
	ok(t, ix.Close())
}

// TestNothingIsCompacted holds what the layout of keys is for.
func TestNothingIsCompacted(t *testing.T) {
	s := newSmall(6, 200)
	ix, err := s.open(vfs.NewMem())
	ok(t, err)
	ok(t, s.run(ix))
	m := ix.db.Metrics()
	if bottom := m.Levels[6].TablesCount; bottom != int64(len(s.firsts)) || m.Total().TablesCount != bottom {
		t.Fatalf("tables are not all at the bottom:\n%s", m)
	}
	ok(t, ix.Close())
}

// TestIngestAgain takes a segment's table in a second time, in place of the first.
func TestIngestAgain(t *testing.T) {
	s := newSmall(3, 200)
	ix, err := s.open(vfs.NewMem())
	ok(t, err)
	ok(t, s.run(ix))
	ok(t, ix.Ingest(s.firsts[1], file(1)))
	s.check(t, ix)
	e := s.batches[1][0][0]
	if got, err := ix.SealedIDs(e.ID, nil); err != nil || !slices.Equal(got, []uint64{e.Offset}) {
		t.Fatalf("ids: %v %v, want %d", got, err, e.Offset)
	}
	if n := len(ix.Ingested()); n != 3 {
		t.Fatalf("%d segments", n)
	}
	ok(t, ix.Close())
}

func TestHashesDiffer(t *testing.T) {
	seen := map[uint64]string{}
	for _, parts := range [][3]string{{"", "", ""}, {"a", "", ""}, {"", "a", ""}, {"", "", "a"}, {"ab", "c", ""}, {"a", "bc", ""}, {"a", "b", "c"}} {
		for kind, h := range map[string]uint64{
			"id":      IDHash([]byte(parts[0]), []byte(parts[1]), []byte(parts[2])),
			"command": CommandHash([]byte(parts[0]), []byte(parts[1]), []byte(parts[2])),
		} {
			name := fmt.Sprint(kind, parts)
			if other, taken := seen[h]; taken {
				t.Fatalf("%s and %s have one hash", name, other)
			}
			seen[h] = name
		}
	}
	long := binary.BigEndian.AppendUint64(make([]byte, 5000), 1)
	if IDHash(long, nil, nil) == IDHash(long[:len(long)-1], nil, nil) {
		t.Fatal("long names have one hash")
	}
}

// TestHeadsWarm opens an index again: the first look-up brings the heads back, and then absent streams are known to be absent, as
// long as everything fits.
func TestHeadsWarm(t *testing.T) {
	s := newSmall(4, 200)
	fs := vfs.NewMem()
	ix, err := s.open(fs)
	ok(t, err)
	ok(t, s.run(ix))
	ok(t, ix.Close())
	for _, budget := range []int64{1 << 20, 0} {
		ix, err := Open(Options{Dir: "index", FS: fs, BlockCacheBytes: 1 << 20, HeadsCacheBytes: 4 * budget})
		ok(t, err)
		_, _, err = ix.SealedHead(benchTopic, []byte("absent"))
		ok(t, err)
		<-ix.warm.heads
		other := []byte("also absent")
		if _, known := ix.heads.get(streamHash(benchTopic, other), benchTopic, other); known != (budget > 0) {
			t.Fatalf("with a budget of %d the absent stream is known: %v", budget, known)
		}
		s.check(t, ix)
		ok(t, ix.Close())
	}
}
