package crashfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/vfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, d *FS, name string) vfs.File {
	t.Helper()
	f, err := d.Create(name)
	must(t, err)
	return f
}

func put(t testing.TB, f vfs.File, text string, off int64) {
	t.Helper()
	_, err := f.WriteAt([]byte(text), off)
	must(t, err)
}

func content(t testing.TB, d *FS, name string) string {
	t.Helper()
	b, err := d.Bytes(name)
	must(t, err)
	return string(b)
}

func TestSyncedSurvivesUnsyncedMayNot(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		d := New(seed)
		f := create(t, d, "a")
		put(t, f, "synced", 0)
		must(t, f.SyncData())
		must(t, d.SyncDir("."))
		put(t, f, "SYNCED", 0)
		seen[content(t, d.Crash(), "a")] = true
	}
	if len(seen) != 2 || !seen["synced"] || !seen["SYNCED"] {
		t.Fatalf("a write within a sector must be kept or lost whole, and both must happen: %v", seen)
	}
}

func TestNamesAreLostWithoutSyncDir(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(300) {
		d := New(seed)
		for _, name := range []string{"a", "b", "c"} {
			must(t, create(t, d, name).SyncData())
		}
		must(t, d.Rename("a", "d"))
		names, err := d.Crash().List(".")
		must(t, err)
		seen[strings.Join(names, "")] = true
	}
	want := []string{"", "a", "ab", "abc", "bcd"}
	if len(seen) != len(want) {
		t.Fatalf("found %v, want the prefixes %q", seen, want)
	}
	for _, w := range want {
		if !seen[w] {
			t.Errorf("no crash left %q", w)
		}
	}
}

func TestMoveBetweenFoldersNeverLosesBothNames(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(300) {
		d := New(seed)
		must(t, d.MkdirAll("x"))
		must(t, d.MkdirAll("y"))
		f := create(t, d, "x/a")
		put(t, f, "data", 0)
		must(t, f.SyncData())
		must(t, d.SyncDir("x"))
		must(t, d.SyncDir("."))
		must(t, d.Rename("x/a", "y/b"))
		after := d.Crash()
		x, err := after.List("x")
		must(t, err)
		y, err := after.List("y")
		must(t, err)
		if len(x)+len(y) == 0 {
			t.Fatalf("seed %d: the file is gone", seed)
		}
		seen[fmt.Sprint(x, y)] = true
	}
	if len(seen) != 3 {
		t.Fatalf("want the file at the first, the second or both names: %v", seen)
	}
}

func TestSyncOfTheOldFolderKeepsTheMove(t *testing.T) {
	d := New(1)
	must(t, d.MkdirAll("x"))
	must(t, d.MkdirAll("y"))
	create(t, d, "x/a")
	must(t, d.SyncDir("."))
	must(t, d.Rename("x/a", "y/b"))
	must(t, d.SyncDir("x"))
	after := d.CrashKeepSynced()
	if names, err := after.List("y"); err != nil || !slices.Equal(names, []string{"b"}) {
		t.Fatalf("got %v, %v", names, err)
	}
}

func TestTornWritesKeepSectorsWhole(t *testing.T) {
	const sectors = 64
	torn := false
	for seed := range uint64(200) {
		d := New(seed)
		f := create(t, d, "a")
		must(t, f.Truncate(sectors*sectorBytes))
		must(t, f.SyncData())
		must(t, d.SyncDir("."))
		put(t, f, strings.Repeat("x", sectors*sectorBytes), 0)
		after := content(t, d.Crash(), "a")
		kept := 0
		for i := range sectors {
			switch sector := after[i*sectorBytes:][:sectorBytes]; sector {
			case strings.Repeat("x", sectorBytes):
				kept++
			case strings.Repeat("\x00", sectorBytes):
			default:
				t.Fatalf("seed %d: sector %d is neither old nor new", seed, i)
			}
		}
		torn = torn || (kept > 0 && kept < sectors)
	}
	if !torn {
		t.Fatal("no write was torn")
	}
}

func TestUnsyncedWritesAreReordered(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		d := New(seed)
		f := create(t, d, "a")
		must(t, d.SyncDir("."))
		put(t, f, "first ", 0)
		put(t, f, "second", 0)
		seen[content(t, d.Crash(), "a")] = true
	}
	if !seen[""] || !seen["first "] || !seen["second"] || len(seen) != 3 {
		t.Fatalf("got %v", seen)
	}
}

