package seglog

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

// sealedLog writes entries in batches of that many, seals whatever is full, and closes.
func sealedLog(t *testing.T, o Options, entries []Entry, batch int) []Segment {
	t.Helper()
	l, _ := mustOpen(t, o)
	for i := 0; i < len(entries); i += batch {
		if err := l.Append(entries[i:min(i+batch, len(entries))], 0); err != nil {
			t.Fatal(err)
		}
	}
	sealFull(t, l)
	list := l.Segments()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return list
}

// carry copies a file from one disk to another, durably.
func carry(t *testing.T, from, to vfs.FS, fromName, toName string) {
	t.Helper()
	src, err := from.Open(fromName)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	size, _ := src.Size()
	b := make([]byte, size)
	if _, err := src.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if err := to.MkdirAll(filepath.Dir(toName)); err != nil {
		t.Fatal(err)
	}
	dst, err := to.Create(toName)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if _, err := dst.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dst.SyncData(), to.SyncDir(filepath.Dir(toName)), to.SyncDir(filepath.Dir(filepath.Dir(toName)))); err != nil {
		t.Fatal(err)
	}
}

const incoming = "data/0001/incoming"

// behind makes a log that holds the first entries of another, sealed with other batches, and a suffix of its own; beside it lie the
// segments that it lacks.
func behind(t *testing.T) (disk *crashfs.FS, a Assembly, want []Entry) {
	t.Helper()
	all := entriesFor(0, 150, 3)
	ahead := crashfs.New(1)
	list := sealedLog(t, testOptions(ahead), all, 5)
	list = list[:len(list)-1]
	disk = crashfs.New(2)
	mine := sealedLog(t, testOptions(disk), append(all[:40:40], entriesFor(40, 40, 4)...), 3)
	a = Assembly{From: incoming, Index: list[len(list)-1].Last, Term: 3}
	for i, s := range list {
		a.Segments = append(a.Segments, s.First)
		if i < len(mine) && mine[i].Sealed && mine[i].Digest == s.Digest {
			continue
		}
		carry(t, ahead, disk, filepath.Join("data/0001", s.Name), filepath.Join(incoming, s.Name))
	}
	if len(a.Segments) < 4 || mine[0].Digest != list[0].Digest {
		t.Fatalf("%d segments; this tests nothing", len(a.Segments))
	}
	return disk, a, all[:a.Index]
}

// TestAssembleThroughEveryCrash cuts the power at every operation: doing it again makes the log whole, whatever was lost.
func TestAssembleThroughEveryCrash(t *testing.T) {
	made, a, want := behind(t)
	a.Doubt = a.Index + 7
	for n := 1; ; n++ {
		disk := made.Clone()
		faults := faultfs.New(disk)
		faults.FailNth(n)
		failed := Assemble(testOptions(faults), a)
		for _, crashed := range []*crashfs.FS{disk.CrashKeepSynced(), disk.CrashKeepAll(), disk.Crash()} {
			if err := Assemble(testOptions(crashed), a); err != nil {
				t.Fatalf("operation %d: %v", n, err)
			}
			l, rec := mustOpen(t, testOptions(crashed))
			if rec.Doubt != a.Doubt || rec.Commit != a.Index || rec.Cut != nil {
				t.Fatalf("operation %d: %+v", n, rec)
			}
			checkHolds(t, l, want)
			mustAppend(t, l, 30, 5) // it goes on
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			mustVerify(t, testOptions(crashed), a.Index+30)
		}
		if failed == nil {
			return
		}
	}
}

