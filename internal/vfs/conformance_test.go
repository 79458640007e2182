package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

// Every implementation meets the same expectations.
func TestConformance(t *testing.T) {
	disks := map[string]func() vfs.FS{
		"os":      vfs.OS,
		"crashfs": func() vfs.FS { return crashfs.New(1) },
		"faultfs": func() vfs.FS { return faultfs.New(vfs.OS()) },
	}
	for name, disk := range disks {
		for _, c := range conformance {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				d := disk()
				dir := filepath.Join(t.TempDir(), "disk")
				must(t, d.MkdirAll(dir))
				c.run(t, d, dir)
			})
		}
	}
}

var conformance = []struct {
	name string
	run  func(t *testing.T, d vfs.FS, dir string)
}{
	{"bytes are read where they were written", readBack},
	{"a gap reads as zeros", gap},
	{"reading past the end is EOF", pastEnd},
	{"truncate cuts, and extends with zeros", truncates},
	{"create refuses an existing name", createExisting},
	{"open refuses a missing name and a folder", openMissing},
	{"rename replaces", renames},
	{"rename moves between folders", renamesAcross},
	{"link shares bytes", links},
	{"remove keeps open files readable", removes},
	{"remove refuses a folder in use", removeFull},
	{"removeall takes a tree, and nothing in peace", removeAll},
	{"mkdirall makes what is missing", mkdirs},
	{"list is sorted", lists},
	{"stat tells size and kind", stats},
	{"lock is exclusive until closed", locks},
	{"free tells bytes", frees},
	{"a closed file refuses", closed},
	{"syncdir wants a folder", syncDirs},
	{"readers run beside a writer", concurrent},
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, d vfs.FS, name, text string) {
	t.Helper()
	f, err := d.Create(name)
	must(t, err)
	_, err = f.WriteAt([]byte(text), 0)
	must(t, err)
	must(t, f.SyncData())
	must(t, f.Close())
}

func read(t testing.TB, d vfs.FS, name string) string {
	t.Helper()
	f, err := d.Open(name)
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n != len(b) || (err != nil && err != io.EOF) {
		t.Fatalf("read %d of %d bytes of %s: %v", n, len(b), name, err)
	}
	return string(b)
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func readBack(t *testing.T, d vfs.FS, dir string) {
	f, err := d.Create(filepath.Join(dir, "a"))
	must(t, err)
	defer f.Close()
	long := bytes.Repeat([]byte("0123456789"), 3000)
	for _, at := range []int64{0, 5, 4090, 20000} {
		n, err := f.WriteAt(long, at)
		must(t, err)
		if n != len(long) {
			t.Fatalf("wrote %d of %d", n, len(long))
		}
		got := make([]byte, len(long))
		if n, err := f.ReadAt(got, at); n != len(got) || (err != nil && err != io.EOF) || !bytes.Equal(got, long) {
			t.Fatalf("at %d: read %d bytes, %v, or other bytes", at, n, err)
		}
	}
	must(t, f.SyncData())
	if size, err := f.Size(); err != nil || size != 50000 {
		t.Fatalf("size %d, %v", size, err)
	}
}

func gap(t *testing.T, d vfs.FS, dir string) {
	name := filepath.Join(dir, "a")
	f, err := d.Create(name)
	must(t, err)
	_, err = f.WriteAt([]byte("end"), 9000)
	must(t, err)
	must(t, f.Close())
	if got, want := read(t, d, name), string(make([]byte, 9000))+"end"; got != want {
		t.Fatal("the gap is not zeros")
	}
}

func pastEnd(t *testing.T, d vfs.FS, dir string) {
	name := filepath.Join(dir, "a")
	write(t, d, name, "12345")
	f, err := d.Open(name)
	must(t, err)
	defer f.Close()
	b := make([]byte, 10)
	if n, err := f.ReadAt(b, 3); n != 2 || err != io.EOF {
		t.Fatalf("across the end: %d, %v", n, err)
	}
	if n, err := f.ReadAt(b, 99); n != 0 || err != io.EOF {
		t.Fatalf("past the end: %d, %v", n, err)
	}
	if _, err := f.ReadAt(b, -1); err == nil {
		t.Fatal("read before the start")
	}
	if _, err := f.WriteAt(b, -1); err == nil {
		t.Fatal("wrote before the start")
	}
}

func truncates(t *testing.T, d vfs.FS, dir string) {
	name := filepath.Join(dir, "a")
	write(t, d, name, "1234567890")
	f, err := d.Open(name)
	must(t, err)
	must(t, f.Truncate(4))
	must(t, f.Truncate(6))
	must(t, f.SyncData())
	must(t, f.Close())
	if got := read(t, d, name); got != "1234\x00\x00" {
		t.Fatalf("got %q", got)
	}
}

func createExisting(t *testing.T, d vfs.FS, dir string) {
	name := filepath.Join(dir, "a")
	write(t, d, name, "first")
	_, err := d.Create(name)
	wantErr(t, err, fs.ErrExist)
	_, err = d.Create(filepath.Join(dir, "none", "a"))
	wantErr(t, err, fs.ErrNotExist)
	if got := read(t, d, name); got != "first" {
		t.Fatalf("create changed the file to %q", got)
	}
}

func openMissing(t *testing.T, d vfs.FS, dir string) {
	_, err := d.Open(filepath.Join(dir, "none"))
	wantErr(t, err, fs.ErrNotExist)
	if _, err := d.Open(dir); err == nil {
		t.Fatal("opened a folder as a file")
	}
}

func renames(t *testing.T, d vfs.FS, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, d, a, "new")
	write(t, d, b, "old")
	must(t, d.Rename(a, b))
	must(t, d.SyncDir(dir))
	_, err := d.Open(a)
	wantErr(t, err, fs.ErrNotExist)
	if got := read(t, d, b); got != "new" {
		t.Fatalf("got %q", got)
	}
	wantErr(t, d.Rename(a, b), fs.ErrNotExist)
}

