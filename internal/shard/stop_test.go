package shard

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

// TestDeadlineTellsTheTruth lets deadlines pass: what waits in the queue was not written and never will be, what is in flight may be.
func TestDeadlineTellsTheTruth(t *testing.T) {
	r := newRig(t).open().mustServe()
	defer r.close()
	g := r.holdSyncs()
	defer g.open()
	soon := r.clock.Now().Add(time.Second)
	var flying []<-chan *event.Call
	for i := range depth { // as many writes as may be under way
		flying = append(flying, r.submit(one("a", "1", event.Expect{}, fmt.Sprint("flying", i)), soon))
		if i == 0 {
			<-g.held
		}
		r.pass() // it is proposed
	}
	queued := r.submit(one("a", "1", event.Expect{}, "queued"), soon)
	patient := r.submit(one("a", "1", event.Expect{}, "patient"), time.Time{})
	r.pass()
	r.clock.Advance(2 * time.Second)
	wantCode(t, await(t, queued).Err, errs.Busy)
	for _, got := range flying {
		wantCode(t, await(t, got).Err, errs.UnknownOutcome)
	}
	none(t, patient, "a call without a deadline")
	g.open()
	if err := await(t, patient).Err; err != nil {
		t.Fatal(err)
	}
	if got, want := r.ids(), []string{"flying0", "flying1", "patient"}; !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

// TestQueueIsBounded fills the shard's queue: the next call is told busy at once, and taken when there is room.
func TestQueueIsBounded(t *testing.T) {
	r := newRig(t)
	r.o.Limits.UncommittedBytes = 2 << 10
	r.open().mustServe()
	defer r.close()
	g := r.holdSyncs()
	defer g.open()
	var waiting []<-chan *event.Call
	for i, bytes := 0, 0; ; i++ {
		c := one("a", "1", event.Expect{}, fmt.Sprint(i))
		got := r.submit(c, time.Time{})
		if bytes += c.Bytes; int64(bytes) > r.o.Limits.UncommittedBytes {
			wantCode(t, await(t, got).Err, errs.Busy)
			break
		}
		waiting = append(waiting, got)
	}
	g.open()
	for i, got := range waiting {
		if err := await(t, got).Err; err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	r.mustAppend(one("a", "1", event.Expect{}, "room again"))
	if n := r.s.Status().Queued; n != 0 {
		t.Fatalf("%d bytes count as queued when nothing is", n)
	}
}

// TestSealingHangs lets the disk hang while a segment is sealed: appends go on until four segments wait, then they are told busy, at
// once; when the disk comes back, so do the appends.
func TestSealingHangs(t *testing.T) {
	r := newRig(t)
	opened := make(chan struct{})
	var once sync.Once
	r.faults.Fail(faultfs.Rule{Op: faultfs.Truncate, Block: func() { <-opened }}) // sealing gives back what was filled ahead
	r.open().mustServe()
	defer r.close()
	defer once.Do(func() { close(opened) })
	var busy error
	for i := 0; busy == nil; i++ {
		if _, busy = r.append(one("a", "1", event.Expect{}, fmt.Sprint(i))); i > 10_000 {
			t.Fatal("appends are never held back")
		}
	}
	wantCode(t, busy, errs.Busy)
	if n := r.s.Status().UnsealedSegments; n != maxUnsealed+1 {
		t.Fatalf("%d segments wait, want %d", n-1, maxUnsealed)
	}
	if ready, why := r.s.Ready(); ready || !strings.Contains(strings.Join(why, " "), "sealed") {
		t.Fatalf("ready %v: %v", ready, why)
	}
	once.Do(func() { close(opened) })
	eventually(t, func() bool { _, err := r.append(one("a", "1", event.Expect{}, "again")); return err == nil })
}

// eventually waits for what another goroutine of the product does by itself.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it never came")
		}
	}
}

// TestDiskFull fills the disk at every few bytes: what was acknowledged stays, the error says what to do, and when space returns the
// shard goes on by itself.
func TestDiskFull(t *testing.T) {
	for free := uint64(0); free < 40<<10; free += 5 << 10 {
		r := newRig(t).open().mustServe()
		acked := []string{"first"}
		r.mustAppend(one("a", "1", event.Expect{}, "first"))
		used := r.used()
		r.disk.SetCapacity(used + free)
		var full error
		var doubt <-chan *event.Call
		for i := 0; full == nil; i++ {
			id := fmt.Sprint(i)
			got := r.submit(one("a", "1", event.Expect{}, id), time.Time{})
			eventually(t, func() bool { return len(got) > 0 || r.waits() })
			if len(got) == 0 {
				doubt, acked, full = got, append(acked, id), r.s.refusal.Load()
			} else if full = (<-got).Err; full == nil {
				acked = append(acked, id)
			}
		}
		wantCode(t, full, errs.NoSpace)
		if !strings.Contains(full.Error(), "free space") {
			t.Fatalf("%v does not say what to do", full)
		}
		if ready, _ := r.s.Ready(); ready {
			t.Fatal("a shard without space says that it is ready")
		}
		r.disk.SetCapacity(1 << 40)
		if doubt != nil {
			if err := await(t, doubt).Err; err != nil {
				t.Fatalf("what waited for space: %v", err)
			}
		}
		eventually(t, func() bool {
			r.s.keep.nudge() // it would look again within a second
			_, err := r.append(one("a", "1", event.Expect{}, "after"))
			return err == nil
		})
		acked = append(acked, "after")
		if got := r.ids(); !slices.Equal(got, acked) {
			t.Fatalf("%d bytes free:\ngot  %v\nwant %v", free, got, acked)
		}
		r.close()
		r.use(r.disk.Crash())
		if got := r.open().ids(); !slices.Equal(got, acked) {
			t.Fatalf("%d bytes free, after a power cut:\ngot  %v\nwant %v", free, got, acked)
		}
		r.close()
	}
}

