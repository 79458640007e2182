package index

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gesta-db/gesta/internal/errs"
)

// small is a log of a few short segments, as the shard would add it.
type small struct {
	events  int // in a segment
	firsts  []uint64
	batches [][][]Event
}

func newSmall(segments, events int) *small {
	h := newHistory(events / 5)
	s := &small{events: events}
	for range segments {
		s.firsts = append(s.firsts, h.entry)
		var batches [][]Event
		for range events / 50 {
			batches = append(batches, h.batch(50))
		}
		s.batches = append(s.batches, batches)
	}
	return s
}

func (s *small) open(fs vfs.FS) (*Index, error) {
	return Open(Options{Dir: "index", FS: fs, BlockCacheBytes: 1 << 20, HeadsCacheBytes: 1 << 20})
}

func (s *small) add(ix *Index, i int) {
	ix.Begin(s.firsts[i])
	for _, b := range s.batches[i] {
		ix.Add(b)
	}
}

func file(i int) string { return fmt.Sprintf("%d.idx", i) }

// run adds and seals all segments until something fails.
func (s *small) run(ix *Index) error {
	for i := range s.firsts {
		s.add(ix, i)
		if i+1 < len(s.firsts) {
			ix.Begin(s.firsts[i+1])
		}
		if _, err := ix.Build(s.firsts[i], file(i)); err != nil {
			return err
		}
		if err := ix.Ingest(s.firsts[i], file(i)); err != nil {
			return err
		}
	}
	return nil
}

// recover does what the shard does at start: what is ingested is trusted, a table beside a segment is taken in, the rest is added.
func (s *small) recover(t testing.TB, ix *Index) (ingested int) {
	in := ix.Ingested()
	for i := range s.firsts {
		if slices.ContainsFunc(in, func(m SegmentMark) bool { return m.Segment == s.firsts[i] }) {
			ingested++
			continue
		}
		if err := ix.Ingest(s.firsts[i], file(i)); err == nil {
			continue
		} else if code := errs.CodeOf(err); code != errs.NotFound && code != errs.Corrupt && code != errs.Unavailable {
			t.Fatalf("segment %d: %v", i, err)
		}
		s.add(ix, i)
	}
	return ingested
}

// check asks for every event by every way.
func (s *small) check(t testing.TB, ix *Index) {
	t.Helper()
	heads := map[string]Head{}
	for i := range s.batches {
		for _, b := range s.batches[i] {
			for j := range b {
				s.checkEvent(t, ix, &b[j])
				heads[string(b[j].Key)] = Head{b[j].Revision, b[j].Offset, b[j].Time}
			}
		}
	}
	for key, want := range heads {
		got, _, err := ix.Head(benchTopic, []byte(key))
		ok(t, err)
		if got != want {
			t.Fatalf("the head of %s is %+v, want %+v", key, got, want)
		}
	}
	if n, err := ix.TopicEvents(benchTopic); err != nil || n != uint64(len(s.firsts)*s.events) {
		t.Fatalf("%d events, %v", n, err)
	}
}

func (s *small) checkEvent(t testing.TB, ix *Index, e *Event) {
	t.Helper()
	want := Posting{Offset: e.Offset, Revision: e.Revision, Loc: e.Loc}
	var got [1]Posting
	if n, err := ix.Stream(e.Topic, e.Key, e.Revision, false).Next(got[:]); n != 1 || err != nil || got[0] != want {
		t.Fatalf("revision %d of %s: %+v %v, want %+v", e.Revision, e.Key, got[:n], err, want)
	}
	offsets, err := ix.SealedIDs(e.ID, nil)
	ok(t, err)
	if !slices.Contains(ix.ActiveIDs(e.ID, offsets), e.Offset) {
		t.Fatalf("the id of %d is lost", e.Offset)
	}
}

