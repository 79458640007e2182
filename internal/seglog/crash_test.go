package seglog

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

// step is one call on the log, and what it does to the entries that the log must hold.
type step struct {
	name string
	call func(l *Log) error
	// add are the entries that the call appends; from, if not 0, is where it truncates; trim what it trims below.
	add        []Entry
	from, trim uint64
}

// script is a workload that goes through every write path of the log.
func script() []step {
	var steps []step
	var have []Entry
	commit := uint64(0)
	do := func(name string, call func(l *Log) error) { steps = append(steps, step{name: name, call: call}) }
	add := func(n int, term uint64) {
		more := entriesFor(uint64(len(have)), n, term)
		have = append(have, more...)
		at := commit
		steps = append(steps, step{name: "append", add: more, call: func(l *Log) error { return l.Append(more, at) }})
	}
	mark := func() {
		at := commit
		do("mark", func(l *Log) error { return l.Mark(at) })
	}
	truncate := func(from uint64) {
		have = have[:from-1]
		steps = append(steps, step{name: "truncate", from: from, call: func(l *Log) error { return l.Truncate(from) }})
	}
	seal := func() {
		at := commit
		do("seal", func(l *Log) error {
			for _, s := range l.Segments() {
				if s.Full && !s.Sealed && s.Last <= at && s.Last < l.Last() {
					return l.Seal(s.First)
				}
			}
			return nil
		})
	}
	add(3, 1)
	mark()
	add(20, 1)
	do("prepare", (*Log).Prepare)
	add(40, 2) // rolls onto the prepared file
	add(60, 2) // rolls without one
	truncate(uint64(len(have)) - 70)
	add(5, 3)
	mark()
	truncate(uint64(len(have)) - 2)
	do("prepare", (*Log).Prepare)
	add(30, 4)
	truncate(uint64(len(have)) - 3) // rewrites onto the prepared file
	commit = uint64(len(have))
	mark()
	add(70, 5)
	seal()
	seal()
	truncate(commit + 1)
	add(60, 6)
	commit = uint64(len(have))
	seal()
	low := uint64(90)
	steps = append(steps, step{name: "trim", trim: low, call: func(l *Log) error { return l.Trim(low) }})
	add(10, 7)
	do("close", (*Log).Close)
	return steps
}

// expectation is what the log may hold: all of have, up to some index of cut to len(have).
type expectation struct {
	have []Entry
	min  int    // at least so many of them
	trim uint64 // the first may be up to here
}

func (x *expectation) begin(s step) {
	if s.from > 0 {
		x.min = int(s.from - 1)
	}
	x.have = append(slices.Clone(x.have), s.add...)
	x.trim = max(x.trim, s.trim)
}

func (x *expectation) done(s step) {
	if s.from > 0 {
		x.have = slices.Clone(x.have[:s.from-1])
	}
	x.min = len(x.have)
}

// check compares a log found after a crash.
func (x *expectation) check(l *Log) error {
	n := int(l.Last())
	if n < x.min || n > len(x.have) {
		return fmt.Errorf("the log ends with %d, want %d to %d", n, x.min, len(x.have))
	}
	if l.First() > max(x.trim, 1) {
		return fmt.Errorf("the log begins with %d, trimmed was below %d", l.First(), x.trim)
	}
	return holds(l, x.have[min(int(l.First()-1), n):n])
}

// play goes through the script until a call fails, and tells what the log may hold then.
func play(l *Log, steps []step) (x expectation, at step, err error) {
	for _, s := range steps {
		x.begin(s)
		if err := s.call(l); err != nil {
			return x, s, err
		}
		x.done(s)
	}
	return x, step{}, nil
}

// survives opens the log after a crash, checks it, goes on with it, and opens it again.
func survives(t *testing.T, disk *crashfs.FS, x *expectation) {
	t.Helper()
	o := testOptions(disk)
	l, rec, err := Open(o)
	if err != nil {
		t.Fatalf("open after a crash: %v", err)
	}
	if err := x.check(l); err != nil {
		t.Fatalf("%v (%v)", err, rec.Cut)
	}
	if rec.Commit > l.Last() || rec.Cut != nil && (rec.Cut.HighestIndex < l.Last() || rec.Doubt < rec.Cut.HighestIndex && rec.Doubt != 0) {
		t.Fatalf("recovery %v, %v", rec, rec.Cut)
	}
	n := int(l.Last())
	if n > x.min && rec.Cut != nil && rec.Cut.HighestIndex < uint64(x.min) {
		t.Fatalf("a cut of at most %d lost acknowledged entries", rec.Cut.HighestIndex)
	}
	more := entriesFor(uint64(n), 40, 50)
	if err := l.Append(more, uint64(n)); err != nil {
		t.Fatal(err)
	}
	want := append(slices.Clone(x.have[l.First()-1:n]), more...)
	sealFull(t, l)
	checkHolds(t, l, want)
	again := disk.CrashKeepSynced()
	o.FS = again
	mustVerify(t, o, l.Last())
	l, rec = mustOpen(t, o)
	if rec.Cut != nil {
		t.Fatalf("a cut of what was acknowledged: %v", rec.Cut)
	}
	checkHolds(t, l, want)
}

