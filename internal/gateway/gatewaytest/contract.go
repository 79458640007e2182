package gatewaytest

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
)

func nextID() string { return rand.Text() }

// patience is how long a contract waits for what must come.
const patience = 10 * time.Second

// ShardContract holds an empty shard to what the gateway relies on.
func ShardContract(t *testing.T, s gateway.Shard) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	shardOrder(t, s)
	shardHead(ctx, t, s)
	shardReads(ctx, t, s)
	shardFollow(ctx, t, s)
	shardLists(t, s)
	if ready, why := s.Ready(); !ready {
		t.Errorf("not ready: %v", why)
	}
	if st := s.Status(); st.Shard != gateway.FirstShard || st.LastOffset != 4 || st.Role != "leader" || st.Leader == "" {
		t.Errorf("status %+v", st)
	}
}

// submit gives the calls to the shard together and waits for all.
func submit(t *testing.T, s gateway.Shard, commits ...*event.Commit) []*event.Call {
	t.Helper()
	done := make(chan *event.Call, 2*len(commits))
	calls := make([]*event.Call, len(commits))
	for i, c := range commits {
		calls[i] = &event.Call{Commit: c, Deadline: time.Now().Add(patience), Done: func(c *event.Call) { done <- c }}
	}
	s.Submit(calls)
	for range calls {
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatal("a call has no outcome")
		}
	}
	if len(done) > 0 {
		t.Fatal("a call was done twice")
	}
	return calls
}

// shardOrder writes revisions 1 to 3 of a/k: calls submitted together are judged in their order.
func shardOrder(t *testing.T, s gateway.Shard) {
	t.Helper()
	exact := func(n uint64) *event.Commit {
		return Commit(event.Expect{Kind: event.Exact, Revision: n}, [2]string{"a", "k"})
	}
	calls := submit(t, s, exact(0), exact(1), exact(1), exact(2))
	for i, want := range []uint64{1, 2, 0, 3} {
		c := calls[i]
		if want == 0 {
			if errs.CodeOf(c.Err) != errs.Conflict {
				t.Fatalf("call %d: %v, want a conflict", i, c.Err)
			}
			continue
		}
		if c.Err != nil || c.Outcome.Streams[0].FirstRevision != want || c.Outcome.Streams[0].LastOffset != want || c.Outcome.Position.Offset != want {
			t.Fatalf("call %d: %+v, %v, want revision and offset %d", i, c.Outcome, c.Err, want)
		}
	}
}

func shardHead(ctx context.Context, t *testing.T, s gateway.Shard) {
	t.Helper()
	h, at, err := s.Head(ctx, []byte("a"), []byte("k"))
	if err != nil || h.Revision != 3 || h.Offset != 3 || at.Offset < 3 {
		t.Fatalf("head of a/k: %+v at %+v, %v", h, at, err)
	}
	if h, _, err := s.Head(ctx, []byte("b"), nil); err != nil || h != (event.Head{}) {
		t.Fatalf("head of nothing: %+v, %v", h, err)
	}
}

func drain(ctx context.Context, t *testing.T, r event.Reader) (offsets []uint64) {
	t.Helper()
	defer r.Close()
	for {
		b, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return offsets
		}
		if err != nil {
			t.Fatal(err)
		}
		offsets = append(offsets, offsetsOf(t, b)...)
	}
}

func offsetsOf(t *testing.T, b event.Batch) (offsets []uint64) {
	t.Helper()
	for _, e := range b.Events {
		var v eventwire.View
		if err := eventwire.ViewRecorded(e, &v); err != nil {
			t.Fatal(err)
		}
		offsets = append(offsets, v.Offset)
	}
	return offsets
}

