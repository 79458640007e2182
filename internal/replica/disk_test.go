package replica

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openDisk(t *testing.T, fsys vfs.FS) *Disk {
	t.Helper()
	d, err := OpenDisk(seglog.Options{FS: fsys, Dir: "log", Shard: 1, SegmentBytes: 4 << 10}, []uint64{1})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// write makes the write of one entry.
func write(index, term uint64, size int) *Write {
	data := seglog.AppendRecord(nil, 1, index, 1, make([]byte, size))
	return &Write{entries: []*pb.Entry{toPB(seglog.Entry{Index: index, Term: term, Data: data})}, commit: index - 1}
}

// TestPumpWaitsForSpace fills the disk under a pump: nothing is answered, the owner is told, and when space returns everything is
// stored once, in order.
func TestPumpWaitsForSpace(t *testing.T) {
	disk := crashfs.New(1)
	d := openDisk(t, disk)
	stored, full := make(chan []*Write, 100), make(chan error, 100)
	p := NewPump(d, func(ws []*Write, err error) {
		if err != nil {
			t.Error(err)
		}
		stored <- ws
	}, nil)
	p.Full = func(err error) { full <- err }
	free, err := disk.Free(".")
	if err != nil {
		t.Fatal(err)
	}
	disk.SetCapacity(crashfs.DefaultCapacity - free)
	done := make(chan struct{})
	go func() { defer close(done); p.Run() }()
	const writes = 20
	for i := range uint64(writes) {
		p.Add([]*Write{write(i+1, 1, 500)})
	}
	if err := <-full; errs.CodeOf(err) != errs.NoSpace {
		t.Fatal(err)
	}
	disk.SetCapacity(crashfs.DefaultCapacity)
	for n := 0; n < writes; {
		n += len(<-stored)
	}
	if err := <-full; err != nil {
		t.Fatalf("space returned, and the owner is told %v", err)
	}
	p.Close()
	<-done
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openDisk(t, disk.CrashKeepSynced())
	if last := d.Log.Last(); last != writes {
		t.Fatalf("%d entries, want %d", last, writes)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestPumpStopsAtAFailure fails a sync: the owner is told once, and nothing more is stored.
func TestPumpStopsAtAFailure(t *testing.T) {
	faults := faultfs.New(crashfs.New(1))
	d := openDisk(t, faults)
	failed := make(chan error, 100)
	p := NewPump(d, func(_ []*Write, err error) { failed <- err }, nil)
	no := errors.New("the disk says no")
	faults.Fail(faultfs.Rule{Op: faultfs.SyncData, Err: no})
	p.Add([]*Write{write(1, 1, 10)})
	p.Run() // it ends by itself
	if err := <-failed; !errors.Is(err, no) || len(failed) > 0 {
		t.Fatal(err)
	}
	_ = d.Close()
}

// TestStoreAgain stores the same writes twice, as after a full disk, and then those of another term, which replace them.
func TestStoreAgain(t *testing.T) {
	d := openDisk(t, crashfs.New(1))
	open := func(index, term uint64) *Write {
		w := write(index, term, 10)
		w.commit = 0 // nothing of it is committed yet
		return w
	}
	first := []*Write{open(1, 1), open(2, 1), open(3, 1)}
	for range 2 {
		if err := d.Store(first); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Store([]*Write{open(3, 1), open(4, 1)}); err != nil {
		t.Fatal(err)
	}
	if err := d.Store([]*Write{open(2, 2)}); err != nil {
		t.Fatal(err)
	}
	term, err := d.Log.Term(2)
	if last := d.Log.Last(); err != nil || last != 2 || term != 2 {
		t.Fatalf("the log ends with %d, term %d, %v", last, term, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLogGone removes every segment beside a hard state: that is not a new replica.
func TestLogGone(t *testing.T) {
	disk := crashfs.New(1)
	if err := openDisk(t, disk).Close(); err != nil {
		t.Fatal(err)
	}
	names, err := disk.List("log")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if filepath.Ext(name) == ".seg" {
			if err := disk.Remove(filepath.Join("log", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = OpenDisk(seglog.Options{FS: disk, Dir: "log", Shard: 1, SegmentBytes: 4 << 10}, []uint64{1})
	if errs.CodeOf(err) != errs.Corrupt {
		t.Fatal(err)
	}
}

// TestOpensThroughEveryCrash cuts the power at every operation of the first open: the next one succeeds.
func TestOpensThroughEveryCrash(t *testing.T) {
	for n := 1; ; n++ {
		disk := crashfs.New(uint64(n))
		faults := faultfs.New(disk)
		faults.FailNth(n)
		d, err := OpenDisk(seglog.Options{FS: faults, Dir: "log", Shard: 1, SegmentBytes: 4 << 10}, []uint64{1})
		if err == nil {
			_ = d.Close()
		}
		for i, crashed := range []*crashfs.FS{disk.CrashKeepSynced(), disk.CrashKeepAll(), disk.Crash()} {
			d, err := OpenDisk(seglog.Options{FS: crashed, Dir: "log", Shard: 1, SegmentBytes: 4 << 10}, []uint64{1})
			if err != nil {
				t.Fatalf("operation %d, crash %d: %v", n, i, err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err == nil {
			return
		}
	}
}

// TestVerifyStateNamesEachCopy flips every byte of both copies: the check names the copy, opening goes on with the other, and after it
// both are whole.
func TestVerifyStateNamesEachCopy(t *testing.T) {
	disk := crashfs.New(1)
	s, err := openState(disk, stateName, true, []uint64{1})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(HardState{Term: 7, Vote: 1}); err != nil {
		t.Fatal(err)
	}
	if err := VerifyState(disk, "."); err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < 2*slotBytes; at += 13 {
		one := disk.Clone()
		if err := one.Flip(stateName, at); err != nil {
			t.Fatal(err)
		}
		err := VerifyState(one, ".")
		if want := fmt.Sprint(at / slotBytes * slotBytes); errs.CodeOf(err) != errs.Corrupt || errs.As(err).Details["offset"] != want {
			t.Fatalf("byte %d: %v, want offset %s", at, err, want)
		}
		got, err := openState(one, stateName, false, nil)
		if err != nil || got.Load().Term != 7 {
			t.Fatalf("byte %d: %v", at, err)
		}
		if err := VerifyState(one, "."); err != nil {
			t.Fatalf("byte %d, opened: %v", at, err)
		}
	}
}

// TestSalvageNeedsPeers damages the middle of a log: among several voters it is cut there and doubted, alone it is not opened.
func TestSalvageNeedsPeers(t *testing.T) {
	for _, voters := range [][]uint64{{1}, {1, 2, 3}} {
		disk := crashfs.New(1)
		o := seglog.Options{FS: disk, Dir: "log", Shard: 1, SegmentBytes: 4 << 10, Salvage: true}
		d, err := OpenDisk(o, voters)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(5) {
			if err := d.Store([]*Write{write(i+1, 3, 100)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := disk.Flip("log/00000000000000000001.seg", 4096+300); err != nil {
			t.Fatal(err)
		}
		d, err = OpenDisk(o, voters)
		if len(voters) == 1 {
			if errs.CodeOf(err) != errs.Corrupt {
				t.Fatalf("alone: %v", err)
			}
			continue
		}
		if err != nil || d.Log.Last() != 1 || d.Cut == nil || d.Doubt() < 5 {
			t.Fatalf("%v, last %d, cut %+v, doubt %d", err, d.Log.Last(), d.Cut, d.Doubt())
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