func renamesAcross(t *testing.T, d vfs.FS, dir string) {
	sub := filepath.Join(dir, "sub")
	must(t, d.MkdirAll(sub))
	write(t, d, filepath.Join(dir, "a"), "moved")
	must(t, d.Rename(filepath.Join(dir, "a"), filepath.Join(sub, "b")))
	if got := read(t, d, filepath.Join(sub, "b")); got != "moved" {
		t.Fatalf("got %q", got)
	}
	must(t, d.Rename(sub, filepath.Join(dir, "other")))
	if got := read(t, d, filepath.Join(dir, "other", "b")); got != "moved" {
		t.Fatalf("after the folder's rename: %q", got)
	}
}

func links(t *testing.T, d vfs.FS, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, d, a, "same")
	must(t, d.Link(a, b))
	wantErr(t, d.Link(a, b), fs.ErrExist)
	wantErr(t, d.Link(filepath.Join(dir, "none"), filepath.Join(dir, "c")), fs.ErrNotExist)
	must(t, d.Remove(a))
	if got := read(t, d, b); got != "same" {
		t.Fatalf("got %q", got)
	}
}

func removes(t *testing.T, d vfs.FS, dir string) {
	name := filepath.Join(dir, "a")
	write(t, d, name, "still here")
	f, err := d.Open(name)
	must(t, err)
	defer f.Close()
	must(t, d.Remove(name))
	wantErr(t, d.Remove(name), fs.ErrNotExist)
	b := make([]byte, 10)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "still here" {
		t.Fatalf("the open file reads %q, %v", b, err)
	}
}

func removeFull(t *testing.T, d vfs.FS, dir string) {
	write(t, d, filepath.Join(dir, "a"), "x")
	if err := d.Remove(dir); err == nil {
		t.Fatal("removed a folder with a file in it")
	}
	must(t, d.Remove(filepath.Join(dir, "a")))
	must(t, d.Remove(dir))
}

