package shard

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

// gate holds back syncs until it is opened.
type gate struct {
	held   chan struct{} // gets one for each sync that waits
	opened chan struct{}
	once   sync.Once
}

// holdSyncs lets every later sync wait. What is due beside appends is done first, so that what is held is an append.
func (r *rig) holdSyncs() *gate {
	r.t.Helper()
	if err := errors.Join(r.s.disk.Log.Prepare(), r.s.disk.Mark(r.s.disk.Log.Last())); err != nil {
		r.t.Fatal(err)
	}
	g := &gate{held: make(chan struct{}, 100), opened: make(chan struct{})}
	r.faults.Fail(faultfs.Rule{Op: faultfs.SyncData, Block: func() {
		select {
		case g.held <- struct{}{}:
		default:
		}
		<-g.opened
	}})
	return g
}

func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

func none(t *testing.T, got <-chan *event.Call, what string) {
	t.Helper()
	select {
	case c := <-got:
		t.Fatalf("%s was answered: %+v, %v", what, c.Outcome, c.Err)
	default:
	}
}

func await(t *testing.T, got <-chan *event.Call) *event.Call {
	t.Helper()
	select {
	case c := <-got:
		return c
	case <-time.After(time.Minute):
		t.Fatal("no answer")
		return nil
	}
}

// TestRepeatInFlightWaits sends a commit again while the first is being stored: all get the first outcome, and nothing before it is
// durable.
func TestRepeatInFlightWaits(t *testing.T) {
	r := newRig(t).open().mustServe()
	defer r.close()
	g := r.holdSyncs()
	defer g.open()
	first := r.submit(one("a", "1", event.Expect{}, "x", "y"), time.Time{})
	<-g.held
	again := r.submit(one("a", "1", event.Expect{Kind: event.None}, "x", "y"), time.Time{})
	other := r.submit(one("a", "1", event.Expect{}, "x", "z"), time.Time{})
	conflict := r.submit(one("a", "1", event.Expect{Kind: event.None}, "new"), time.Time{})
	after := r.submit(one("a", "2", event.Expect{}, "behind"), time.Time{})
	r.pass()
	for name, got := range map[string]<-chan *event.Call{"first": first, "again": again, "other": other, "conflict": conflict, "after": after} {
		none(t, got, name)
	}
	g.open()
	f, a := await(t, first), await(t, again)
	if f.Err != nil || a.Err != nil || f.Outcome.Repeated || !a.Outcome.Repeated || !cmp.Equal(f.Outcome.Streams, a.Outcome.Streams) || f.Outcome.Position != a.Outcome.Position {
		t.Fatalf("first %+v, %v; again %+v, %v", f.Outcome, f.Err, a.Outcome, a.Err)
	}
	wantCode(t, await(t, other).Err, errs.Invalid)
	c := await(t, conflict)
	wantCode(t, c.Err, errs.Conflict)
	if got := errs.As(c.Err).Details["actual_revision"]; got != "2" {
		t.Fatalf("the conflict tells revision %q, want 2", got)
	}
	if err := await(t, after).Err; err != nil {
		t.Fatal(err)
	}
}

// TestConflictWaitsForWhatItRestsOn holds that a refusal is not given while the append that it rests on may still be lost.
func TestConflictWaitsForWhatItRestsOn(t *testing.T) {
	r := newRig(t).open().mustServe()
	defer r.close()
	g := r.holdSyncs()
	defer g.open()
	first := r.submit(one("a", "1", event.Expect{}, "x"), time.Time{})
	<-g.held
	conflict := r.submit(one("a", "1", event.Expect{Kind: event.None}, "y"), time.Time{})
	r.pass()
	none(t, conflict, "a conflict with what may still be lost")
	r.faults.Heal()
	r.faults.FailNth(1)
	g.open() // the sync that is held passes; all that follows fails
	if err := await(t, first).Err; err != nil {
		t.Fatal(err)
	}
	wantCode(t, await(t, conflict).Err, errs.Conflict)
}

// TestExactRetryForEver repeats an append with an exact expectation when its ids have long left the window, also after sealing and a
// restart; one without an expectation is a new append then.
func TestExactRetryForEver(t *testing.T) {
	for _, how := range []string{"events", "time"} {
		r := newRig(t)
		r.o.Limits.IDWindowEvents = 10
		if how == "time" {
			r.o.Limits.IDWindowEvents = 1e6
		}
		r.open().mustServe()
		born := r.mustAppend(one("a", "1", event.Expect{Kind: event.None}, "x"))
		grown := r.mustAppend(one("a", "1", event.Expect{Kind: event.Exact, Revision: 1}, "y", "z"))
		for range 2 {
			if how == "events" {
				r.fill(fmt.Sprint(r.s.Status().LastOffset), 2)
			}
			r.clock.Advance(2 * time.Hour)
			for _, retry := range []struct {
				commit *event.Commit
				want   event.Outcome
			}{
				{one("a", "1", event.Expect{Kind: event.None}, "x"), born},
				{one("a", "1", event.Expect{Kind: event.Exact}, "x"), born},
				{one("a", "1", event.Expect{Kind: event.Exact, Revision: 1}, "y", "z"), grown},
			} {
				retry.want.Repeated = true
				if got := r.mustAppend(retry.commit); !cmp.Equal(got, retry.want) {
					t.Fatalf("%s: %+v, want %+v", how, got, retry.want)
				}
			}
			_, err := r.append(one("a", "1", event.Expect{Kind: event.Exact, Revision: 1}, "z"))
			wantCode(t, err, errs.Conflict)
			r.close()
			r.use(r.disk)
			r.open().mustServe()
		}
		if o := r.mustAppend(one("a", "1", event.Expect{}, "x")); o.Repeated || o.Streams[0].FirstRevision != 4 {
			t.Fatalf("%s: beyond the window an id is free again: %+v", how, o)
		}
		r.close()
	}
}