// TestCrash cuts the power at every operation that writes, with all, some and none of what was not synced left.
func TestCrash(t *testing.T) {
	s := newSmall(3, 150)
	for _, percent := range []int{0, 50, 100} {
		t.Run(fmt.Sprintf("%d%%", percent), func(t *testing.T) {
			random := rand.New(rand.NewPCG(7, uint64(percent)))
			for i, disk := range crashes(t, s, percent, random) {
				if i%underRace != 0 {
					continue
				}
				ix, err := s.open(disk)
				ok(t, err)
				s.recover(t, ix)
				s.check(t, ix)
				ok(t, ix.Close())
			}
		})
	}
}

// crashes gives the disk as it may be after a power cut before each operation of a run.
func crashes(t *testing.T, s *small, percent int, random *rand.Rand) []*vfs.MemFS {
	mem := vfs.NewCrashableMem()
	var mu sync.Mutex
	var disks []*vfs.MemFS
	n := 0
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if n++; n%5 == 0 || op.Kind != errorfs.OpFileWrite {
			disks = append(disks, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: random}))
		}
		return nil
	}))
	ix, err := s.open(fs)
	ok(t, err)
	ok(t, s.run(ix))
	ok(t, ix.Close())
	if len(disks) < 40 {
		t.Fatalf("only %d places to crash", len(disks))
	}
	return disks
}

// TestIngestedIsDurable holds that what Ingested says survives with nothing but what was synced.
func TestIngestedIsDurable(t *testing.T) {
	s := newSmall(2, 150)
	mem := vfs.NewCrashableMem()
	ix, err := s.open(mem)
	ok(t, err)
	ok(t, s.run(ix))
	after := mem.CrashClone(vfs.CrashCloneCfg{})
	ok(t, ix.Close())
	again, err := s.open(after)
	ok(t, err)
	if got := s.recover(t, again); got != len(s.firsts) {
		t.Fatalf("%d segments survived, want %d", got, len(s.firsts))
	}
	s.check(t, again)
	ok(t, again.Close())
}

// TestFailure fails each writing operation, once and for ever, and goes on with a healthy disk.
func TestFailure(t *testing.T) {
	s := newSmall(2, 150)
	for _, forever := range []bool{false, true} {
		for nth := 0; ; nth += underRace {
			if !failAt(t, s, nth, forever) {
				break
			}
		}
	}
}

// failAt tells whether there was an nth operation.
func failAt(t *testing.T, s *small, nth int, forever bool) bool {
	mem := vfs.NewMem()
	var mu sync.Mutex
	n, failing := 0, true
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if !failing || op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
			return nil
		}
		if n++; n-1 == nth || forever && n > nth {
			return syscall.ENOSPC
		}
		return nil
	}))
	ix, err := s.open(fs)
	met := err != nil
	if err == nil {
		err = s.run(ix)
		met = met || err != nil
		if err == nil || ix.current != nil {
			s.finish(ix)
			s.check(t, ix) // reading goes on
		}
		_ = ix.Close()
	}
	mu.Lock()
	reached := n > nth
	failing = false
	mu.Unlock()
	if met && !errors.Is(err, syscall.ENOSPC) && errs.CodeOf(err) != errs.Unavailable {
		t.Fatalf("operation %d: %v", nth, err)
	}
	again, err := s.open(fs)
	ok(t, err)
	s.recover(t, again)
	s.check(t, again)
	ok(t, again.Close())
	return reached
}

// finish adds the segments that a failed run did not come to.
func (s *small) finish(ix *Index) {
	last, _ := ix.Last()
	for i := range s.firsts {
		if s.batches[i][0][0].Offset > last {
			s.add(ix, i)
		}
	}
}