func removeAll(t *testing.T, d vfs.FS, dir string) {
	must(t, d.MkdirAll(filepath.Join(dir, "x", "y")))
	write(t, d, filepath.Join(dir, "x", "y", "a"), "x")
	must(t, d.RemoveAll(filepath.Join(dir, "x")))
	must(t, d.RemoveAll(filepath.Join(dir, "x")))
	must(t, d.RemoveAll(filepath.Join(dir, "none", "of", "it")))
	if names, err := d.List(dir); err != nil || len(names) != 0 {
		t.Fatalf("left %v, %v", names, err)
	}
}

func mkdirs(t *testing.T, d vfs.FS, dir string) {
	deep := filepath.Join(dir, "x", "y", "z")
	must(t, d.MkdirAll(deep))
	must(t, d.MkdirAll(deep))
	write(t, d, filepath.Join(deep, "a"), "x")
	if err := d.MkdirAll(filepath.Join(deep, "a", "b")); err == nil {
		t.Fatal("made a folder under a file")
	}
}

func lists(t *testing.T, d vfs.FS, dir string) {
	for _, name := range []string{"b", "c", "a"} {
		write(t, d, filepath.Join(dir, name), name)
	}
	must(t, d.MkdirAll(filepath.Join(dir, "aa")))
	names, err := d.List(dir)
	must(t, err)
	if want := []string{"a", "aa", "b", "c"}; !slices.Equal(names, want) {
		t.Fatalf("got %v, want %v", names, want)
	}
	_, err = d.List(filepath.Join(dir, "none"))
	wantErr(t, err, fs.ErrNotExist)
}

func stats(t *testing.T, d vfs.FS, dir string) {
	write(t, d, filepath.Join(dir, "a"), "12345")
	info, err := d.Stat(filepath.Join(dir, "a"))
	must(t, err)
	if info.Size() != 5 || info.IsDir() || info.Name() != "a" {
		t.Fatalf("got %v %d %v", info.Name(), info.Size(), info.IsDir())
	}
	if info, err = d.Stat(dir); err != nil || !info.IsDir() {
		t.Fatalf("the folder: %v, %v", info, err)
	}
	_, err = d.Stat(filepath.Join(dir, "none"))
	wantErr(t, err, fs.ErrNotExist)
}

func locks(t *testing.T, d vfs.FS, dir string) {
	name := filepath.Join(dir, "lock")
	held, err := d.Lock(name)
	must(t, err)
	_, err = d.Lock(name)
	if errs.CodeOf(err) != errs.Unavailable {
		t.Fatalf("a second lock: %v", err)
	}
	must(t, held.Close())
	again, err := d.Lock(name)
	must(t, err)
	must(t, again.Close())
}

func frees(t *testing.T, d vfs.FS, dir string) {
	if n, err := d.Free(dir); err != nil || n == 0 {
		t.Fatalf("got %d, %v", n, err)
	}
	_, err := d.Free(filepath.Join(dir, "none"))
	wantErr(t, err, fs.ErrNotExist)
}

func closed(t *testing.T, d vfs.FS, dir string) {
	f, err := d.Create(filepath.Join(dir, "a"))
	must(t, err)
	must(t, f.Close())
	_, err = f.WriteAt([]byte("x"), 0)
	wantErr(t, err, fs.ErrClosed)
	_, err = f.ReadAt(make([]byte, 1), 0)
	wantErr(t, err, fs.ErrClosed)
	wantErr(t, f.SyncData(), fs.ErrClosed)
	wantErr(t, f.Truncate(0), fs.ErrClosed)
	wantErr(t, f.Close(), fs.ErrClosed)
}

func syncDirs(t *testing.T, d vfs.FS, dir string) {
	must(t, d.SyncDir(dir))
	wantErr(t, d.SyncDir(filepath.Join(dir, "none")), fs.ErrNotExist)
}

func concurrent(t *testing.T, d vfs.FS, dir string) {
	f, err := d.Create(filepath.Join(dir, "a"))
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(1<<16))
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			b := make([]byte, 512)
			for i := range 200 {
				if _, err := f.ReadAt(b, int64(i)*16); err != nil {
					t.Errorf("read: %v", err)
				}
			}
		})
	}
	for i := range 200 {
		_, err := f.WriteAt(bytes.Repeat([]byte{byte(i)}, 300), int64(i)*300)
		must(t, err)
	}
	readers.Wait()
}
