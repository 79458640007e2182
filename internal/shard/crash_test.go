package shard

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
)

// story is what a crash test appends, in order: single events, commands, commits over several streams, enough of them to roll and seal.
func story() (commits []*event.Commit) {
	for i := range 40 {
		c := one("a", fmt.Sprint(i%3), event.Expect{}, fmt.Sprintf("%d-x", i), fmt.Sprintf("%d-y", i))
		if i%4 == 1 {
			c.CommandID = fmt.Appendf(nil, "command %d", i)
		}
		if i%5 == 2 {
			c.Streams = append(c.Streams, one("b", "", event.Expect{}, fmt.Sprintf("%d-z", i)).Streams...)
		}
		commits = append(commits, c)
	}
	return commits
}

func idsIn(c *event.Commit) (ids []string) {
	for i := range c.Streams {
		for _, e := range c.Streams[i].Events {
			ids = append(ids, string(e.ID))
		}
	}
	return ids
}

// tell opens the shard and tells the story until something fails; it gives the ids of what was acknowledged and of what was tried.
func (r *rig) tell(commits []*event.Commit) (acked, tried []string, err error) {
	if err := r.tryOpen(); err != nil {
		return nil, nil, err
	}
	defer r.close()
	for _, c := range commits {
		tried = append(tried, idsIn(c)...)
		if _, err := r.append(c); err != nil {
			return acked, tried, err
		}
		acked = append(acked, idsIn(c)...)
	}
	return acked, tried, nil
}

// TestStopsAtEveryOperation fails the n-th operation on the disk and all that follow, for every n, then loses power: what was
// acknowledged is there, in order; what was not is there whole or not at all; the shard takes a retry of all of it.
func TestStopsAtEveryOperation(t *testing.T) {
	commits := story()
	for n := 1; ; n += crashEvery {
		r := newRig(t)
		r.o.Limits.SegmentBytes = 4 << 10
		r.faults.FailNth(n)
		acked, tried, err := r.tell(commits)
		disk := r.disk
		disk.Reseed(uint64(n))
		for i, crashed := range []*crashfs.FS{disk.CrashKeepSynced(), disk.CrashKeepAll(), disk.Clone().Crash()} {
			r.use(crashed)
			if i != 1 {
				if err := r.mem.RemoveAll(r.o.IndexDir); err != nil {
					t.Fatal(err)
				}
			}
			r.found(fmt.Sprintf("operation %d, crash %d", n, i), acked, tried, commits)
		}
		if err == nil {
			t.Logf("fewer than %d operations", n)
			return
		}
		if n > 2000 {
			t.Fatal("the story never ends")
		}
	}
}

// found opens what a crash left and holds it against what was acknowledged and tried.
func (r *rig) found(name string, acked, tried []string, commits []*event.Commit) {
	r.t.Helper()
	if err := r.tryOpen(); err != nil {
		r.t.Fatalf("%s: %v", name, err)
	}
	defer r.close()
	got := r.ids()
	if len(got) < len(acked) || len(got) > len(tried) || !slices.Equal(got, tried[:len(got)]) {
		r.t.Fatalf("%s: found %v\nacknowledged %v\ntried %v", name, got, acked, tried)
	}
	whole := len(got)
	for n := 0; whole > 0; n++ {
		whole -= len(idsIn(commits[n]))
	}
	if whole != 0 {
		r.t.Fatalf("%s: a commit is there in part: %v", name, got)
	}
	for i, c := range commits {
		before := len(idsIn(c)) > 0 && slices.Contains(got, idsIn(c)[0])
		if o, err := r.append(c); err != nil || o.Repeated != before {
			r.t.Fatalf("%s: commit %d again: %+v, %v", name, i, o, err)
		}
	}
	r.gapless(name)
}

// gapless checks offsets and revisions of everything.
func (r *rig) gapless(name string) {
	r.t.Helper()
	events, err := r.read(event.ReadSpec{Scope: event.ScopeAll})
	if err != nil {
		r.t.Fatalf("%s: %v", name, err)
	}
	heads := map[string]uint64{}
	for i, b := range events {
		var v eventwire.View
		if err := eventwire.ViewRecorded(b, &v); err != nil {
			r.t.Fatal(err)
		}
		stream := string(v.Topic) + "/" + string(v.Key)
		if heads[stream]++; v.Offset != uint64(i)+1 || v.Revision != heads[stream] {
			r.t.Fatalf("%s: event %d of the shard has offset %d, revision %d of %s, want %d", name, i+1, v.Offset, v.Revision, stream, heads[stream])
		}
	}
}

// TestReopensThroughEveryCrash crashes while the shard is being opened after a crash, at each of its operations.
func TestReopensThroughEveryCrash(t *testing.T) {
	commits := story()
	r := newRig(t)
	r.o.Limits.SegmentBytes = 4 << 10
	acked, tried, err := r.tell(commits)
	if err != nil {
		t.Fatal(err)
	}
	first := r.disk.CrashKeepAll()
	for n := 1; ; n++ {
		r.use(first.Clone())
		r.faults.FailNth(n)
		if r.mem.RemoveAll(r.o.IndexDir) != nil {
			t.Fatal("the index cannot be removed")
		}
		if err := r.tryOpen(); err == nil {
			r.close()
		}
		done := r.faults.Count() < n
		disk := r.disk
		disk.Reseed(uint64(n))
		r.use(disk.Crash())
		r.found(fmt.Sprintf("operation %d", n), acked, tried, commits)
		if done {
			return
		}
	}
}
