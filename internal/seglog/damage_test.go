package seglog

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
)

// threeKinds makes a small log with a sealed segment, one that is full, and the active one, which ends without a mark.
func threeKinds(t *testing.T) (disk *crashfs.FS, list []Segment, want []Entry, lastBatch int64) {
	t.Helper()
	disk = crashfs.New(1)
	l, _ := mustOpen(t, testOptions(disk))
	for len(l.Segments()) < 3 || l.tail.used < 400 {
		mustAppend(t, l, 5, 1+l.Last()/20)
	}
	lastBatch = l.tail.end
	mustAppend(t, l, 5, 9)
	list = l.Segments()
	if err := l.Seal(list[0].First); err != nil {
		t.Fatal(err)
	}
	want, err := l.Entries(1, l.Last()+1, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	return disk, list, want, lastBatch
}

// outcome tells how a damaged log met Open: as damage named, or as a cut of the last batch, or not at all.
type outcome struct {
	corrupt *errs.Error
	cut     *Cut
}

// meet opens a damaged log, and holds that nothing false is ever served.
func meet(t *testing.T, disk *crashfs.FS, want []Entry) outcome {
	t.Helper()
	l, rec, err := Open(testOptions(disk))
	if err != nil {
		wantCode(t, err, errs.Corrupt)
		return outcome{corrupt: errs.As(err)}
	}
	defer l.Close()
	out := outcome{cut: rec.Cut}
	r := l.NewReader(1 << 12)
	for i := range min(uint64(len(want)), l.Last()) {
		for _, read := range []func(uint64) (Entry, error){r.Entry, one(l)} {
			e, err := read(i + 1)
			if err != nil {
				wantCode(t, err, errs.Corrupt)
				out.corrupt = errs.As(err)
			} else if !sameEntry(e, want[i]) {
				t.Fatalf("a damaged log serves entry %v as %v", want[i], e)
			}
		}
	}
	if rec.Cut != nil && rec.Cut.HighestIndex < uint64(len(want)) {
		t.Fatalf("the cut %+v may have lost up to %d", rec.Cut, len(want))
	}
	if rec.Cut == nil && l.Last() != uint64(len(want)) {
		t.Fatalf("entries %d to %d are lost in silence", l.Last()+1, len(want))
	}
	return out
}

func one(l *Log) func(uint64) (Entry, error) {
	return func(i uint64) (Entry, error) {
		es, err := l.Entries(i, i+1, 0)
		if err != nil {
			return Entry{}, err
		}
		return es[0], nil
	}
}

// reported holds that Verify finds the damage in the file, and that an error of Open names it.
func reported(t *testing.T, disk *crashfs.FS, path string, out outcome) {
	t.Helper()
	r, err := Verify(testOptions(disk), nil)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, d := range r.Damages {
		found = found || d.File == path
	}
	if !found {
		t.Fatalf("verify does not name %s: %v", path, r.Damages)
	}
	if out.corrupt != nil && out.corrupt.Details["file"] != path {
		t.Fatalf("the error names %s, not %s: %v", out.corrupt.Details["file"], path, out.corrupt)
	}
}

func TestFlipOfEveryByte(t *testing.T) {
	t.Parallel()
	good, list, want, lastBatch := threeKinds(t)
	for i, s := range list {
		path := filepath.Join("data/0001", s.Name)
		b, err := good.Bytes(path)
		if err != nil {
			t.Fatal(err)
		}
		cuts := 0
		for at := range int64(len(b)) {
			// Zeros filled ahead are all alike: look at each where something begins, and at some of the rest.
			if b[at] == 0 && at%61 != 0 && (at < 2 || b[at-1] == 0) || at%int64(sample) != 0 {
				continue
			}
			disk := good.Clone()
			if err := disk.Flip(path, at); err != nil {
				t.Fatal(err)
			}
			before := disk.Clone()
			out := meet(t, disk, want)
			reported(t, before, path, out)
			if out.cut != nil {
				cuts++
				if i < 2 || at < lastBatch {
					t.Fatalf("a flip at %d of %s is cut: %+v", at, s.Name, out.cut)
				}
			}
			if out.cut == nil && out.corrupt == nil && i > 0 {
				t.Fatalf("a flip at %d of %s is not noticed", at, s.Name)
			}
			if t.Failed() {
				t.Fatalf("flip at %d of %s", at, s.Name)
			}
		}
		if (cuts > 0) != (i == 2) {
			t.Fatalf("%d flips of %s were cut", cuts, s.Name)
		}
	}
}

func TestFileCutAtEveryLength(t *testing.T) {
	t.Parallel()
	good, list, want, _ := threeKinds(t)
	for _, s := range list {
		path := filepath.Join("data/0001", s.Name)
		b, err := good.Bytes(path)
		if err != nil {
			t.Fatal(err)
		}
		for size := 0; size < len(b); size += sample * (1 + size%17) {
			disk := good.Clone()
			f, err := disk.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Truncate(int64(size)); err != nil {
				t.Fatal(err)
			}
			before := disk.Clone()
			out := meet(t, disk, want)
			if size >= int(s.Bytes) && s.Full && !s.Sealed && out.corrupt == nil {
				continue // an interrupted seal may have done that, and nothing is missing
			}
			if out.corrupt == nil {
				t.Fatalf("%s cut to %d bytes of %d is not noticed: %+v", s.Name, size, len(b), out.cut)
			}
			reported(t, before, path, out)
		}
	}
}

// A file that grew batch by batch keeps its promise too: wherever it is cut short, a header that is left knows better.
func TestGrownFileCutAtEveryLength(t *testing.T) {
	disk := crashfs.New(1)
	o := testOptions(disk)
	l, _ := mustOpen(t, o)
	for len(l.Segments()) < 2 || l.tail.used < 3*minSegmentBytes/4 {
		mustAppend(t, l, 1, 1)
		for range 8 { // marks make it longer than what is filled ahead
			if err := l.Mark(l.tail.commit + 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := l.Entries(1, l.Last()+1, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	path := l.tail.file.path
	b, err := disk.Bytes(path)
	if err != nil || int64(len(b)) <= fullBytes(minSegmentBytes) {
		t.Fatalf("the file did not grow: %d bytes, %v", len(b), err)
	}
	for size := pageBytes; size < len(b); size += 8 * (1 + size%5) {
		cut := disk.Clone()
		f, err := cut.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(int64(size)); err != nil {
			t.Fatal(err)
		}
		if out := meet(t, cut, want); out.corrupt == nil {
			t.Fatalf("cut to %d bytes of %d is not noticed: %+v", size, len(b), out.cut)
		}
	}
}

// Several damages are all reported, and what is whole between them is still visited.
func TestVerifyReportsEveryDamage(t *testing.T) {
	disk, list, want, _ := threeKinds(t)
	for _, s := range list {
		path := filepath.Join("data/0001", s.Name)
		for _, at := range []int64{pageBytes + 20, s.Bytes - 100} {
			if err := disk.Flip(path, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	visited := uint64(0)
	r, err := Verify(testOptions(disk), func(e Entry, segment string, pos int64) error {
		if !sameEntry(e, want[e.Index-1]) {
			t.Errorf("visited %v for %v", e, want[e.Index-1])
		}
		visited++
		return nil
	})
	if err != nil || len(r.Damages) != 6 || visited != r.Entries || visited < uint64(len(want))/2 {
		t.Fatalf("%d of %d visited, %+v, %v", visited, len(want), r, err)
	}
	for _, d := range r.Damages {
		if d.Offset < pageBytes || d.Doubtful || d.Reason == "" {
			t.Errorf("%+v", d)
		}
	}
}

// The doubt outlives crashes and further opens until the log has grown past it, also through a roll and a truncation.
func TestDoubtIsDurable(t *testing.T) {
	disk := crashfs.New(1)
	o := testOptions(disk)
	l, _ := mustOpen(t, o)
	mustAppend(t, l, 10, 1)
	path, end := l.tail.file.path, l.tail.end
	mustAppend(t, l, 4, 1)
	if err := disk.Flip(path, end+batchHeader+3); err != nil {
		t.Fatal(err)
	}
	l, rec := mustOpen(t, o)
	if rec.Cut == nil || rec.Cut.HighestIndex != 14 || rec.Cut.File != path || rec.Cut.Offset != end || rec.Doubt != 14 || l.Last() != 10 {
		t.Fatalf("%+v %+v", rec, rec.Cut)
	}
	o.FS = disk.CrashKeepSynced()
	for _, do := range []func(){
		func() {}, func() { mustAppend(t, l, 1, 2) }, func() {
			if err := l.Truncate(9); err != nil {
				t.Fatal(err)
			}
		},
	} {
		do()
		l, rec = mustOpen(t, o)
		if rec.Cut != nil || rec.Doubt != 14 {
			t.Fatalf("after the cut: %+v %+v", rec, rec.Cut)
		}
	}
	mustAppend(t, l, 6, 3)
	if _, rec = mustOpen(t, o); rec.Doubt != 0 {
		t.Fatalf("the log has %d entries, and is in doubt up to %d", l.Last(), rec.Doubt)
	}
	if err := l.Truncate(12); err != nil {
		t.Fatal(err)
	}
	if _, rec = mustOpen(t, o); rec.Doubt != 0 {
		t.Fatalf("doubt %d has come back", rec.Doubt)
	}
}

// A header that cannot be read leaves the bound: so many entries as one batch takes at most.
func TestCutOfUnreadableHeader(t *testing.T) {
	disk := crashfs.New(1)
	o := testOptions(disk)
	l, _ := mustOpen(t, o)
	mustAppend(t, l, 3, 1)
	path, end := l.tail.file.path, l.tail.end
	mustAppend(t, l, 2, 1)
	if err := disk.Flip(path, end+10); err != nil {
		t.Fatal(err)
	}
	o.MaxBatchEntries = 1 // what the file was written with counts
	_, rec := mustOpen(t, o)
	if rec.Cut == nil || rec.Cut.HighestIndex != 3+8 {
		t.Fatalf("%+v", rec.Cut)
	}
}

func TestDamageBelowAMarkIsCorrupt(t *testing.T) {
	disk := crashfs.New(1)
	o := testOptions(disk)
	l, _ := mustOpen(t, o)
	mustAppend(t, l, 3, 1)
	path, end := l.tail.file.path, l.tail.end
	mustAppend(t, l, 2, 1)
	if err := l.Mark(0); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{end + 5, end + batchHeader + 5} {
		bad := disk.Clone()
		if err := bad.Flip(path, at); err != nil {
			t.Fatal(err)
		}
		o.FS = bad
		_, _, err := Open(o)
		wantCode(t, err, errs.Corrupt)
		if got := errs.As(err).Details["offset"]; got != fmt.Sprint(at&^63) && got != fmt.Sprint(end) && got != fmt.Sprint(end+batchHeader) {
			t.Fatalf("offset %s for %d: %v", got, at, err)
		}
	}
}

// What was durable before a file got its name was not torn by a power cut: damage of it is never cut, though nothing follows.
func TestDamageOfANewSegmentIsCorrupt(t *testing.T) {
	for name, make := range map[string]func(l *Log){
		"rolled": func(l *Log) {
			for len(l.Segments()) == 1 {
				mustAppend(t, l, 1, 1)
			}
		},
		"truncated": func(l *Log) {
			mustAppend(t, l, 10, 1)
			if err := l.Truncate(8); err != nil {
				t.Fatal(err)
			}
		},
	} {
		disk := crashfs.New(1)
		o := testOptions(disk)
		l, _ := mustOpen(t, o)
		make(l)
		if err := disk.Flip(l.tail.file.path, l.tail.end-20); err != nil {
			t.Fatal(err)
		}
		_, rec, err := Open(o)
		if errs.CodeOf(err) != errs.Corrupt {
			t.Errorf("%s: %v, %v", name, rec, err)
		}
	}
}

// Not even a mark can go missing from a segment that another one follows.
func TestMissingMarkIsCorrupt(t *testing.T) {
	disk := crashfs.New(1)
	o := testOptions(disk)
	l, _ := mustOpen(t, o)
	for !l.tail.full() {
		mustAppend(t, l, 1, 1)
	}
	f, end := l.tail.file.f, l.tail.end
	if err := l.Mark(0); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, 1, 1)
	if _, err := f.WriteAt(zeros[:batchHeader], end); err != nil {
		t.Fatal(err)
	}
	_, _, err := Open(o)
	wantCode(t, err, errs.Corrupt)
}

// Bytes of a log, stored in that very log by a client, are never taken for a batch.
func TestStoredBatchesAreNotBatches(t *testing.T) {
	disk := crashfs.New(1)
	o := testOptions(disk)
	o.SegmentBytes *= 4
	l, _ := mustOpen(t, o)
	mustAppend(t, l, 3, 1)
	path := l.tail.file.path
	b, err := disk.Bytes(path)
	if err != nil {
		t.Fatal(err)
	}
	stored := b[pageBytes:l.tail.end]
	for pad := range 8 { // whatever the alignment
		end := l.tail.end
		i := l.Last() + 1
		e := Entry{Index: i, Term: 1, Data: AppendRecord(nil, testShard, i, 1, append(make([]byte, pad), stored...))}
		if err := l.Append([]Entry{e}, 0); err != nil {
			t.Fatal(err)
		}
		bad := disk.Clone()
		if err := bad.Flip(path, end+8); err != nil {
			t.Fatal(err)
		}
		o.FS = bad
		if _, rec, err := Open(o); err != nil || rec.Cut == nil {
			t.Fatalf("with padding %d: %v %v", pad, rec, err)
		}
	}
}
