package shard

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// follower reads in the background: every id that it was given, and when it was told that it is live.
type follower struct {
	reader event.Reader
	ids    []string
	lives  int
	live   chan struct{} // closed when it was told
	err    error
	done   chan struct{}
}

// follow begins a reader that stops after n events, or with an error.
func (r *rig) follow(ctx context.Context, spec event.ReadSpec, n int) *follower {
	r.t.Helper()
	spec.Follow = true
	reader, err := r.s.Read(ctx, spec)
	if err != nil {
		r.t.Fatal(err)
	}
	f := &follower{reader: reader, live: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		defer reader.Close()
		for n == 0 || len(f.ids) < n || f.lives == 0 {
			b, err := reader.Next(ctx)
			if f.err = err; err != nil {
				return
			}
			if f.ids = append(f.ids, idsOf(r.t, b.Events)...); b.Live {
				if f.lives++; f.lives == 1 {
					close(f.live)
				}
			}
		}
	}()
	return f
}

// wait waits for the follower's end.
func (f *follower) wait(t fataler) {
	t.Helper()
	select {
	case <-f.done:
	case <-time.After(time.Minute):
		t.Fatalf("the follower hangs after %d events", len(f.ids))
	}
}

// TestFollowWithoutGapOrRepeat lets many followers of every scope catch up and follow while others append, roll and seal.
func TestFollowWithoutGapOrRepeat(t *testing.T) {
	r := newRig(t).open()
	defer r.close()
	const before, during, writers = 60, 60, 3
	for i := range before {
		r.mustAppend(one("orders", fmt.Sprint(i%writers), event.Expect{}, fmt.Sprintf("b%d", i)))
	}
	var followers []*follower
	for n := range 8 {
		spec, want := event.ReadSpec{Scope: event.ScopeAll}, before+writers*during
		switch n % 4 {
		case 1:
			spec = event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("orders")}
		case 2:
			spec, want = event.ReadSpec{Scope: event.ScopeStream, Topic: []byte("orders"), Key: []byte("1")}, before/writers+during
		case 3:
			spec, want = event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("orders"), From: event.Point{Kind: event.Ago}, KeyPrefix: []byte("2")}, before/writers+during
		}
		followers = append(followers, r.follow(t.Context(), spec, want))
	}
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range during {
				if _, err := r.append(one("orders", fmt.Sprint(w), event.Expect{}, fmt.Sprintf("d%d-%d", w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	all := r.ids()
	stream := func(key string) []string {
		events, err := r.read(event.ReadSpec{Scope: event.ScopeStream, Topic: []byte("orders"), Key: []byte(key)})
		if err != nil {
			t.Fatal(err)
		}
		return idsOf(t, events)
	}
	for n, f := range followers {
		f.wait(t)
		want := [][]string{all, all, stream("1"), stream("2")}[n%4]
		if f.err != nil || f.lives != 1 || !slices.Equal(f.ids, want) {
			t.Errorf("follower %d: %v, told live %d times\ngot  %v\nwant %v", n, f.err, f.lives, f.ids, want)
		}
	}
}

// TestFollowFromTheEnd is told that it is live before anything is appended, and gets only what comes then.
func TestFollowFromTheEnd(t *testing.T) {
	r := newRig(t).open()
	defer r.close()
	r.mustAppend(one("a", "1", event.Expect{}, "old"))
	f := r.follow(t.Context(), event.ReadSpec{Scope: event.ScopeAll, From: event.Point{Kind: event.End}}, 2)
	<-f.live
	r.mustAppend(one("a", "1", event.Expect{}, "new1", "new2"))
	if f.wait(t); f.err != nil || !slices.Equal(f.ids, []string{"new1", "new2"}) {
		t.Fatalf("%v, %v", f.ids, f.err)
	}
}

// TestSlowFollower takes nothing while more is appended than the memory keeps, and goes on where it was. It begins on an empty shard,
// where its starting point is a revision that does not exist yet.
func TestSlowFollower(t *testing.T) {
	for _, scope := range []event.Scope{event.ScopeStream, event.ScopeTopic, event.ScopeAll} {
		r := newRig(t).open()
		r.s.tail.limit = 2 << 10
		reader, err := r.s.Read(t.Context(), event.ReadSpec{Scope: scope, Topic: []byte("a"), Key: []byte("1"), Follow: true})
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		take := func(until string) {
			t.Helper()
			for len(got) == 0 || got[len(got)-1] != until {
				b, err := reader.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, idsOf(t, b.Events)...); until == "live" && b.Live {
					return
				}
			}
		}
		take("live")
		for round := range 3 {
			last := ""
			for i := range 1 + 60*(round%2) { // one at the tail, then more than it holds
				last = fmt.Sprintf("%d-%d", round, i)
				r.mustAppend(one("a", "1", event.Expect{}, last))
				want = append(want, last)
			}
			take(last)
		}
		if !slices.Equal(got, want) {
			t.Errorf("scope %d:\ngot  %v\nwant %v", scope, got, want)
		}
		reader.Close()
		r.close()
	}
}

// TestCloseEndsFollowers lets followers that wait, and reads that begin, end with an error that says why.
func TestCloseEndsFollowers(t *testing.T) {
	r := newRig(t).open()
	r.mustAppend(one("a", "1", event.Expect{}, "1"))
	var followers []*follower
	for range 20 {
		f := r.follow(t.Context(), event.ReadSpec{Scope: event.ScopeAll}, 0)
		<-f.live
		followers = append(followers, f)
	}
	s := r.s
	r.close()
	for _, f := range followers {
		f.wait(t)
		wantCode(t, f.err, errs.Unavailable)
	}
	_, err := s.Read(t.Context(), event.ReadSpec{Scope: event.ScopeAll})
	wantCode(t, err, errs.Unavailable)
	_, err = s.Append(t.Context(), one("a", "1", event.Expect{}, "2"))
	wantCode(t, err, errs.Unavailable)
	_, _, err = s.Head(t.Context(), []byte("a"), []byte("1"))
	wantCode(t, err, errs.Unavailable)
	_, _, err = s.Streams([]byte("a"), nil, nil, false, 1)
	wantCode(t, err, errs.Unavailable)
	if ready, why := s.Ready(); ready || len(why) == 0 {
		t.Fatal("a closed shard says that it is ready")
	}
}

// TestCloseBesideEverything closes while callers append, read and look up: each gets an answer, and nothing is used after its end.
func TestCloseBesideEverything(t *testing.T) {
	for range 5 {
		r := newRig(t).open()
		r.fill("old", 2)
		var group sync.WaitGroup
		for n := range 6 {
			group.Go(func() {
				for i := 0; ; i++ {
					var err error
					switch n {
					case 0, 1, 2:
						_, err = r.s.Append(t.Context(), one("a", fmt.Sprint(n), event.Expect{Kind: event.Exact, Revision: uint64(i)}, fmt.Sprintf("%d-%d", n, i)))
					case 3:
						_, _, err = r.s.Head(t.Context(), []byte("filler"), []byte("old"))
					case 4:
						_, err = r.read(event.ReadSpec{Scope: event.ScopeStream, Topic: []byte("filler"), Key: []byte("old")})
					case 5:
						_, err = r.read(event.ReadSpec{Scope: event.ScopeAll})
					}
					if err != nil {
						if c := errs.CodeOf(err); c != errs.Unavailable && c != errs.UnknownOutcome {
							t.Errorf("caller %d: %v", n, err)
						}
						return
					}
				}
			})
		}
		r.mustAppend(one("b", "", event.Expect{}, "go"))
		if err := r.s.Close(); err != nil {
			t.Error(err)
		}
		group.Wait()
	}
}

// TestTailReadsNoDisk counts what a follower at the tail asks of the disk: nothing.
func TestTailReadsNoDisk(t *testing.T) {
	r := newRig(t)
	r.o.Limits.SegmentBytes = 1 << 20 // sealing reads, and is not what is counted
	r.open()
	defer r.close()
	f := r.follow(t.Context(), event.ReadSpec{Scope: event.ScopeAll}, 100)
	stream := r.follow(t.Context(), event.ReadSpec{Scope: event.ScopeStream, Topic: []byte("a"), Key: []byte("1")}, 50)
	topic := r.follow(t.Context(), event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("a")}, 100)
	for _, f := range []*follower{f, stream, topic} {
		<-f.live
	}
	before := r.disk.Counts().Reads
	for i := range 100 {
		r.mustAppend(one("a", fmt.Sprint(i%2), event.Expect{}, fmt.Sprint(i)))
	}
	for _, f := range []*follower{f, stream, topic} {
		if f.wait(t); f.err != nil {
			t.Fatal(f.err)
		}
	}
	if got, err := r.read(event.ReadSpec{Scope: event.ScopeStream, Topic: []byte("a"), Key: []byte("1")}); err != nil || len(got) != 50 {
		t.Fatalf("%d events, %v", len(got), err)
	}
	if n := r.disk.Counts().Reads - before; n != 0 {
		t.Fatalf("%d disk reads for readers at the tail", n)
	}
}