// TestRetryAcrossTheWindowsEdge repeats a commit of which one half has left the window: it is still the same commit.
func TestRetryAcrossTheWindowsEdge(t *testing.T) {
	r := newRig(t)
	r.o.Limits.IDWindowEvents = 10
	r.open().mustServe()
	defer r.close()
	var ids []string
	for i := range 8 {
		ids = append(ids, fmt.Sprint("x", i))
	}
	first := r.mustAppend(one("a", "1", event.Expect{}, ids...))
	for i := range 5 {
		r.mustAppend(one("a", "2", event.Expect{}, fmt.Sprint("y", i)))
	}
	first.Repeated = true
	if got := r.mustAppend(one("a", "1", event.Expect{}, ids...)); !cmp.Equal(got, first) {
		t.Fatalf("%+v, want %+v", got, first)
	}
}

func withCommand(id string, c *event.Commit) *event.Commit {
	c.CommandID = []byte(id)
	return c
}

// TestCommandRepeats gives a command's first outcome again, also after a power cut, sealing and a restart; other content under its id is invalid.
func TestCommandRepeats(t *testing.T) {
	r := newRig(t).open().mustServe()
	defer func() { r.close() }()
	two := func() *event.Commit {
		c := withCommand("cmd", one("a", "1", event.Expect{}, "x", "y"))
		c.Streams = append(c.Streams, one("b", "", event.Expect{}, "z").Streams...)
		return c
	}
	r.mustAppend(one("b", "", event.Expect{}, "before"))
	first := r.mustAppend(two())
	first.Repeated = true
	if got := r.mustAppend(two()); !cmp.Equal(got, first) {
		t.Fatalf("%+v, want %+v", got, first)
	}
	_, err := r.append(withCommand("cmd", one("a", "1", event.Expect{}, "other")))
	wantCode(t, err, errs.Invalid)
	if o := r.mustAppend(withCommand("cmd", one("a", "2", event.Expect{}, "scope"))); o.Repeated {
		t.Fatalf("a command's id holds in the scope of its first stream: %+v", o)
	}
	r.close()
	r.use(r.disk.CrashKeepSynced())
	r.open().mustServe()
	if got := r.mustAppend(two()); !cmp.Equal(got, first) {
		t.Fatalf("after a power cut: %+v, want %+v", got, first)
	}
	r.fill("filler", 2)
	r.close()
	r.use(r.disk)
	r.open().mustServe()
	if got := r.mustAppend(two()); !cmp.Equal(got, first) {
		t.Fatalf("after sealing and a restart: %+v, want %+v", got, first)
	}
	for range 3 { // past the window
		r.fill(fmt.Sprint(r.s.Status().LastOffset), 2)
		r.clock.Advance(time.Hour)
	}
	if o := r.mustAppend(withCommand("cmd", one("a", "1", event.Expect{}, "new"))); o.Repeated {
		t.Fatalf("beyond the window a command's id is free again: %+v", o)
	}
	_, err = r.append(withCommand("cmd", one("a", "1", event.Expect{}, "newer")))
	wantCode(t, err, errs.Invalid)
}

// TestSealingBesideJudging appends to few streams with exact expectations while segments are sealed under the judge: every revision
// comes once, and every repeat is recognised.
func TestSealingBesideJudging(t *testing.T) {
	r := newRig(t)
	r.o.Limits.SegmentBytes = 4 << 10
	r.open().mustServe()
	defer r.close()
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := range 150 {
				id := fmt.Sprintf("%d-%d", w, i)
				c := one("a", fmt.Sprint(w), event.Expect{Kind: event.Exact, Revision: uint64(i)}, id)
				o, err := r.append(c)
				for errs.CodeOf(err) == errs.Busy && err != nil {
					o, err = r.append(c)
				}
				if err != nil || o.Repeated || o.Streams[0].FirstRevision != uint64(i)+1 {
					t.Errorf("%s: %+v, %v", id, o, err)
					return
				}
				if o, err := r.append(one("a", fmt.Sprint(w), event.Expect{}, id)); err == nil && !o.Repeated {
					t.Errorf("%s was written twice", id)
				}
			}
		})
	}
	group.Wait()
	if n := len(r.ids()); n != 600 {
		t.Fatalf("%d events, want 600", n)
	}
}