func shardReads(ctx context.Context, t *testing.T, s gateway.Shard) {
	t.Helper()
	stream := event.ReadSpec{Scope: event.ScopeStream, Topic: []byte("a"), Key: []byte("k")}
	for _, c := range []struct {
		name string
		spec func(*event.ReadSpec)
		want []uint64
	}{
		{"stream", func(*event.ReadSpec) {}, []uint64{1, 2, 3}},
		{"limit", func(q *event.ReadSpec) { q.Limit = 2 }, []uint64{1, 2}},
		{"from 2", func(q *event.ReadSpec) { q.From = event.Point{Kind: event.Number, Number: 2} }, []uint64{2, 3}},
		{"backwards", func(q *event.ReadSpec) { q.Backwards, q.From.Kind = true, event.End }, []uint64{3, 2, 1}},
		{"all", func(q *event.ReadSpec) { *q = event.ReadSpec{Scope: event.ScopeAll} }, []uint64{1, 2, 3}},
		{"other type", func(q *event.ReadSpec) { q.Types = [][]byte{[]byte("Other")} }, nil},
	} {
		spec := stream
		c.spec(&spec)
		r, err := s.Read(ctx, spec)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := drain(ctx, t, r); !equal(got, c.want) {
			t.Errorf("%s: read %v, want %v", c.name, got, c.want)
		}
	}
}

func equal(a, b []uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// shardFollow reads what there is, is told that it is live, gets what comes (offset 4), and stops when its context ends.
func shardFollow(ctx context.Context, t *testing.T, s gateway.Shard) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	r, err := s.Read(ctx, event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("a"), Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []uint64
	for live := false; !live; {
		b, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		live = b.Live
		got = append(got, offsetsOf(t, b)...)
	}
	submit(t, s, Commit(event.Expect{}, [2]string{"a", "l"}))
	b, err := r.Next(ctx)
	if got = append(got, offsetsOf(t, b)...); err != nil || !equal(got, []uint64{1, 2, 3, 4}) || b.Position.Offset != 4 {
		t.Fatalf("followed %v up to %+v, %v", got, b.Position, err)
	}
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("after cancel: %v", err)
	}
}

func shardLists(t *testing.T, s gateway.Shard) {
	t.Helper()
	list, more, err := s.Streams([]byte("a"), nil, nil, false, 1)
	if err != nil || len(list) != 1 || string(list[0].Key) != "k" || list[0].Revision != 3 || !more {
		t.Errorf("first page: %v %v %v", list, more, err)
	}
	list, more, err = s.Streams([]byte("a"), nil, []byte("k"), true, 10)
	if err != nil || len(list) != 1 || string(list[0].Key) != "l" || list[0].Offset != 4 || more {
		t.Errorf("second page: %v %v %v", list, more, err)
	}
	if n, err := s.TopicEvents([]byte("a")); n != 4 || err != nil {
		t.Errorf("topic a has %d events, %v", n, err)
	}
	if n, err := s.TopicEvents([]byte("b")); n != 0 || err != nil {
		t.Errorf("topic b has %d events, %v", n, err)
	}
}

// TopicsContract holds empty topics to what the gateway relies on.
func TopicsContract(t *testing.T, topics gateway.Topics) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, name := range []string{"b", "a", "ab"} {
		if created, err := topics.EnsureTopic(ctx, name, gateway.Layout{}); !created || err != nil {
			t.Fatalf("make %s: %v %v", name, created, err)
		}
	}
	if created, err := topics.EnsureTopic(ctx, "a", gateway.Layout{}); created || err != nil {
		t.Errorf("make a again: %v %v", created, err)
	}
	if found, ok := topics.Topic([]byte("ab")); !ok || found.Name != "ab" || found.Shard != gateway.FirstShard || found.Created.IsZero() {
		t.Errorf("ab is %+v %v", found, ok)
	}
	if list, more := topics.Topics("a", "", 1); len(list) != 1 || list[0].Name != "a" || !more {
		t.Errorf("first of a*: %v %v", list, more)
	}
	if list, more := topics.Topics("a", "a", 10); len(list) != 1 || list[0].Name != "ab" || more {
		t.Errorf("a* after a: %v %v", list, more)
	}
	if err := topics.DeleteTopic(ctx, "ab"); err != nil {
		t.Error(err)
	}
	if _, ok := topics.Topic([]byte("ab")); ok || topics.Count() != 2 {
		t.Errorf("ab is still there, or others are not: %d", topics.Count())
	}
	if err := topics.DeleteTopic(ctx, "ab"); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("delete again: %v", err)
	}
}
