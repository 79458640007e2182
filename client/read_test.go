package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/api/position"
)

// offsets reads to the end.
func offsets(t *testing.T, r *Reader) (got []uint64) {
	t.Helper()
	for e, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Offset)
	}
	return got
}

func expectRun(t *testing.T, got []uint64, from, to uint64) {
	t.Helper()
	n := max(from, to) - min(from, to) + 1
	if uint64(len(got)) != n {
		t.Fatalf("got %d events, want %d: %v", len(got), n, got)
	}
	for i, o := range got {
		want := from + uint64(i)
		if to < from {
			want = from - uint64(i)
		}
		if o != want {
			t.Fatalf("event %d has offset %d, want %d: %v", i, o, want, got)
		}
	}
}

func TestReadEverythingBothWays(t *testing.T) {
	f := newFake(t)
	f.fill("t", "a", 21)
	c := newClient(t, Options{}, f)
	expectRun(t, offsets(t, c.Read(t.Context(), ShardScope(1), ReadOptions{})), 1, 21)
	expectRun(t, offsets(t, c.Read(t.Context(), TopicScope("t"), ReadOptions{Backwards: true})), 21, 1)
	expectRun(t, offsets(t, c.Read(t.Context(), StreamScope("t", "a"), ReadOptions{Limit: 5})), 1, 5)
	if got := offsets(t, c.Read(t.Context(), StreamScope("t", "b"), ReadOptions{})); len(got) != 0 {
		t.Errorf("another stream gave %v", got)
	}
	if got := offsets(t, c.Read(t.Context(), ShardScope(1), ReadOptions{KeyPrefix: "a", Types: []string{"other"}})); len(got) != 0 {
		t.Errorf("another type gave %v", got)
	}
}

// The filter reaches the server whole.
func TestFilterIsSent(t *testing.T) {
	c := newClient(t, Options{}, newFake(t))
	r := c.Read(t.Context(), ShardScope(1), ReadOptions{Types: []string{"A"}, KeyPrefix: "k", Tags: []string{"x", "y"}, Where: "data.n > 1"})
	defer r.Close()
	b, err := r.request()
	if err != nil {
		t.Fatal(err)
	}
	var sent gestav1.ReadRequest
	if err := proto.Unmarshal(b, &sent); err != nil {
		t.Fatal(err)
	}
	f := sent.GetFilter()
	if fmt.Sprintf("%v %v %v %v", f.GetTypes(), f.GetKeyPrefix(), f.GetTags(), f.GetWhere()) != "[A] k [x y] data.n > 1" {
		t.Errorf("sent %v", f)
	}
}

func TestEventsAreTheCallersToKeep(t *testing.T) {
	f := newFake(t)
	f.frames = 50
	f.fill("t", "k", 200)
	c := newClient(t, Options{}, f)
	r := c.Read(t.Context(), ShardScope(1), ReadOptions{})
	defer r.Close()
	var kept []*Recorded
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, e)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	for i, e := range kept {
		x := f.log[i]
		if e.Offset != x.GetOffset() || e.ID != x.GetEvent().GetId() || string(e.Data) != "data" || e.Key != "k" || e.Topic != "t" || e.Revision != x.GetRevision() {
			t.Fatalf("event %d: %+v, want %v", i, e, x)
		}
		if c := Clone(e); c.ID != e.ID || string(c.Data) != string(e.Data) || &c.Data[0] == &e.Data[0] {
			t.Fatalf("clone %+v of %+v", c, e)
		}
	}
}

func TestReadResumesWhereItBroke(t *testing.T) {
	for _, backwards := range []bool{false, true} {
		for _, limit := range []uint64{0, 17} {
			f := newFake(t)
			f.fill("t", "a", 30)
			f.breakAfter = []int{0, 3, 0, 8, 1}
			f.refuseRead = []error{failure(codes.Unavailable, "no_leader", "wait", nil)}
			c := newClient(t, Options{}, f)
			got := offsets(t, c.Read(t.Context(), ShardScope(1), ReadOptions{Backwards: backwards, Limit: limit}))
			n := uint64(30)
			if limit > 0 {
				n = limit
			}
			if backwards {
				expectRun(t, got, 30, 31-n)
			} else {
				expectRun(t, got, 1, n)
			}
			if len(f.reads) != 7 {
				t.Errorf("%d reads were made", len(f.reads))
			}
		}
	}
}