// TestAssembleRefusesGaps is given too few segments, or another end than they have.
func TestAssembleRefusesGaps(t *testing.T) {
	made, a, _ := behind(t)
	for name, change := range map[string]func(*Assembly){
		"a gap":        func(a *Assembly) { a.Segments = append(append([]uint64{}, a.Segments[:1]...), a.Segments[2:]...) },
		"another end":  func(a *Assembly) { a.Index++ },
		"another term": func(a *Assembly) { a.Term++ },
	} {
		b := a
		change(&b)
		err := Assemble(testOptions(made.Clone()), b)
		if errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	a.Segments = append(a.Segments, a.Index+1)
	if err := Assemble(testOptions(made.Clone()), a); err == nil {
		t.Error("a segment is assembled that is nowhere")
	}
}

// TestAssembleNothing resets a log to go on after an entry that it never had.
func TestAssembleNothing(t *testing.T) {
	disk, _, _ := behind(t)
	if err := Assemble(testOptions(disk), Assembly{Index: 1000, Term: 9}); err != nil {
		t.Fatal(err)
	}
	l, rec := mustOpen(t, testOptions(disk))
	term, err := l.Term(1000)
	if err != nil || term != 9 || l.First() != 1001 || l.Last() != 1000 || rec.Commit != 1000 && rec.Commit != 0 {
		t.Fatalf("%d to %d, term %d, %+v, %v", l.First(), l.Last(), term, rec, err)
	}
	mustAppend(t, l, 100, 9)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReplaceThroughEveryCrash puts a file of another replica in a segment's place, beside a reader that holds the old one.
func TestReplaceThroughEveryCrash(t *testing.T) {
	all := entriesFor(0, 120, 3)
	peer, made := crashfs.New(1), crashfs.New(2)
	list := sealedLog(t, testOptions(peer), all, 7)
	sealedLog(t, testOptions(made), all, 3)
	second := list[1]
	carry(t, peer, made, filepath.Join("data/0001", second.Name), filepath.Join(incoming, second.Name))
	path := filepath.Join("data/0001", second.Name)
	if err := made.Flip(path, second.Bytes/2); err != nil {
		t.Fatal(err)
	}
	if _, err := VerifySealed(testOptions(made), second.First, second.Name, nil); errs.CodeOf(err) != errs.Corrupt {
		t.Fatalf("damage is not found: %v", err)
	}
	for n := 1; ; n++ {
		disk := made.Clone()
		faults := faultfs.New(disk)
		l, _ := mustOpen(t, testOptions(faults))
		held, _, err := l.hold(second.First)
		if err != nil {
			t.Fatal(err)
		}
		faults.FailNth(n)
		failed := l.Replace(second.First, incoming)
		if failed == nil {
			if _, err := held.file.read(make([]byte, 10), 0); err != nil {
				t.Fatalf("a read that had begun: %v", err)
			}
			checkHolds(t, l, all)
		}
		_ = held.file.release()
		for _, crashed := range []*crashfs.FS{disk.CrashKeepSynced(), disk.CrashKeepAll(), disk.Crash()} {
			l, _ := mustOpen(t, testOptions(crashed))
			if _, err := VerifySealed(testOptions(crashed), second.First, second.Name, nil); failed == nil && err != nil {
				t.Fatalf("operation %d: %v", n, err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		faults.Heal()
		_ = l.Close()
		if failed == nil {
			return
		}
	}
}

// TestReplaceRefusesOtherEntries holds that only the same entries take a segment's place.
func TestReplaceRefusesOtherEntries(t *testing.T) {
	peer, disk := crashfs.New(1), crashfs.New(2)
	list := sealedLog(t, testOptions(peer), entriesFor(0, 120, 4), 7)
	sealedLog(t, testOptions(disk), entriesFor(0, 120, 3), 3)
	carry(t, peer, disk, filepath.Join("data/0001", list[0].Name), filepath.Join(incoming, list[0].Name))
	l, _ := mustOpen(t, testOptions(disk))
	defer l.Close()
	wantCode(t, l.Replace(1, incoming), errs.Invalid)
	wantCode(t, l.Replace(2, incoming), errs.Invalid)
}

// TestSoundPrefixOfEveryLength cuts a sealed segment's file everywhere: what is said to be whole is, and at least up to the last
// whole batch.
func TestSoundPrefixOfEveryLength(t *testing.T) {
	disk := crashfs.New(1)
	o := testOptions(disk)
	s := sealedLog(t, o, entriesFor(0, 120, 4), 3)[1]
	whole, err := disk.Bytes(filepath.Join(o.Dir, s.Name))
	if err != nil {
		t.Fatal(err)
	}
	if size, err := FileSize(o, s.First, whole[:HeaderBytes]); err != nil || size != int64(len(whole)) {
		t.Fatalf("%d, %v", size, err)
	}
	at := o
	at.Dir = "."
	f, err := disk.Create("part")
	if err != nil {
		t.Fatal(err)
	}
	before := int64(0)
	for n := range len(whole) + 1 {
		if n%8 != 1 {
			continue
		}
		if _, err := f.WriteAt(whole[:n], 0); err != nil {
			t.Fatal(err)
		}
		got, err := SoundPrefix(at, s.First, "part")
		if err != nil || got < before || got > int64(n) || got > s.Bytes {
			t.Fatalf("%d of %d bytes: %d after %d, %v", n, len(whole), got, before, err)
		}
		before = got
	}
	if before != s.Bytes {
		t.Fatalf("the whole file is whole up to %d, want %d", before, s.Bytes)
	}
}

// TestBehindCountsSealedSegments only.
func TestBehindCountsSealedSegments(t *testing.T) {
	l, _ := mustOpen(t, testOptions(crashfs.New(1)))
	defer l.Close()
	if l.Behind(0) != 1 || l.Behind(4) != 1 {
		t.Fatal("an empty log")
	}
	mustAppend(t, l, 150, 1)
	if l.Behind(1) != 1 {
		t.Fatal("nothing is sealed")
	}
	list := l.Segments()
	if err := l.Seal(1); err != nil {
		t.Fatal(err)
	}
	if l.Behind(0) != list[1].First {
		t.Fatalf("%d, want the first one that is not sealed", l.Behind(0))
	}
	sealFull(t, l)
	if n := len(list); l.Behind(0) != list[n-1].First || l.Behind(1) != list[n-2].First || l.Behind(n) != 1 {
		t.Fatal("sealed ones do not count")
	}
}
