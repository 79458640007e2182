package shard

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
)

// stirred gives where a wait is told to go on, or 0 while it is not woken.
func stirred(w *watcher) uint64 {
	select {
	case <-w.hit:
		return w.next
	default:
		return 0
	}
}

// TestWatchersWakeOnlyWhoIsMeant tells events of several streams: each wait ends with the first one of its own that it has not seen.
func TestWatchersWakeOnlyWhoIsMeant(t *testing.T) {
	s := newWatchers()
	wait := func(scope event.Scope, topic, key string, from uint64) *watcher {
		return s.add(&event.ReadSpec{Scope: scope, Topic: []byte(topic), Key: []byte(key)}, from)
	}
	told := func(topic, key string, offset uint64) index.Event {
		return index.Event{Topic: []byte(topic), Key: []byte(key), Offset: offset}
	}
	topic, stream := wait(event.ScopeTopic, "a", "", 5), wait(event.ScopeStream, "a", "1", 5)
	other, plain := wait(event.ScopeStream, "b", "1", 5), wait(event.ScopeStream, "a", "", 5)
	seen, gone := wait(event.ScopeStream, "a", "1", 7), wait(event.ScopeTopic, "a", "", 5)
	s.remove(gone)
	s.tell([]index.Event{told("a", "2", 5), told("a", "1", 6)})
	got := []uint64{stirred(topic), stirred(stream), stirred(other), stirred(plain), stirred(seen), stirred(gone)}
	if want := []uint64{5, 6, 0, 0, 0, 0}; !slices.Equal(got, want) {
		t.Fatalf("woken at %v, want %v", got, want)
	}
	s.tell([]index.Event{told("a", "1", 7)})
	if got := stirred(seen); got != 7 {
		t.Fatalf("woken at %d, want 7", got)
	}
	s.tell([]index.Event{told("c", "", 8+batchOffsets)})
	if got := []uint64{stirred(other), stirred(plain)}; !slices.Equal(got, []uint64{9 + batchOffsets, 9 + batchOffsets}) {
		t.Fatalf("after long, woken at %v", got)
	}
	for _, w := range []*watcher{topic, stream, other, plain, seen, gone} {
		s.remove(w)
	}
	if len(s.by) != 0 {
		t.Fatalf("%d waits are left over", len(s.by))
	}
}

// TestQuietFollowerSleeps follows a stream in which nothing happens while much happens beside it: it looks at none of that, holds no
// memory for it, and gets its own event when there is one.
func TestQuietFollowerSleeps(t *testing.T) {
	r := newRig(t).open()
	defer r.close()
	r.fill("old", 2)
	r.mustAppend(one("a", "quiet", event.Expect{}, "first"))
	got, err := r.s.Read(t.Context(), event.ReadSpec{Scope: event.ScopeStream, Topic: []byte("a"), Key: []byte("quiet"), Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	for live := false; !live; {
		b, err := got.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		live = b.Live
	}
	f := got.(*reader)
	next := make(chan event.Batch, 1)
	go func() {
		b, err := got.Next(t.Context())
		if err != nil {
			t.Error(err)
		}
		next <- b
	}()
	for range 50 {
		r.mustAppend(one("a", "loud", event.Expect{}, fmt.Sprint(len(next), r.s.Status().LastOffset)))
	}
	if len(next) != 0 {
		t.Fatal("woken by another stream's events")
	}
	r.mustAppend(one("a", "quiet", event.Expect{}, "second"))
	b := <-next
	if ids := idsOf(t, b.Events); !slices.Equal(ids, []string{"second"}) {
		t.Fatalf("got %v", ids)
	}
	if f.disk != nil || cap(f.arena) != 0 {
		t.Fatal("a follower at the tail holds the memory of catching up")
	}
}

// TestSparseFollowerTellsHowFar follows what does not come while other things do: without an event it hears where the shard is, also
// when nothing has been appended for a while.
func TestSparseFollowerTellsHowFar(t *testing.T) {
	for _, spec := range []event.ReadSpec{
		{Scope: event.ScopeAll, Types: [][]byte{[]byte("None")}},
		{Scope: event.ScopeAll, Tags: [][]byte{[]byte("none")}},
		{Scope: event.ScopeTopic, Topic: []byte("a"), KeyPrefix: []byte("none")},
		{Scope: event.ScopeTopic, Topic: []byte("none")},
		{Scope: event.ScopeStream, Topic: []byte("a"), Key: []byte("none")},
		{Scope: event.ScopeStream, Topic: []byte("a"), Key: []byte("loud"), Types: [][]byte{[]byte("None")}},
	} {
		r := newRig(t).open()
		r.s.tellEvery = time.Millisecond
		r.mustAppend(one("a", "loud", event.Expect{}, "0"))
		spec.Follow = true
		f, err := r.s.Read(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		for round := range 3 {
			last := r.mustAppend(one("a", "loud", event.Expect{}, fmt.Sprint(round, "-1"), fmt.Sprint(round, "-2"))).Position
			for at := uint64(0); at < last.Offset; {
				b, err := f.Next(t.Context())
				if err != nil || len(b.Events) > 0 || b.Position.Offset < at || b.Position.Offset > last.Offset {
					t.Fatalf("%+v: %d events, %v, from %d to %d", spec, len(b.Events), err, at, b.Position.Offset)
				}
				at = b.Position.Offset
			}
		}
		f.Close()
		r.close()
	}
}