func TestPositionAfterEachEvent(t *testing.T) {
	f := newFake(t)
	f.frames = 4
	f.fill("t", "a", 10)
	c := newClient(t, Options{}, f)
	for _, backwards := range []bool{false, true} {
		for n := 1; n < 10; n++ {
			r := c.Read(t.Context(), ShardScope(1), ReadOptions{Backwards: backwards})
			if r.Position() != "" {
				t.Error("there is a position before the first event")
			}
			var last uint64
			for range n {
				e, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				last = e.Offset
			}
			p := r.Position()
			r.Close()
			rest := offsets(t, c.Read(t.Context(), ShardScope(1), ReadOptions{Backwards: backwards, From: "pos:" + p}))
			if backwards {
				expectRun(t, rest, last-1, 1)
			} else {
				expectRun(t, rest, last+1, 10)
			}
		}
	}
}

func TestFollow(t *testing.T) {
	f := newFake(t)
	f.fill("t", "a", 3)
	f.breakAfter = []int{5, 1}
	c := newClient(t, Options{}, f)
	lives := 0
	r := c.Read(t.Context(), TopicScope("t"), ReadOptions{Follow: true, OnLive: func() {
		lives++
		f.fill("t", "a", 2) // what comes while it waits
	}})
	defer r.Close()
	for want := uint64(1); want <= 9; want++ {
		e, err := r.Next()
		if err != nil || e.Offset != want {
			t.Fatalf("%+v %v, want offset %d", e, err, want)
		}
		if want == 4 && !r.Live() {
			t.Error("not live after it has caught up")
		}
	}
	if lives < 2 {
		t.Errorf("told %d times that it is live, over a break", lives)
	}
}

// A read from the end must not lose what is written while the connection is down.
func TestFollowFromTheEndOverABreak(t *testing.T) {
	f := newFake(t)
	f.fill("t", "a", 3)
	c := newClient(t, Options{}, f)
	first, stopped := true, make(chan struct{})
	r := c.Read(t.Context(), TopicScope("t"), ReadOptions{From: "end", Follow: true, OnLive: func() {
		if first {
			first = false
			f.mu.Lock()
			f.refuseRead = []error{failure(codes.Unavailable, "no_leader", "wait", nil)}
			f.mu.Unlock()
			f.server.Stop() // the stream breaks with nothing read
			close(stopped)
		}
	}})
	defer r.Close()
	again := make(chan error, 1)
	go func() {
		e, err := r.Next()
		if err == nil && e.Offset != 4 {
			err = errors.New("offset " + strconv.FormatUint(e.Offset, 10))
		}
		again <- err
	}()
	<-stopped
	f.fill("t", "a", 1)
	revive(t, f)
	if err := <-again; err != nil {
		t.Error(err)
	}
}

func TestReadErrors(t *testing.T) {
	f := newFake(t)
	f.fill("t", "a", 5)
	c := newClient(t, Options{}, f)
	r := c.Read(t.Context(), ShardScope(1), ReadOptions{From: "nowhere"})
	_, err := r.Next()
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeInvalid || e.Details["field"] != "from" {
		t.Errorf("%v", err)
	}
	if _, again := r.Next(); again != err {
		t.Errorf("asked again it says %v", again)
	}
	f.refuseRead = []error{failure(codes.OutOfRange, "trimmed", "gone", map[string]string{"first": "7"})}
	if _, err := c.Read(t.Context(), ShardScope(1), ReadOptions{}).Next(); CodeOf(err) != CodeTrimmed {
		t.Error(err)
	}
	r = c.Read(t.Context(), ShardScope(1), ReadOptions{})
	if err := r.Close(); err != nil || r.Close() != nil {
		t.Error(err)
	}
	if _, err := r.Next(); err == nil {
		t.Error("a closed reader reads")
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	f := newFake(t)
	c := newClient(t, Options{}, f)
	ctx, cancel := context.WithCancel(t.Context())
	r := c.Read(ctx, ShardScope(1), ReadOptions{Follow: true, OnLive: cancel})
	defer r.Close()
	if _, err := r.Next(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestReadGivesUpWithoutContact(t *testing.T) {
	f := newFake(t)
	f.fill("t", "a", 1)
	c := newClient(t, Options{Timeout: 100 * time.Millisecond}, f)
	r := c.Read(t.Context(), ShardScope(1), ReadOptions{Follow: true})
	defer r.Close()
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	f.server.Stop()
	if _, err := r.Next(); CodeOf(err) != CodeUnavailable {
		t.Error(err)
	}
	if p, err := position.Parse(r.Position()); err != nil || p.Offset != 1 {
		t.Errorf("%v %v", p, err)
	}
}