// TestFlippedTable flips each byte of a table: it is found, or what is read is right all the same.
func TestFlippedTable(t *testing.T) {
	s := newSmall(1, 50)
	mem := vfs.NewMem()
	ix, err := s.open(mem)
	ok(t, err)
	s.add(ix, 0)
	_, err = ix.Build(s.firsts[0], file(0))
	ok(t, err)
	good := contents(t, mem, file(0))
	tried, found := 0, 0
	for i := 0; i < len(good); i += underRace {
		tried++
		bad := slices.Clone(good)
		bad[i] ^= 1 << (i % 8)
		write(t, mem, "bad.idx", bad)
		if _, err := ix.verify(s.firsts[0], "bad.idx"); err != nil {
			if errs.CodeOf(err) != errs.Corrupt {
				t.Fatalf("byte %d: %v", i, err)
			}
			found++
		}
	}
	if found < tried*98/100 {
		t.Fatalf("%d of %d flips were found", found, tried)
	}
	for n := 0; n < len(good); n += 7 * underRace {
		write(t, mem, "bad.idx", good[:n])
		if _, err := ix.verify(s.firsts[0], "bad.idx"); errs.CodeOf(err) != errs.Corrupt {
			t.Fatalf("cut to %d: %v", n, err)
		}
	}
	if _, err := ix.verify(s.firsts[0]+1, file(0)); errs.CodeOf(err) != errs.Corrupt {
		t.Fatalf("another segment's table: %v", err)
	}
	ok(t, ix.Close())
}

// TestDamagedFolder flips bytes in every file of the folder: Open begins anew or reads right, or reading says that it is damaged and
// the next Open begins anew.
func TestDamagedFolder(t *testing.T) {
	s := newSmall(2, 150)
	origin := vfs.NewMem()
	ix, err := s.open(origin)
	ok(t, err)
	ok(t, s.run(ix))
	ok(t, ix.Close())
	names, err := origin.List("index")
	ok(t, err)
	for _, name := range names {
		good := contents(t, origin, "index/"+name)
		step := max(1, len(good)*underRace/20)
		for i := 0; i < len(good); i += step {
			s.damage(t, origin, "index/"+name, good, i)
		}
	}
}

func (s *small) damage(t *testing.T, origin *vfs.MemFS, name string, good []byte, at int) {
	disk := vfs.NewMem()
	copied, err := vfs.Clone(origin, disk, "", "")
	if ok(t, err); !copied {
		t.Fatal("nothing to copy")
	}
	bad := slices.Clone(good)
	bad[at] ^= 0x55
	write(t, disk, name, bad)
	for range 2 {
		ix, err := s.open(disk)
		ok(t, err)
		s.recover(t, ix)
		sound := s.readable(ix)
		if sound {
			s.check(t, ix)
		}
		ok(t, ix.Close())
		if sound {
			return
		}
	}
	t.Fatalf("%s: byte %d: still damaged after a new start", name, at)
}

// readable tells whether no reading fails.
func (s *small) readable(ix *Index) bool {
	it := ix.Topic(benchTopic, 0, false)
	var room [100]Posting
	for n, err := it.Next(room[:]); n > 0 || err != nil; n, err = it.Next(room[:]) {
		if err != nil {
			return errs.CodeOf(err) != errs.Corrupt
		}
	}
	for i := range s.batches {
		for _, e := range s.batches[i][0] {
			if _, err := ix.FindIDs(e.ID, nil); err != nil {
				return false
			}
			if _, err := ix.SealedIDs(e.ID, nil); err != nil {
				return false
			}
		}
	}
	_, _, err := ix.Streams(benchTopic, nil, nil, false, 1000)
	return err == nil
}

func contents(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	ok(t, err)
	info, err := f.Stat()
	ok(t, err)
	b := make([]byte, info.Size())
	if len(b) > 0 {
		_, err = f.ReadAt(b, 0)
		ok(t, err)
	}
	ok(t, f.Close())
	return b
}

func write(t testing.TB, fs vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fs.Create(name, writes)
	ok(t, err)
	_, err = f.Write(b)
	ok(t, err)
	ok(t, f.Close())
}