func TestTruncationMayBeLost(t *testing.T) {
	seen := map[int]bool{}
	for seed := range uint64(100) {
		d := New(seed)
		f := create(t, d, "a")
		put(t, f, strings.Repeat("x", 10000), 0)
		must(t, f.SyncData())
		must(t, d.SyncDir("."))
		must(t, f.Truncate(5000))
		must(t, f.Truncate(9000))
		after := content(t, d.Crash(), "a")
		if zeros := strings.Count(after, "\x00"); zeros != 0 && zeros != 4000 {
			t.Fatalf("seed %d: %d zeros", seed, zeros)
		}
		seen[len(after)] = true
	}
	if !seen[5000] || !seen[9000] || !seen[10000] {
		t.Fatalf("sizes %v", seen)
	}
}

func TestKeepSyncedAndKeepAll(t *testing.T) {
	d := New(1)
	f := create(t, d, "a")
	put(t, f, "one", 0)
	must(t, f.SyncData())
	must(t, d.SyncDir("."))
	put(t, f, "two", 3)
	create(t, d, "b")
	all := d.Clone().CrashKeepAll()
	synced := d.CrashKeepSynced()
	if got := content(t, all, "a"); got != "onetwo" {
		t.Errorf("all: %q", got)
	}
	if got := content(t, synced, "a"); got != "one" {
		t.Errorf("synced: %q", got)
	}
	if _, err := all.Stat("b"); err != nil {
		t.Error(err)
	}
	if _, err := synced.Stat("b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("b is there without SyncDir: %v", err)
	}
}

func TestAfterACrashEverythingOldFails(t *testing.T) {
	d := New(1)
	f := create(t, d, "a")
	_, err := d.Lock("lock")
	must(t, err)
	must(t, d.SyncDir("."))
	after := d.Crash()
	_, readErr := f.ReadAt(make([]byte, 1), 0)
	_, writeErr := f.WriteAt([]byte("x"), 0)
	_, createErr := d.Create("c")
	_, listErr := d.List(".")
	for _, err := range []error{readErr, writeErr, createErr, listErr, f.SyncData(), f.Truncate(1), d.SyncDir("."), d.Rename("a", "b"),
		d.Remove("a"), d.MkdirAll("x"), d.Link("a", "b"), d.RemoveAll("a")} {
		if !errors.Is(err, ErrCrashed) {
			t.Errorf("got %v, want ErrCrashed", err)
		}
	}
	if _, err := after.Lock("lock"); err != nil {
		t.Errorf("the crash did not end the lock: %v", err)
	}
	if _, err := after.Open("a"); err != nil {
		t.Error(err)
	}
}

// What one run does, every run does.
func TestDeterminism(t *testing.T) {
	for seed := range uint64(20) {
		first, second := history(t, seed), history(t, seed)
		if first != second {
			t.Fatalf("seed %d: two runs differ", seed)
		}
	}
}

// history works on a disk through several crashes and tells all that is found.
func history(t *testing.T, seed uint64) string {
	var told strings.Builder
	d := New(seed)
	for round := range 5 {
		must(t, d.MkdirAll(fmt.Sprintf("dir%d/sub", round)))
		for i := range 6 {
			name := fmt.Sprintf("dir%d/f%d-%d", round, round, i)
			f := create(t, d, name)
			put(t, f, strings.Repeat(name, 500), int64(i)*700)
			if i%2 == 0 {
				must(t, f.SyncData())
			}
			put(t, f, "again", 100)
			must(t, d.Rename(name, name+"x"))
		}
		must(t, d.SyncDir("."))
		if twin := dump(t, d.Clone().Crash(), "."); twin != dump(t, d.Clone().Crash(), ".") {
			t.Fatalf("seed %d: two clones crash differently", seed)
		}
		d = d.Crash()
		told.WriteString(dump(t, d, "."))
	}
	return told.String()
}

func dump(t *testing.T, d *FS, dir string) string {
	names, err := d.List(dir)
	must(t, err)
	var told strings.Builder
	for _, name := range names {
		name = dir + "/" + name
		if info, err := d.Stat(name); err == nil && info.IsDir() {
			told.WriteString(name + dump(t, d, name))
		} else {
			fmt.Fprintf(&told, "%s=%q\n", name, content(t, d, name))
		}
	}
	return told.String()
}

