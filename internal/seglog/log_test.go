package seglog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
)

const testShard = 7

// testOptions are of a small log, whose salts are always the same.
func testOptions(fs vfs.FS) Options {
	salt := uint64(0)
	return Options{
		FS: fs, Dir: "data/0001", Shard: testShard, SegmentBytes: minSegmentBytes, MaxBatchEntries: 8,
		Salt: func() uint64 { salt++; return mix(salt, 99) },
	}
}

func mustOpen(t testing.TB, o Options) (*Log, Recovery) {
	t.Helper()
	l, rec, err := Open(o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l, rec
}

// entryFor makes an entry whose content follows from index and term: a few records of different sizes, or raw bytes.
func entryFor(index, term uint64) Entry {
	rng := rand.New(rand.NewPCG(index, term))
	e := Entry{Index: index, Term: term}
	if rng.IntN(10) == 0 {
		e.Type, e.Data = Type(1+rng.IntN(2)), binary.LittleEndian.AppendUint64(nil, index*term)
		return e
	}
	for i := range rng.IntN(4) {
		payload := bytes.Repeat([]byte{byte(index), byte(term)}, rng.IntN(120))
		e.Data = AppendRecord(e.Data, testShard, index, byte(i), payload)
	}
	return e
}

// entriesFor makes n entries after last.
func entriesFor(last uint64, n int, term uint64) []Entry {
	out := make([]Entry, n)
	for i := range out {
		out[i] = entryFor(last+1+uint64(i), term)
	}
	return out
}

func mustAppend(t testing.TB, l *Log, n int, term uint64) {
	t.Helper()
	if err := l.Append(entriesFor(l.Last(), n, term), 0); err != nil {
		t.Fatalf("append: %v", err)
	}
}

func sameEntry(a, b Entry) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && bytes.Equal(a.Data, b.Data)
}

// checkHolds reads everything, in every way, and compares it with what the log should hold: want, and nothing after it.
func checkHolds(t testing.TB, l *Log, want []Entry) {
	t.Helper()
	if err := holds(l, want); err != nil {
		t.Fatal(err)
	}
}

func holds(l *Log, want []Entry) error {
	if len(want) == 0 {
		if l.Last() >= l.First() {
			return fmt.Errorf("entries %d to %d in a log that should be empty", l.First(), l.Last())
		}
		return nil
	}
	first, last := want[0].Index, want[len(want)-1].Index
	if l.First() > first || l.Last() != last {
		return fmt.Errorf("the log goes from %d to %d, want %d to %d", l.First(), l.Last(), first, last)
	}
	got, err := l.Entries(first, last+1, 1<<40)
	if err != nil || len(got) != len(want) {
		return fmt.Errorf("%d entries of %d: %v", len(got), len(want), err)
	}
	r := l.NewReader(1 << 12)
	for i, w := range want {
		if !sameEntry(got[i], w) {
			return fmt.Errorf("entry %d is %v, want %v", w.Index, got[i], w)
		}
		if err := readsAs(l, r, w); err != nil {
			return err
		}
	}
	return nil
}

func readsAs(l *Log, r *Reader, want Entry) error {
	if term, err := l.Term(want.Index); err != nil || term != want.Term {
		return fmt.Errorf("term of %d is %d, want %d: %v", want.Index, term, want.Term, err)
	}
	if e, err := r.Entry(want.Index); err != nil || !sameEntry(e, want) {
		return fmt.Errorf("the reader has entry %v, want %v: %v", e, want, err)
	}
	if want.Type != TypeRecords {
		return nil
	}
	w := WalkRecords(want.Data)
	for w.Next() {
		size := uint32(len(w.Payload()))
		for _, guess := range []uint32{size, 0, size + 3} {
			kind, payload, err := l.ReadRecord(want.Index, w.Off(), guess, nil)
			if guess > size && err != nil {
				continue // there may be nothing after the last record
			}
			if err != nil || kind != w.Kind() || !bytes.Equal(payload, w.Payload()) {
				return fmt.Errorf("record at %d of entry %d: %v", w.Off(), want.Index, err)
			}
			kind, payload, err = r.Record(want.Index, w.Off(), guess)
			if err != nil || kind != w.Kind() || !bytes.Equal(payload, w.Payload()) {
				return fmt.Errorf("reader's record at %d of entry %d: %v", w.Off(), want.Index, err)
			}
		}
	}
	return w.Err()
}

func mustVerify(t testing.TB, o Options, last uint64) Report {
	t.Helper()
	r, err := Verify(o, nil)
	if err != nil || len(r.Damages) > 0 || r.Last != last {
		t.Fatalf("verify: last %d, want %d; %v; %v", r.Last, last, r.Damages, err)
	}
	return r
}

func wantCode(t testing.TB, err error, code errs.Code) {
	t.Helper()
	if errs.CodeOf(err) != code {
		t.Fatalf("got %v (%s), want %s", err, errs.CodeOf(err), code)
	}
}

