package seglog

import (
	"syscall"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

// A full disk stops appends before anything is written, and they go on when there is space: no reopening, nothing lost.
func TestDiskFullAndFreeAgain(t *testing.T) {
	disk := crashfs.New(1)
	disk.SetCapacity(40 << 10)
	o := testOptions(disk)
	l, _ := mustOpen(t, o)
	var want []Entry
	for {
		more := entriesFor(l.Last(), 3, 1)
		err := l.Append(more, 0)
		if err != nil {
			wantCode(t, err, errs.NoSpace)
			break
		}
		want = append(want, more...)
	}
	wantCode(t, l.Prepare(), errs.NoSpace)
	checkHolds(t, l, want)
	disk.SetCapacity(1 << 30)
	more := entriesFor(l.Last(), 100, 1)
	if err := l.Append(more, 0); err != nil {
		t.Fatal(err)
	}
	want = append(want, more...)
	checkHolds(t, l, want)
	l, rec := mustOpen(t, o)
	if rec.Cut != nil {
		t.Fatal(rec.Cut)
	}
	checkHolds(t, l, want)
}

// Whatever write meets a full disk, the code says so, and after a reopening everything acknowledged is there.
func TestNoSpaceAtAnyWrite(t *testing.T) {
	steps := script()
	for n := 0; ; n += sample {
		disk := crashfs.New(uint64(n))
		faulty := faultfs.New(disk)
		o := testOptions(faulty)
		l, _ := mustOpen(t, o)
		faulty.Fail(faultfs.Rule{Op: faultfs.Write | faultfs.Create | faultfs.SyncData, After: n, Times: 1, Err: syscall.ENOSPC, Short: 100})
		x, at, err := play(l, steps)
		if err == nil {
			return
		}
		wantCode(t, err, errs.NoSpace)
		poisoned := l.usable() != nil
		if !poisoned {
			// The log takes writes still: what was asked for is possible now, but for a part of an append.
			if err := at.call(l); err != nil {
				t.Fatalf("%s again after %v: %v", at.name, n, err)
			}
			x.done(at)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, _ = mustOpen(t, o)
		if err := x.check(l); err != nil {
			t.Fatalf("%s at write %d, poisoned %v: %v", at.name, n, poisoned, err)
		}
	}
}

func TestSyncThatFailsWithNoSpacePoisons(t *testing.T) {
	faulty := faultfs.New(crashfs.New(1))
	var told error
	o := testOptions(faulty)
	o.Listener = &Listener{Poisoned: func(err error) { told = err }}
	l, _ := mustOpen(t, o)
	mustAppend(t, l, 2, 1)
	faulty.Fail(faultfs.Rule{Op: faultfs.SyncData, Times: 1, Err: syscall.ENOSPC})
	err := l.Append(entriesFor(2, 1, 1), 0)
	wantCode(t, err, errs.NoSpace)
	if told == nil || l.Mark(0) != told || l.Append(entriesFor(2, 1, 1), 0) != told {
		t.Fatal("a failed sync does not poison:", told)
	}
	if l.Last() != 2 {
		t.Fatal("readers see what is not known to be durable")
	}
	checkHolds(t, l, entriesFor(0, 2, 1))
}