func TestCloneIsApart(t *testing.T) {
	d := New(3)
	f := create(t, d, "a")
	put(t, f, "both", 0)
	twin := d.Clone()
	put(t, f, "this", 0)
	g, err := twin.Open("a")
	must(t, err)
	put(t, g, "that", 0)
	if a, b := content(t, d, "a"), content(t, twin, "a"); a != "this" || b != "that" {
		t.Fatalf("got %q and %q", a, b)
	}
}

func TestFlipIsThereNowAndAfterACrash(t *testing.T) {
	for _, unsynced := range []bool{false, true} {
		d := New(4)
		f := create(t, d, "a")
		put(t, f, strings.Repeat("x", 9000), 0)
		must(t, f.SyncData())
		must(t, d.SyncDir("."))
		if unsynced {
			put(t, f, "y", 8199)
		}
		must(t, d.Flip("a", 8200))
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, 8200); err != nil || b[0] != 'x'^1 {
			t.Errorf("reads %q, %v", b, err)
		}
		if got := content(t, d.CrashKeepSynced(), "a"); got[8200] != 'x'^1 || got[8199] != 'x' || got[8201] != 'x' {
			t.Errorf("after the crash %q", got[8199:8202])
		}
	}
	if err := New(1).Flip("none", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestCapacity(t *testing.T) {
	d := New(1)
	d.SetCapacity(10000)
	f := create(t, d, "a")
	put(t, f, strings.Repeat("x", 8000), 0)
	_, err := f.WriteAt(make([]byte, 4000), 8000)
	if !vfs.IsNoSpace(err) {
		t.Fatalf("got %v", err)
	}
	if size, err := f.Size(); err != nil || size != 8000 {
		t.Fatalf("a refused write changed the size to %d, %v", size, err)
	}
	put(t, f, "overwriting takes nothing", 0)
	must(t, f.Truncate(1000))
	if free, err := d.Free("."); err != nil || free != 9000 {
		t.Fatalf("free %d, %v", free, err)
	}
	must(t, d.Link("a", "b"))
	must(t, d.Remove("a"))
	if free, _ := d.Clone().Free("."); free != 9000 {
		t.Fatalf("one of two names removed, free %d", free)
	}
	must(t, d.Remove("b"))
	if free, _ := d.Free("."); free != 10000 {
		t.Fatalf("all names removed, free %d", free)
	}
}

func TestCounts(t *testing.T) {
	d := New(1)
	f := create(t, d, "a")
	put(t, f, "12345", 0)
	must(t, f.SyncData())
	must(t, d.SyncDir("."))
	if _, err := f.ReadAt(make([]byte, 9), 0); err != io.EOF {
		t.Fatal(err)
	}
	want := Counts{Reads: 1, Writes: 1, Syncs: 1, DirSyncs: 1, ReadBytes: 5, WrittenBytes: 5}
	if got := d.Counts(); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestOverwritingWithZeros(t *testing.T) {
	d := New(1)
	f := create(t, d, "a")
	put(t, f, strings.Repeat("x", 3*pageBytes), 0)
	must(t, f.SyncData())
	must(t, d.SyncDir("."))
	put(t, f, string(make([]byte, pageBytes+10)), pageBytes-5)
	want := bytes.Repeat([]byte("x"), 3*pageBytes)
	clear(want[pageBytes-5 : 2*pageBytes+5])
	if got := content(t, d, "a"); got != string(want) {
		t.Fatal("zeros are not where they were written")
	}
	if got := content(t, d.CrashKeepSynced(), "a"); got != strings.Repeat("x", 3*pageBytes) {
		t.Fatal("zeros survived without a sync")
	}
}

// The work of a simulation: a preallocated segment, some batches, a crash.
func BenchmarkCrashOfAPreallocatedFile(b *testing.B) {
	d := New(1)
	f := create(b, d, "a")
	chunk := make([]byte, 1<<20)
	for i := range int64(64) {
		_, err := f.WriteAt(chunk, i<<20)
		must(b, err)
	}
	must(b, f.SyncData())
	must(b, d.SyncDir("."))
	at := int64(0)
	batch := bytes.Repeat([]byte("x"), 3000)
	b.ReportAllocs()
	for b.Loop() {
		f, err := d.Open("a")
		must(b, err)
		for range 4 {
			_, err = f.WriteAt(batch, at%(60<<20))
			must(b, err)
			must(b, f.SyncData())
			at += 3000
		}
		_, err = f.WriteAt(batch, at%(60<<20))
		must(b, err)
		d = d.Crash()
	}
}
