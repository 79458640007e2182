package seglog

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/gesta-db/gesta/internal/vfs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
)

var update = flag.Bool("update", false, "write the golden files of the format anew: only before its first release")

// goldenLog makes a log that has one of everything.
func goldenLog(t *testing.T) (*crashfs.FS, *Log, []Entry) {
	disk := crashfs.New(1)
	o := testOptions(disk)
	l, _ := mustOpen(t, o)
	for len(l.Segments()) < 3 {
		if err := l.Append(entriesFor(l.Last(), 5, 1+l.Last()/20), l.Last()); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Seal(1); err != nil {
		t.Fatal(err)
	}
	if err := l.Mark(l.Last()); err != nil {
		t.Fatal(err)
	}
	end := l.tail.end
	mustAppend(t, l, 2, 9)
	if err := disk.Flip(l.tail.file.path, end+batchHeader); err != nil {
		t.Fatal(err)
	}
	l, _ = mustOpen(t, o) // leaves the note of a cut
	mustAppend(t, l, 1, 10)
	return disk, l, entries(t, l)
}

func entries(t *testing.T, l *Log) []Entry {
	t.Helper()
	all, err := l.Entries(1, l.Last()+1, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A log of format 1 is written byte for byte as ever, and one that was written ever opens.
func TestGoldenFormat1(t *testing.T) {
	disk, l, want := goldenLog(t)
	folder := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, s := range l.Segments() {
		now, err := disk.Bytes(filepath.Join("data/0001", s.Name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "format1", s.Name+".gz")
		if *update {
			writeGolden(t, path, now)
		}
		golden := readGolden(t, path)
		if !bytes.Equal(now, golden) {
			t.Errorf("%s is written differently from format 1: a new format needs a new version", s.Name)
		}
		if err := os.WriteFile(filepath.Join(folder, s.Name), golden, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := testOptions(vfs.OS())
	o.Dir = folder
	opened, rec := mustOpen(t, o)
	checkHolds(t, opened, want)
	if rec.Doubt == 0 || rec.Commit != 40 {
		t.Errorf("recovery of format 1: %+v", rec)
	}
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, o, opened.Last())
}

func writeGolden(t *testing.T, path string, b []byte) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readGolden(t *testing.T, path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