func sealFull(t *testing.T, l *Log) {
	t.Helper()
	for _, s := range l.Segments() {
		if s.Full && s.Last < l.Last() {
			if err := l.Seal(s.First); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Power is cut at every write, sync and change of names of the script, with several outcomes each. In between operation n and
// n+1 is after operation n, so every boundary is met.
func TestPowerCutAnywhere(t *testing.T) {
	t.Parallel()
	steps := script()
	for n := 1; ; n++ {
		disk := crashfs.New(uint64(n))
		faulty := faultfs.New(disk)
		faulty.FailNth(n)
		o := testOptions(faulty)
		var x expectation
		var at step
		l, _, err := Open(o)
		if err == nil {
			x, at, err = play(l, steps)
		}
		if err == nil {
			if n < 150 {
				t.Fatalf("the script has only %d operations", n)
			}
			return
		}
		for i := range 5 {
			if (n+i)%sample != 0 {
				continue
			}
			was := disk.Clone()
			was.Reseed(uint64(1000*n + i))
			after := was.Crash()
			switch i {
			case 0:
				after = disk.Clone().CrashKeepSynced()
			case 1:
				after = disk.Clone().CrashKeepAll()
			}
			t.Run(fmt.Sprintf("%s/%d/%d", at.name, n, i), func(t *testing.T) { survives(t, after, &x) })
		}
		if t.Failed() {
			return
		}
	}
}

// An operation fails, the process lives: whatever the log says then must be true.
func TestAnyOperationFails(t *testing.T) {
	steps := script()
	for n := 1; ; n += sample {
		disk := crashfs.New(uint64(n))
		faulty := faultfs.New(disk)
		o := testOptions(faulty)
		l, _ := mustOpen(t, o)
		faulty.FailNth(n)
		x, at, err := play(l, steps)
		if err == nil {
			return
		}
		faulty.Heal()
		t.Run(fmt.Sprintf("%s/%d", at.name, n), func(t *testing.T) { failsWell(t, l, o, &x, at, err) })
		if t.Failed() {
			return
		}
	}
}

func failsWell(t *testing.T, l *Log, o Options, x *expectation, at step, failed error) {
	if code := errs.CodeOf(failed); code != errs.Unavailable {
		t.Fatalf("%s fails with %s: %v", at.name, code, failed)
	}
	if poison := l.usable(); poison != nil && at.name != "close" {
		for _, call := range []func() error{
			func() error { return l.Append(entriesFor(l.Last(), 1, 60), 0) }, func() error { return l.Mark(0) },
			func() error { return l.Truncate(1) }, func() error { return l.Trim(60) }, l.Prepare,
			func() error { return l.Seal(1) },
		} {
			if err := call(); !errors.Is(err, poison) {
				t.Fatalf("a poisoned log answers %v, not %v", err, poison)
			}
		}
	}
	if at.name != "close" {
		shown := *x
		shown.min = min(shown.min, int(l.Last()))
		if err := shown.check(l); err != nil {
			t.Fatalf("reads after a failure: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l, rec := mustOpen(t, o)
	if rec.Cut != nil && rec.Cut.HighestIndex <= uint64(x.min) && len(x.have) > x.min {
		t.Fatalf("cut %v though %d were acknowledged", rec.Cut, x.min)
	}
	if err := x.check(l); err != nil {
		t.Fatal(err)
	}
}

// Power is cut while Open cuts a torn batch: what it may have held stays known, and nothing else is lost.
func TestPowerCutDuringRecovery(t *testing.T) {
	torn := crashfs.New(1)
	l, _ := mustOpen(t, testOptions(torn))
	have := entriesFor(0, 6, 1)
	if err := l.Append(have, 0); err != nil {
		t.Fatal(err)
	}
	path, end := l.tail.file.path, l.tail.end
	mustAppend(t, l, 7, 1) // more than a sector
	if err := torn.Flip(path, l.tail.end-9); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		cuts := 0
		for seed := range uint64(40) {
			disk := torn.Clone()
			faulty := faultfs.New(disk)
			faulty.FailNth(n)
			if _, _, err := Open(testOptions(faulty)); err == nil {
				if n < 4 {
					t.Fatalf("recovery took %d operations", n)
				}
				return
			}
			disk.Reseed(seed)
			l, rec := mustOpen(t, testOptions(disk.Crash()))
			checkHolds(t, l, have)
			if rec.Doubt < 13 || rec.Doubt > 6+8 || rec.Cut != nil && rec.Cut.Offset != end && rec.Cut.Offset != end+batchHeader {
				t.Fatalf("after a crash at operation %d: %+v %+v", n, rec, rec.Cut)
			}
			if rec.Cut != nil {
				cuts++
			}
			if _, rec = mustOpen(t, testOptions(l.o.FS)); rec.Cut != nil || rec.Doubt < 13 {
				t.Fatalf("opened again: %+v %+v", rec, rec.Cut)
			}
		}
		if cuts == 0 {
			t.Fatalf("no outcome at operation %d needed a cut", n)
		}
	}
}

// What Open shows is durable, also when the process before was killed between a write or a name and its sync.
func TestWhatOpenShowsIsDurable(t *testing.T) {
	for op, shown := range map[faultfs.Op]int{faultfs.SyncData: 3 + 5, faultfs.SyncDir: 3 + 5} {
		disk := crashfs.New(1)
		faulty := faultfs.New(disk)
		l, _ := mustOpen(t, testOptions(faulty))
		mustAppend(t, l, 3, 1)
		if op == faultfs.SyncDir { // only a roll has one
			for !l.tail.full() {
				mustAppend(t, l, 1, 1)
			}
			shown = int(l.Last()) + 5
		}
		faulty.Fail(faultfs.Rule{Op: op})
		if err := l.Append(entriesFor(l.Last(), 5, 1), 0); err == nil || l.usable() == nil {
			t.Fatal("a failed sync is not told")
		}
		l, _ = mustOpen(t, testOptions(disk))
		if l.Last() != uint64(shown) {
			t.Fatalf("%d entries found, want %d", l.Last(), shown)
		}
		l, rec := mustOpen(t, testOptions(disk.CrashKeepSynced()))
		if l.Last() != uint64(shown) || rec.Cut != nil {
			t.Fatalf("%d of %d entries shown are there: %v", l.Last(), shown, rec.Cut)
		}
	}
}