// used is how much of the disk is taken.
func (r *rig) used() uint64 {
	free, err := r.disk.Free(".")
	if err != nil {
		r.t.Fatal(err)
	}
	return 1<<40 - free
}

// waits tells that what is in flight waits for space.
func (r *rig) waits() bool {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.s.refusals["storing"] != nil
}

// TestFailedSyncStops fails one sync: the shard stops and says so, what was in flight is unknown, what waited was not written, and the
// next open finds every acknowledged event.
func TestFailedSyncStops(t *testing.T) {
	for _, op := range []faultfs.Op{faultfs.Write, faultfs.SyncData} {
		r := newRig(t)
		told := make(chan error, 1)
		r.o.Listener.Stopped = func(err error) { told <- err }
		r.open().mustServe()
		r.mustAppend(one("a", "1", event.Expect{}, "acked"))
		if err := errors.Join(r.s.disk.Log.Prepare(), r.s.disk.Mark(r.s.disk.Log.Last())); err != nil {
			t.Fatal(err)
		}
		hold := make(chan struct{})
		held := make(chan struct{}, 10)
		r.faults.Fail(faultfs.Rule{Op: op, Err: errors.New("the disk says no"), Block: func() { held <- struct{}{}; <-hold }})
		var flying, queued []<-chan *event.Call
		for i := range depth {
			flying = append(flying, r.submit(one("a", "1", event.Expect{}, fmt.Sprint("flying", i)), time.Time{}))
			if i == 0 {
				<-held
			}
			r.pass()
		}
		for i := range 5 {
			queued = append(queued, r.submit(one("a", "2", event.Expect{}, fmt.Sprint("queued", i)), time.Time{}))
		}
		r.pass()
		close(hold)
		for _, got := range flying {
			wantCode(t, await(t, got).Err, errs.UnknownOutcome)
		}
		for _, got := range queued {
			wantCode(t, await(t, got).Err, errs.Unavailable)
		}
		if err := <-told; !strings.Contains(err.Error(), "the disk says no") {
			t.Fatalf("stopped because of %v", err)
		}
		ready, why := r.s.Ready()
		if ready || !strings.Contains(strings.Join(why, " "), "the disk says no") {
			t.Fatalf("ready %v: %v", ready, why)
		}
		_, err := r.append(one("a", "1", event.Expect{}, "later"))
		wantCode(t, err, errs.Unavailable)
		for _, got := range append(flying, queued...) {
			none(t, got, "a call that was answered already")
		}
		r.close()
		r.use(r.disk.Crash())
		got := r.open().ids()
		r.close()
		if want := []string{"acked", "flying0", "flying1"}; len(got) == 0 || !slices.Equal(got, want[:len(got)]) {
			t.Fatalf("%v, want %v or its beginning", got, want)
		}
	}
}

// TestLookUpFails lets reading the disk fail for one call: it fails alone, and the shard goes on.
func TestLookUpFails(t *testing.T) {
	r := newRig(t).open().mustServe()
	defer r.close()
	r.mustAppend(one("a", "1", event.Expect{}, "x"))
	r.fill("filler", 3)
	r.s.tail.limit = 0
	r.mustAppend(one("a", "2", event.Expect{}, "y")) // drops the tail
	r.faults.Fail(faultfs.Rule{Op: faultfs.Read, Err: errors.New("the disk says no")})
	if _, err := r.append(one("a", "1", event.Expect{}, "x")); err == nil || !strings.Contains(err.Error(), "the disk says no") {
		t.Fatalf("a repeat that cannot be compared: %v", err)
	}
	if _, err := r.read(event.ReadSpec{Scope: event.ScopeAll}); err == nil {
		t.Fatal("a read that cannot read")
	}
	r.faults.Heal()
	if o := r.mustAppend(one("a", "1", event.Expect{}, "x")); !o.Repeated {
		t.Fatalf("%+v", o)
	}
}
