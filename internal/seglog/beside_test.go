package seglog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
)

// Readers read beside everything that can happen to a log; whatever they get is an entry that was there.
func TestReadersBesideTheWriter(t *testing.T) {
	l, _ := mustOpen(t, testOptions(crashfs.New(1)))
	stop := make(chan struct{})
	var all sync.WaitGroup
	for seed := range uint64(3) {
		all.Go(func() {
			if err := readAtRandom(l, seed, stop); err != nil {
				t.Error(err)
			}
		})
	}
	all.Go(func() {
		for alive(stop) {
			if err := l.Prepare(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	all.Go(func() {
		for alive(stop) {
			for _, s := range l.Segments() {
				if s.Full && !s.Sealed && s.Last+150 < l.Last() {
					if err := l.Seal(s.First); err != nil && errs.CodeOf(err) != errs.Invalid {
						t.Error(err)
						return
					}
				}
			}
		}
	})
	writeAtRandom(t, l, 500)
	close(stop)
	all.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, errOf(l.Entries(l.Last(), l.Last()+1, 1)), errs.Unavailable)
	mustVerify(t, l.o, l.Last())
}

func alive(stop chan struct{}) bool {
	select {
	case <-stop:
		return false
	default:
		return true
	}
}

func writeAtRandom(t *testing.T, l *Log, n int) {
	rng := rand.New(rand.NewPCG(1, 2))
	for term := uint64(1); n > 0; n-- {
		last := l.Last()
		var err error
		switch rng.IntN(20) {
		case 0:
			if last > 20 {
				term++
				err = l.Truncate(last - rng.Uint64N(20))
			}
		case 1:
			err = l.Mark(0)
		case 2:
			if last > 300 {
				err = l.Trim(last - 300)
			}
		default:
			err = l.Append(entriesFor(last, 1+rng.IntN(12), term), 0)
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
}

func readAtRandom(l *Log, seed uint64, stop chan struct{}) error {
	rng := rand.New(rand.NewPCG(seed, 3))
	r := l.NewReader(1 << 10)
	for alive(stop) {
		first, last := l.First(), l.Last()
		if last < first {
			continue
		}
		i := first + rng.Uint64N(last-first+1)
		if err := readSome(l, r, rng, i, last); err != nil && errs.CodeOf(err) != errs.NotFound && errs.CodeOf(err) != errs.Trimmed {
			return err
		}
	}
	return nil
}

func readSome(l *Log, r *Reader, rng *rand.Rand, i, last uint64) error {
	var got []Entry
	var err error
	if rng.IntN(2) == 0 {
		got, err = l.Entries(i, min(i+5, last)+1, 2000)
	} else {
		got = make([]Entry, 1)
		got[0], err = r.Entry(i)
	}
	if err != nil {
		return err
	}
	for _, e := range got {
		if !sameEntry(e, entryFor(e.Index, e.Term)) {
			return fmt.Errorf("entry %d of term %d is not what was written: %v", e.Index, e.Term, e)
		}
	}
	return readFirstRecord(l, got[0])
}

func readFirstRecord(l *Log, e Entry) error {
	w := WalkRecords(e.Data)
	if e.Type != TypeRecords || !w.Next() {
		return nil
	}
	_, payload, err := l.ReadRecord(e.Index, 0, uint32(len(w.Payload())), nil)
	if errs.CodeOf(err) == errs.Corrupt {
		if now, terr := l.Term(e.Index); terr != nil || now != e.Term {
			return nil // truncated and written anew meanwhile: what was asked for is in no log
		}
	}
	if err == nil && string(payload) != string(w.Payload()) {
		if now, terr := l.Term(e.Index); terr == nil && now == e.Term {
			return errors.New("a record is not what was written")
		}
	}
	return err
}

// A record costs one read of the file, wherever it is; neighbours cost none.
func TestReadsOfTheFile(t *testing.T) {
	disk := crashfs.New(1)
	o := testOptions(disk)
	o.SegmentBytes = 64 << 10
	l, _ := mustOpen(t, o)
	const records, size = 40, 100
	for range 100 {
		e := Entry{Index: l.Last() + 1, Term: 1}
		for range records {
			e.Data = AppendRecord(e.Data, testShard, e.Index, 1, make([]byte, size))
		}
		if err := l.Append([]Entry{e}, 0); err != nil {
			t.Fatal(err)
		}
	}
	sealFull(t, l)
	for range 2 { // the first time, blocks of position tables are read too
		before := disk.Counts().Reads
		r := l.NewReader(1 << 20)
		for i := range uint64(100) {
			at := 1 + i*37%100
			if _, _, err := r.Record(at, uint32(i*7%records)*(size+RecordHeader), size); err != nil {
				t.Fatal(err)
			}
		}
		if n := disk.Counts().Reads - before; n > 100+uint64(len(l.Segments())) {
			t.Fatalf("%d reads for 100 scattered records", n)
		}
	}
	for _, backwards := range []bool{false, true} {
		before := disk.Counts().Reads
		r := l.NewReader(32 << 10)
		for i := range uint64(100 * records) {
			if backwards {
				i = 100*records - 1 - i
			}
			if _, _, err := r.Record(1+i/records, uint32(i%records)*(size+RecordHeader), size); err != nil {
				t.Fatal(err)
			}
		}
		if n := disk.Counts().Reads - before; n > 60 {
			t.Fatalf("%d reads for 4,000 records in order", n)
		}
	}
}

func TestHotPathsDoNotAllocatePerRecord(t *testing.T) {
	o := testOptions(crashfs.New(1))
	o.FS = nullFS{o.FS}
	o.SegmentBytes = 1 << 20
	l, _ := mustOpen(t, o)
	e := Entry{Term: 1}
	for range 20 {
		e.Data = AppendRecord(e.Data, testShard, 1, 1, make([]byte, 50))
	}
	one := make([]Entry, 1)
	append1 := func() {
		e.Index = l.Last() + 1
		one[0] = e
		if err := l.Append(one, 0); err != nil {
			t.Fatal(err)
		}
	}
	append1()
	if n := testing.AllocsPerRun(100, append1); n > 4 { // the view for readers, and tables that grow
		t.Errorf("an append of 20 records allocates %v times", n)
	}
	l, _ = mustOpen(t, testOptions(crashfs.New(1)))
	append1()
	r := l.NewReader(1 << 16)
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := r.Record(1, 3*(50+RecordHeader), 50); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("a record in the window allocates %v times", n)
	}
}
