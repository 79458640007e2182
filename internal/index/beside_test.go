package index

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestReadersBeside reads all the time while events are added, segments roll, and tables are built and ingested: what was there
// when a reading began is found, whole and in order.
func TestReadersBeside(t *testing.T) {
	s := newSmall(8, 200)
	ix, err := Open(Options{Dir: "index", FS: vfs.NewMem(), BlockCacheBytes: 1 << 20, HeadsCacheBytes: 8 << 20})
	ok(t, err)
	var added atomic.Int64 // events whose Add has returned
	var all []Event
	for i := range s.batches {
		all = append(all, slices.Concat(s.batches[i]...)...)
	}
	stop := make(chan struct{})
	var readers, sealer sync.WaitGroup
	for _, read := range []func(*testing.T, *Index, []Event, int){readHead, readStream, readTopic, readIDHash, readPlace, readList} {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					if known := all[:added.Load()]; len(known) > 0 {
						read(t, ix, known, n)
					}
				}
			}
		})
	}
	full := make(chan int, len(s.firsts))
	sealer.Go(func() {
		for i := range full {
			_, err := ix.Build(s.firsts[i], file(i))
			ok(t, err)
			ok(t, ix.Ingest(s.firsts[i], file(i)))
		}
	})
	for i := range s.firsts {
		ix.Begin(s.firsts[i])
		if i > 0 {
			full <- i - 1
		}
		for _, b := range s.batches[i] {
			ix.Add(b)
			added.Add(int64(len(b)))
		}
	}
	close(full)
	sealer.Wait()
	close(stop)
	readers.Wait()
	s.check(t, ix)
	ok(t, ix.Close())
}

func newest(known []Event, key []byte) (last Event) {
	for _, e := range slices.Backward(known) {
		if bytes.Equal(e.Key, key) {
			return e
		}
	}
	return last
}

func readHead(t *testing.T, ix *Index, known []Event, n int) {
	want := newest(known, known[n*31%len(known)].Key)
	if h, _, err := ix.Head(benchTopic, want.Key); err != nil || h.Revision < want.Revision {
		t.Errorf("head %+v %v, want at least %d", h, err, want.Revision)
	}
}

func readStream(t *testing.T, ix *Index, known []Event, n int) {
	want := newest(known, known[n*31%len(known)].Key)
	backwards := n%2 == 0
	from := uint64(1)
	if backwards {
		from = want.Revision
	}
	it := ix.Stream(benchTopic, want.Key, from, backwards)
	var room [3]Posting
	for next := from; next >= 1 && next <= want.Revision; {
		got, err := it.Next(room[:])
		if err != nil || got == 0 {
			t.Errorf("stream: %d %v at revision %d of %d", got, err, next, want.Revision)
			return
		}
		for _, p := range room[:got] {
			if p.Revision != next {
				t.Errorf("stream: revision %d, want %d", p.Revision, next)
				return
			}
			if backwards {
				next--
			} else {
				next++
			}
		}
	}
}

func readTopic(t *testing.T, ix *Index, known []Event, n int) {
	at := n * 31 % len(known)
	it := ix.Topic(benchTopic, known[at].Offset, false)
	var room [50]Posting
	for range 5 {
		got, err := it.Next(room[:])
		if err != nil || got == 0 && at < len(known) {
			t.Errorf("topic: %d %v at %d of %d", got, err, at, len(known))
			return
		}
		for _, p := range room[:got] {
			if at < len(known) && (p.Offset != known[at].Offset || p.Loc != known[at].Loc) {
				t.Errorf("topic: %+v, want %+v", p, known[at])
				return
			}
			at++
		}
	}
}

// readIDHash does what the shard does: what was found counts only when no table was dropped meanwhile.
func readIDHash(t *testing.T, ix *Index, known []Event, n int) {
	e := known[n*31%len(known)]
	for {
		generation := ix.Generation()
		offsets, err := ix.SealedIDs(e.ID, nil)
		if err != nil {
			t.Error(err)
			return
		}
		offsets = ix.ActiveIDs(e.ID, offsets)
		if generation != ix.Generation() {
			continue
		}
		if len(offsets) != 1 || offsets[0] != e.Offset {
			t.Errorf("ids: %v, want %d", offsets, e.Offset)
		}
		return
	}
}

func readPlace(t *testing.T, ix *Index, known []Event, n int) {
	e := known[n*31%len(known)]
	if loc, err := ix.Locate(e.Offset); err != nil || loc != e.Loc {
		t.Errorf("locate %d: %+v %v, want %+v", e.Offset, loc, err, e.Loc)
	}
	if offset, err := ix.AtTime(e.Time); err != nil || offset > e.Offset {
		t.Errorf("at %d: %d %v, want at most %d", e.Time, offset, err, e.Offset)
	}
}

func readList(t *testing.T, ix *Index, known []Event, n int) {
	e := known[n*31%len(known)]
	list, _, err := ix.Streams(benchTopic, e.Key, nil, false, 1)
	if err != nil || len(list) != 1 || list[0].Revision < e.Revision {
		t.Errorf("list: %+v %v, want %s", list, err, e.Key)
	}
}

// TestSameBytes holds that equal segments give equal tables, however they were added.
func TestSameBytes(t *testing.T) {
	s := newSmall(2, 700)
	for i := range s.batches[1] {
		for j := range s.batches[1][i] {
			s.batches[1][i][j].Tags = []uint64{uint64(j % 7), uint64(i*50+j) << 40}
		}
	}
	var tables [2][]byte
	for i, size := range []int{1, 33} {
		fs := vfs.NewMem()
		ix, err := s.open(fs)
		ok(t, err)
		for _, segment := range []int{0, 1} {
			ix.Begin(s.firsts[segment])
			ix.current.terms.budget = 40 << 10 // some events have no terms
			for batch := range slices.Chunk(slices.Concat(s.batches[segment]...), size) {
				ix.Add(batch)
			}
		}
		_, err = ix.Build(s.firsts[1], file(1))
		ok(t, err)
		if ix.current.terms.until == 0 {
			t.Fatal("all events have terms")
		}
		tables[i] = contents(t, fs, file(1))
		ok(t, ix.Close())
	}
	if !bytes.Equal(tables[0], tables[1]) {
		t.Fatal("the tables differ")
	}
}
