package seglog

import (
	"path/filepath"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

// salvaged opens a damaged log and holds that what it serves is a beginning of what was written, that what is gone was named, and that
// the next open remembers.
func salvaged(t *testing.T, disk *crashfs.FS, want []Entry) *Cut {
	t.Helper()
	o := testOptions(disk)
	o.Salvage = true
	l, rec, err := Open(o)
	if err != nil {
		wantCode(t, err, errs.Corrupt)
		return nil
	}
	last := uint64(len(want))
	if l.Last() < last && (rec.Cut == nil || rec.Cut.HighestIndex < last || rec.Doubt < last) {
		t.Fatalf("the log ends with %d of %d: %+v, doubt %d", l.Last(), last, rec.Cut, rec.Doubt)
	}
	checkHolds(t, l, want[:l.Last()])
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, again := mustOpen(t, testOptions(disk))
	if again.Cut != nil || again.Doubt != rec.Doubt {
		t.Fatalf("opened again: %+v, before %+v", again, rec)
	}
	mustAppend(t, l, 30, 20)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return rec.Cut
}

// TestSalvage damages the last segment everywhere behind its header page, and cuts its file at every length.
func TestSalvage(t *testing.T) {
	made, list, want, _ := threeKinds(t)
	active := list[len(list)-1]
	path := filepath.Join("data/0001", active.Name)
	sure := 0
	for at := int64(HeaderBytes); at < active.Bytes; at += 7 {
		disk := made.Clone()
		if err := disk.Flip(path, at); err != nil {
			t.Fatal(err)
		}
		_, _, err := Open(testOptions(disk.Clone()))
		cut := salvaged(t, disk, want)
		if err != nil {
			sure++
		}
		if cut == nil {
			t.Fatalf("byte %d: it was not opened, or nothing was said", at)
		}
	}
	if sure < 10 {
		t.Fatalf("%d places of damage that no torn write can be", sure)
	}
	for size := int64(HeaderBytes); size < active.Bytes; size += 61 {
		disk := made.Clone()
		f, err := disk.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		if err := f.SyncData(); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		if cut := salvaged(t, disk, want); cut == nil {
			t.Fatalf("size %d: it was not opened, or nothing was said", size)
		}
	}
}

// TestSalvageThroughEveryCrash cuts the power at every operation of it: the next one does it again.
func TestSalvageThroughEveryCrash(t *testing.T) {
	made, list, want, _ := threeKinds(t)
	active := list[len(list)-1]
	if err := made.Flip(filepath.Join("data/0001", active.Name), HeaderBytes+100); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		disk := made.Clone()
		faults := faultfs.New(disk)
		faults.FailNth(n)
		o := testOptions(faults)
		o.Salvage = true
		l, _, failed := Open(o)
		if failed == nil {
			_ = l.Close()
		}
		for _, crashed := range []*crashfs.FS{disk.CrashKeepSynced(), disk.CrashKeepAll(), disk.Crash()} {
			o := testOptions(crashed)
			o.Salvage = true
			l, rec := mustOpen(t, o)
			if rec.Doubt < uint64(len(want)) {
				t.Fatalf("operation %d: doubt %d, want at least %d", n, rec.Doubt, len(want))
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if failed == nil {
			return
		}
	}
}