func TestLogKeepsWhatWasAppended(t *testing.T) {
	o := testOptions(crashfs.New(1))
	l, rec := mustOpen(t, o)
	if rec != (Recovery{}) || l.First() != 1 || l.Last() != 0 {
		t.Fatalf("a new log: %v, %d to %d", rec, l.First(), l.Last())
	}
	var want []Entry
	for i := range 60 {
		add := entriesFor(l.Last(), 1+i%11, uint64(1+i/7))
		want = append(want, add...)
		if err := l.Append(add, l.Last()); err != nil {
			t.Fatal(err)
		}
		if i == 20 {
			checkHolds(t, l, want)
		}
		if err := l.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range l.Segments()[:3] {
		if err := l.Seal(s.First); err != nil {
			t.Fatal(err)
		}
	}
	checkHolds(t, l, want)
	list := l.Segments()
	if len(list) < 6 || !list[2].Sealed || list[3].Sealed || !list[3].Full {
		t.Fatalf("segments: %v", list)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, rec = mustOpen(t, o)
	if rec.Cut != nil || rec.Doubt != 0 || rec.Commit == 0 || rec.Commit > l.Last() {
		t.Fatalf("recovery of a closed log: %v", rec)
	}
	checkHolds(t, l, want)
	mustVerify(t, o, l.Last())
	wantCode(t, l.Append(entriesFor(l.Last()+1, 1, 99), 0), errs.Invalid)
	wantCode(t, l.Append([]Entry{{Index: l.Last() + 1, Term: 1}}, 0), errs.Invalid)
	wantCode(t, l.Append([]Entry{{Index: l.Last() + 1, Term: 99, Data: []byte("not framed")}}, 0), errs.Invalid)
	wantCode(t, l.Append([]Entry{{Index: l.Last() + 1, Term: 99, Type: 200}}, 0), errs.Unsupported)
	wantCode(t, l.Append([]Entry{{Index: l.Last() + 1, Term: 99, Type: 1, Data: make([]byte, minSegmentBytes)}}, 0), errs.TooLarge)
	checkHolds(t, l, want)
}

// Segments end at the same entries however the entries were batched, so replicas have the same segments and digests.
func TestSegmentsAreAFunctionOfTheEntries(t *testing.T) {
	all := entriesFor(0, 400, 3)
	var want []Segment
	for step := 1; step < 90; step += 11 {
		l, _ := mustOpen(t, testOptions(crashfs.New(1)))
		for rest := all; len(rest) > 0; rest = rest[min(step, len(rest)):] {
			if err := l.Append(rest[:min(step, len(rest))], 0); err != nil {
				t.Fatal(err)
			}
			if step%2 == 0 {
				_ = l.Mark(uint64(len(all) - len(rest)))
			}
		}
		for _, s := range l.Segments() {
			if s.Full && s.Last < l.Last() {
				if err := l.Seal(s.First); err != nil {
					t.Fatal(err)
				}
			}
		}
		got := l.Segments()
		for i := range got {
			got[i].Bytes = 0 // batch headers and marks differ
		}
		if want == nil {
			want = got
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("batches of %d: %v, want %v", step, got, want)
		}
	}
}

func TestMarksWithNothingBetweenAreOne(t *testing.T) {
	fs := crashfs.New(1)
	l, _ := mustOpen(t, testOptions(fs))
	if err := l.Mark(0); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, 3, 1)
	for range 3 {
		if err := l.Mark(2); err != nil {
			t.Fatal(err)
		}
	}
	before := fs.Counts()
	for range 3 {
		if err := l.Mark(2); err != nil {
			t.Fatal(err)
		}
	}
	if fs.Counts() != before {
		t.Fatal("a mark after a mark did something")
	}
	if err := l.Mark(3); err != nil {
		t.Fatal(err)
	}
	if after := fs.Counts(); after.Writes != before.Writes+1 || after.Syncs != before.Syncs+1 || after.WrittenBytes != before.WrittenBytes+batchHeader {
		t.Fatalf("a mark took %v after %v", after, before)
	}
}

func TestTruncateAndGoOnDifferently(t *testing.T) {
	o := testOptions(crashfs.New(1))
	l, _ := mustOpen(t, o)
	mustAppend(t, l, 300, 1)
	n := len(l.Segments())
	if n < 4 {
		t.Fatalf("%d segments", n)
	}
	for _, from := range []uint64{300, 250, l.Segments()[2].First, l.Segments()[1].First + 1, 2, 1} {
		if err := l.Truncate(from); err != nil {
			t.Fatal(err)
		}
		checkHolds(t, l, entriesFor(0, int(from-1), 1))
		wantCode(t, errOf(l.Term(from)), errs.NotFound)
		mustVerify(t, o, from-1)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, _ = mustOpen(t, o)
		checkHolds(t, l, entriesFor(0, int(from-1), 1))
	}
	mustAppend(t, l, 50, 2)
	checkHolds(t, l, entriesFor(0, 50, 2))
}

func errOf[T any](_ T, err error) error { return err }

func TestTruncateRefusesWhatIsCommitted(t *testing.T) {
	l, _ := mustOpen(t, testOptions(crashfs.New(1)))
	mustAppend(t, l, 200, 1)
	if err := l.Mark(150); err != nil {
		t.Fatal(err)
	}
	wantCode(t, l.Truncate(150), errs.Internal)
	if err := l.Truncate(151); err != nil {
		t.Fatal(err)
	}
	if err := l.Truncate(152); err != nil {
		t.Fatal("truncating what is not there:", err)
	}
}

func TestTrimKeepsTheTermBefore(t *testing.T) {
	o := testOptions(crashfs.New(1))
	l, _ := mustOpen(t, o)
	for term := range uint64(30) {
		mustAppend(t, l, 10, term+1)
	}
	list := l.Segments()
	if err := l.Trim(list[2].First); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		first := list[2].First
		if l.First() != first {
			t.Fatalf("first is %d, want %d", l.First(), first)
		}
		if term, err := l.Term(first - 1); err != nil || term != 1+(first-2)/10 {
			t.Fatalf("term before the first is %d: %v", term, err)
		}
		wantCode(t, errOf(l.Term(first-2)), errs.Trimmed)
		wantCode(t, errOf(l.Entries(first-1, first+1, 1)), errs.Trimmed)
		mustVerify(t, o, 300)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, _ = mustOpen(t, o)
	}
}

