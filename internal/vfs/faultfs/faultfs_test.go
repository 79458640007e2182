package faultfs

import (
	"errors"
	"io"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gesta-db/gesta/internal/vfs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newDisk(t *testing.T) (*FS, *crashfs.FS, vfs.File) {
	t.Helper()
	inner := crashfs.New(1)
	d := New(inner)
	f, err := d.Create("a.seg")
	must(t, err)
	return d, inner, f
}

func TestRuleByOperationNameAndCount(t *testing.T) {
	d, _, f := newDisk(t)
	d.Fail(Rule{Op: Write | SyncData, Path: "*.seg", After: 1, Times: 2, Err: syscall.ENOSPC})
	write := func() error {
		_, err := f.WriteAt([]byte("x"), 0)
		return err
	}
	must(t, write())
	if err := write(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the second: %v", err)
	}
	if err := f.SyncData(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the third: %v", err)
	}
	must(t, write())
	other, err := d.Create(filepath.Join("a.idx"))
	must(t, err)
	must(t, other.SyncData())
}

func TestRuleOverTheWholePath(t *testing.T) {
	d, _, _ := newDisk(t)
	must(t, d.MkdirAll("x"))
	d.Fail(Rule{Op: Create, Path: filepath.Join("x", "*")})
	if _, err := d.Create(filepath.Join("x", "a")); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	if _, err := d.Create("b"); err != nil {
		t.Fatal(err)
	}
	if err := d.Rename("b", filepath.Join("x", "b")); err != nil {
		t.Fatalf("a create rule met a rename: %v", err)
	}
}

func TestEveryOperationCanFail(t *testing.T) {
	d, _, f := newDisk(t)
	b := make([]byte, 1)
	ops := map[Op]func() error{
		Create:    func() error { _, err := d.Create("c"); return err },
		Open:      func() error { _, err := d.Open("a.seg"); return err },
		Rename:    func() error { return d.Rename("a.seg", "b.seg") },
		Remove:    func() error { return d.Remove("a.seg") },
		RemoveAll: func() error { return d.RemoveAll("a.seg") },
		MkdirAll:  func() error { return d.MkdirAll("x") },
		Link:      func() error { return d.Link("a.seg", "b.seg") },
		List:      func() error { _, err := d.List("."); return err },
		Stat:      func() error { _, err := d.Stat("a.seg"); return err },
		SyncDir:   func() error { return d.SyncDir(".") },
		Free:      func() error { _, err := d.Free("."); return err },
		Lock:      func() error { _, err := d.Lock("lock"); return err },
		Read:      func() error { _, err := f.ReadAt(b, 0); return err },
		Write:     func() error { _, err := f.WriteAt(b, 0); return err },
		SyncData:  func() error { return f.SyncData() },
		Truncate:  func() error { return f.Truncate(1) },
		Size:      func() error { _, err := f.Size(); return err },
		Close:     func() error { return f.Close() },
	}
	for op := Op(1); op <= Close; op <<= 1 {
		d.Heal()
		d.Fail(Rule{Op: op, Err: syscall.EROFS})
		if err := ops[op](); !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: got %v", op, err)
		}
	}
}

func TestShortWritePassesAPart(t *testing.T) {
	d, inner, f := newDisk(t)
	d.Fail(Rule{Op: Write, Short: 3})
	n, err := f.WriteAt([]byte("12345"), 0)
	if n != 3 || !errors.Is(err, syscall.EIO) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if b, err := inner.Bytes("a.seg"); err != nil || string(b) != "123" {
		t.Fatalf("the inner file has %q, %v", b, err)
	}
}

func TestFailNthAndAllAfter(t *testing.T) {
	d, inner, f := newDisk(t)
	if d.Count() != 1 {
		t.Fatalf("counted %d", d.Count())
	}
	d.FailNth(2)
	_, err := f.WriteAt([]byte("x"), 0)
	must(t, err)
	for range 3 {
		if err := f.SyncData(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("got %v", err)
		}
	}
	if _, err := f.ReadAt(make([]byte, 2), 0); err != io.EOF {
		t.Fatalf("reads go on: %v", err)
	}
	if inner.Counts().Syncs != 0 {
		t.Fatal("a failed sync reached the disk")
	}
	d.Heal()
	must(t, f.SyncData())
	if d.Count() != 6 {
		t.Fatalf("counted %d", d.Count())
	}
}

func TestBlockHoldsUpWithoutFailing(t *testing.T) {
	d, inner, f := newDisk(t)
	reached, release := make(chan struct{}), make(chan struct{})
	d.Fail(Rule{Op: SyncData, Times: 1, Block: func() { close(reached); <-release }})
	done := make(chan error)
	go func() { done <- f.SyncData() }()
	<-reached
	if inner.Counts().Syncs != 0 {
		t.Fatal("the sync did not wait")
	}
	close(release)
	must(t, <-done)
	must(t, f.SyncData())
}

func TestDelay(t *testing.T) {
	d, _, f := newDisk(t)
	d.Fail(Rule{Op: SyncData, Delay: 20 * time.Millisecond})
	start := time.Now()
	must(t, f.SyncData())
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Fatalf("took %v", took)
	}
}

func TestAFailedCloseStillCloses(t *testing.T) {
	d, _, f := newDisk(t)
	d.Fail(Rule{Op: Close})
	if err := f.Close(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	d.Heal()
	if err := f.SyncData(); err == nil {
		t.Fatal("the file is still open")
	}
}