func TestSealRefusesTheLastSegment(t *testing.T) {
	l, _ := mustOpen(t, testOptions(crashfs.New(1)))
	mustAppend(t, l, 200, 1)
	list := l.Segments()
	wantCode(t, l.Seal(list[len(list)-1].First), errs.Invalid)
	wantCode(t, l.Seal(list[0].First+1), errs.Invalid)
	for range 2 {
		if err := l.Seal(list[0].First); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, l.Truncate(list[0].Last), errs.Internal)
}

func TestMissingSegmentsAreNamed(t *testing.T) {
	o := testOptions(crashfs.New(1))
	l, _ := mustOpen(t, o)
	mustAppend(t, l, 300, 1)
	list := l.Segments()
	for _, s := range list[:2] {
		if err := l.Seal(s.First); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	remove := func(drop ...int) error {
		disk := o.FS.(*crashfs.FS).Clone()
		for _, i := range drop {
			if err := disk.Remove("data/0001/" + list[i].Name); err != nil {
				t.Fatal(err)
			}
		}
		o := testOptions(disk)
		if r, err := Verify(o, nil); err != nil || len(r.Damages) == 0 {
			t.Errorf("verify without %v found nothing: %v", drop, err)
		}
		_, _, err := Open(o)
		return err
	}
	for _, i := range []int{0, 1, 2} {
		err := remove(i)
		wantCode(t, err, errs.Corrupt)
		if got := errs.As(err).Details["missing"]; got != list[i].Name {
			t.Errorf("missing is %q, want %q: %v", got, list[i].Name, err)
		}
	}
	var after []int
	for i := 2; i < len(list); i++ {
		after = append(after, i)
	}
	wantCode(t, remove(after...), errs.Corrupt)
}

func TestNewerFormatIsUnsupported(t *testing.T) {
	o := testOptions(crashfs.New(1))
	l, _ := mustOpen(t, o)
	path := l.tail.file.path
	b := l.tail.head.encode()
	le.PutUint32(b[8:], Version+1)
	le.PutUint32(b[12:], headerSum(b))
	if _, err := l.tail.file.f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	_, _, err := Open(o)
	wantCode(t, err, errs.Unsupported)
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "newer release") {
		t.Fatal(err)
	}
	_, err = Verify(o, nil)
	wantCode(t, err, errs.Unsupported)
}

func TestForeignFilesStay(t *testing.T) {
	disk := crashfs.New(1)
	o := testOptions(disk)
	if err := disk.MkdirAll(o.Dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hardstate", "00000000000000000001.sst", "1.seg", "next.tmp"} {
		if _, err := disk.Create("data/0001/" + name); err != nil {
			t.Fatal(err)
		}
	}
	l, _ := mustOpen(t, o)
	mustAppend(t, l, 3, 1)
	names, err := disk.List(o.Dir)
	if err != nil || fmt.Sprint(names) != "[00000000000000000001.seg 00000000000000000001.sst 1.seg hardstate]" {
		t.Fatal(names, err)
	}
}

func TestAnotherShardIsNotOpened(t *testing.T) {
	o := testOptions(crashfs.New(1))
	l, _ := mustOpen(t, o)
	mustAppend(t, l, 3, 1)
	o.Shard++
	_, _, err := Open(o)
	wantCode(t, err, errs.Corrupt)
}
