package peer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/limits"
)

// commitOf is a commit of one event for a/k.
func commitOf(id string, expect event.Expect, size int) *event.Commit {
	b := eventwire.AppendEvent(nil, &eventwire.Event{ID: id, Type: "T", Data: make([]byte, size)})
	eid, typ, err := eventwire.ViewEvent(b)
	if err != nil {
		panic(err)
	}
	return &event.Commit{Streams: []event.Append{{Topic: []byte("a"), Key: []byte("k"), Expect: expect, Events: []event.Prepared{{ID: eid, Type: typ, Bytes: b}}}}, Bytes: len(b)}
}

func exactly(n uint64) event.Expect { return event.Expect{Kind: event.Exact, Revision: n} }

// calls makes calls whose ends come on a channel.
func calls(commits ...*event.Commit) ([]*event.Call, <-chan *event.Call) {
	done := make(chan *event.Call, 2*len(commits))
	list := make([]*event.Call, len(commits))
	for i, c := range commits {
		list[i] = &event.Call{Commit: c, Deadline: time.Now().Add(patience), User: i, Done: func(c *event.Call) { done <- c }}
	}
	return list, done
}

func TestCommitsAreForwarded(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	list, done := calls(commitOf("1", exactly(0), 10), commitOf("2", exactly(1), 10), commitOf("3", exactly(1), 10), commitOf("4", event.Expect{Kind: event.Exists}, 10), commitOf("5", event.Expect{Kind: event.None}, 10))
	a.SubmitFor("ann", 2, 1, list)
	for range list {
		c := receive(t, done)
		switch i := c.User.(int); i {
		case 2, 4:
			if e := wantCode(t, c.Err, errs.Conflict); e.Details["actual"] == "" {
				t.Errorf("no details: %+v", e)
			}
		default:
			revision := []uint64{1, 2, 0, 3}[i]
			if c.Err != nil || c.Outcome.Streams[0] != (event.StreamOutcome{FirstRevision: revision, LastRevision: revision, FirstOffset: revision, LastOffset: revision}) || c.Outcome.Position.History == 0 {
				t.Errorf("call %d: %+v %v", i, c.Outcome, c.Err)
			}
		}
	}
	// What arrived is what was sent, byte for byte.
	r, err := b.h.shard.Read(within(t), event.ReadSpec{Scope: event.ScopeAll})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := r.Next(within(t))
	if err != nil {
		t.Fatal(err)
	}
	var v eventwire.View
	if err := eventwire.ViewRecorded(batch.Events[0], &v); err != nil || !slices.Equal(v.Event, list[0].Commit.Streams[0].Events[0].Bytes) {
		t.Error("other bytes arrived", err)
	}
}

// A commit arrives with everything it has.
func TestCommitsArriveWhole(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	c := commitOf("1", event.Expect{}, 300)
	c.Streams = append(c.Streams, event.Append{Topic: []byte("b"), Expect: event.Expect{Kind: event.None}, Events: c.Streams[0].Events})
	c.CommandID, c.NoCreate, c.Request = []byte("cmd"), true, &[32]byte{1, 2, 3}
	c.Reply = &event.Payload{ContentType: "text/plain", Type: "R", Data: []byte("yes")}
	c.State = &event.State{Version: 7, Payload: event.Payload{Type: "S", Data: make([]byte, 1000)}}
	c.Bytes = 2*c.Bytes + 3 + 1000
	b.h.submit = func(from Peer, shard uint32, calls []*event.Call) {
		got := calls[0].Commit
		if from.Caller != "ann" || from.Node != "n1" || shard != 7 || len(calls) != 1 || calls[0].Deadline.IsZero() {
			t.Errorf("from %+v for shard %d", from, shard)
		}
		if string(got.CommandID) != "cmd" || !got.NoCreate || *got.Request != *c.Request || got.Bytes != c.Bytes || len(got.Streams) != 2 || got.Digest() != c.Digest() {
			t.Errorf("got %+v", got)
		}
		if got.Reply.ContentType != "text/plain" || got.Reply.Type != "R" || string(got.Reply.Data) != "yes" || got.State.Version != 7 || got.State.Type != "S" || len(got.State.Data) != 1000 {
			t.Errorf("got %+v and %+v", got.Reply, got.State)
		}
		calls[0].Outcome = event.Outcome{Streams: make([]event.StreamOutcome, 2), Position: position.Position{Shard: 7, History: 1 << 63, Offset: 9}, Repeated: true, Reply: got.Reply}
		calls[0].Done(calls[0])
	}
	list, done := calls(c)
	a.SubmitFor("ann", 2, 7, list)
	o := receive(t, done)
	if o.Err != nil || !o.Outcome.Repeated || o.Outcome.Position != (position.Position{Shard: 7, History: 1 << 63, Offset: 9}) || string(o.Outcome.Reply.Data) != "yes" {
		t.Errorf("%+v %v", o.Outcome, o.Err)
	}
}

func TestForwardedCommitsAreChecked(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	b.h.submit = func(Peer, uint32, []*event.Call) { t.Error("it was let in") }
	large := commitOf("1", event.Expect{}, 2<<20)
	name := commitOf("1", event.Expect{}, 1)
	name.Streams[0].Topic = []byte("NO")
	state := commitOf("1", event.Expect{}, 1)
	state.State = &event.State{Payload: event.Payload{Data: make([]byte, limits.MiB+1)}}
	reply := commitOf("1", event.Expect{}, 1)
	reply.Reply = &event.Payload{Data: make([]byte, limits.MiB)}
	list, done := calls(large, name, state, reply)
	a.Submit(2, 1, list)
	for range list {
		c := receive(t, done)
		wantCode(t, c.Err, []errs.Code{errs.TooLarge, errs.Invalid, errs.TooLarge, errs.TooLarge}[c.User.(int)])
	}
}

func TestNoOneToForwardTo(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	list, done := calls(commitOf("1", event.Expect{}, 1))
	a.Submit(9, 1, list) // nobody knows 9
	wantCode(t, receive(t, done).Err, errs.NoLeader)
	b.kill(t)
	list, done = calls(commitOf("1", event.Expect{}, 1), commitOf("2", event.Expect{}, 1))
	a.Submit(2, 1, list)
	for range list {
		wantCode(t, receive(t, done).Err, errs.NoLeader)
	}
}

// When the stream is lost, what was sent is unknown, and what was not was not written.
func TestALostStreamLeavesTheOutcomeUnknown(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	b.h.shard.Hold()
	list, done := calls(commitOf("1", event.Expect{}, 1), commitOf("2", event.Expect{}, 1))
	a.Submit(2, 1, list)
	eventually(t, "it has them", func() bool { return b.h.shard.Held() == 2 })
	b.kill(t)
	for range list {
		wantCode(t, receive(t, done).Err, errs.UnknownOutcome)
	}
	again := start(t, a.book, 2, b.addr)
	eventually(t, "commits go again", func() bool {
		list, done := calls(commitOf("1", event.Expect{}, 1))
		a.Submit(2, 1, list)
		return receive(t, done).Err == nil
	})
	if h, _, _ := again.h.shard.Head(within(t), []byte("a"), []byte("k")); h.Revision == 0 {
		t.Error("nothing was written")
	}
	if a.link(2).commits.bytes != 0 {
		t.Error("bytes in flight are left over")
	}
}

func TestWhatIsOnItsWayIsBounded(t *testing.T) {
	t.Parallel()
	l := limits.Default()
	l.InFlightBytes = 64 * limits.KiB
	a, b := pair(t, func(o *Options) { o.Limits = &l })
	b.h.shard.Hold()
	var commits []*event.Commit
	for i := range 100 {
		commits = append(commits, commitOf(fmt.Sprint(i), event.Expect{}, 1000))
	}
	list, done := calls(commits...)
	a.Submit(2, 1, list)
	busy := 0
	for range 100 - b.most(a, 1000) {
		wantCode(t, receive(t, done).Err, errs.Busy)
		busy++
	}
	eventually(t, "the rest is there", func() bool { return b.h.shard.Held() == 100-busy })
	b.h.shard.Release()
	for range 100 - busy {
		if err := receive(t, done).Err; err != nil {
			t.Error(err)
		}
	}
	list, done = calls(commits[0])
	a.Submit(2, 1, list)
	if err := receive(t, done).Err; err != nil {
		t.Error("there is room again:", err)
	}
}

// most is how many commits of a size may be on their way.
func (n *node) most(from *node, size int) int {
	c := commitOf("10", event.Expect{}, size)
	return int(from.o.Limits.InFlightBytes) / (c.Bytes + commitOverhead)
}

// A commit is forwarded once: the one who gets it does not pass it on.
func TestForwardedCommitsAreNotForwardedAgain(t *testing.T) {
	t.Parallel()
	known := newBook()
	a, b, c := start(t, known, 1, ""), start(t, known, 2, ""), start(t, known, 3, "")
	b.h.submit = func(_ Peer, shard uint32, calls []*event.Call) { b.Submit(3, shard, calls) }
	c.h.submit = func(Peer, uint32, []*event.Call) { t.Error("a second hop") }
	list, done := calls(commitOf("1", event.Expect{}, 1))
	a.Submit(2, 1, list)
	wantCode(t, receive(t, done).Err, errs.NoLeader)
}

func TestTheLeadersNameComesBack(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	b.h.shard.Fail(errs.New(errs.NoLeader, "not here").With("leader", "n3"))
	list, done := calls(commitOf("1", event.Expect{}, 1))
	a.Submit(2, 1, list)
	if e := wantCode(t, receive(t, done).Err, errs.NoLeader); e.Details["leader"] != "n3" {
		t.Errorf("%+v", e)
	}
}

// A leader that is silent does not keep a caller beyond its deadline for long.
func TestDeadlinesHoldWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	b.h.submit = func(Peer, uint32, []*event.Call) {}
	list, done := calls(commitOf("1", event.Expect{}, 1))
	list[0].Deadline = time.Now().Add(20 * time.Millisecond)
	a.Submit(2, 1, list)
	wantCode(t, receive(t, done).Err, errs.UnknownOutcome)
	b.kill(t) // it never answers
}

// A node that stops answers what it took on, and asks for no more; the other side's new commits are told at once that nothing was
// written.
func TestAStoppingLeaderAnswersWhatItTook(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	b.h.shard.Hold()
	list, done := calls(commitOf("1", event.Expect{}, 1))
	a.Submit(2, 1, list)
	eventually(t, "it has it", func() bool { return b.h.shard.Held() == 1 })
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		b.stop(t)
	}()
	receive(t, b.draining.Done())
	later, end := calls(commitOf("2", event.Expect{}, 1))
	a.Submit(2, 1, later)
	wantCode(t, receive(t, end).Err, errs.NoLeader)
	b.h.shard.Release()
	if err := receive(t, done).Err; err != nil {
		t.Error("what was taken on:", err)
	}
	receive(t, closed)
}

// What a leader does not answer is taken back when the shard has another one, and what it answers later is nobody's.
func TestCommitsAreRecalled(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	b.h.shard.Hold()
	list, done := calls(commitOf("1", event.Expect{}, 1), commitOf("2", event.Expect{}, 1))
	a.Submit(2, 1, list)
	eventually(t, "it has them", func() bool { return b.h.shard.Held() == 2 })
	a.Recall(2, 7)
	a.Recall(3, 1)
	select {
	case c := <-done:
		t.Fatalf("another shard's call was taken back: %v", c.Err)
	default:
	}
	a.Recall(2, 1)
	for range list {
		wantCode(t, receive(t, done).Err, errs.UnknownOutcome)
	}
	b.h.shard.Release()
	list, done = calls(commitOf("3", event.Expect{}, 1))
	a.Submit(2, 1, list)
	if c := receive(t, done); c.Err != nil || c.Outcome.Streams[0].FirstRevision != 3 {
		t.Errorf("after that: %+v %v", c.Outcome, c.Err)
	}
}

// A node that stops waits for the answers to what it sent.
func TestAStoppingNodeWaitsForItsCommits(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	b.h.shard.Hold()
	list, done := calls(commitOf("1", event.Expect{}, 1))
	a.Submit(2, 1, list)
	eventually(t, "it has it", func() bool { return b.h.shard.Held() == 1 })
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		a.stop(t)
	}()
	receive(t, a.draining.Done())
	b.h.shard.Release()
	if err := receive(t, done).Err; err != nil {
		t.Error(err)
	}
	receive(t, closed)
}

// Many callers at once, while the connection is cut now and then: every call is done once.
func TestEveryCallIsDoneOnce(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	wire := startProxy(t, b.addr)
	a.book.set(2, wire.addr())
	const callers, each = 8, 100
	var wg sync.WaitGroup
	var mu sync.Mutex
	codes := map[errs.Code]int{}
	for w := range callers {
		wg.Go(func() {
			for i := range each {
				list, done := calls(commitOf(fmt.Sprint(w, i, "a"), event.Expect{}, 100), commitOf(fmt.Sprint(w, i, "b"), event.Expect{}, 100))
				a.Submit(2, 1, list)
				for range list {
					c := receive(t, done)
					mu.Lock()
					codes[errs.CodeOf(c.Err)]++
					mu.Unlock()
				}
				if w == 0 && i%20 == 10 {
					wire.cut()
				}
			}
		})
	}
	wg.Wait()
	h, _, err := b.h.shard.Head(context.Background(), []byte("a"), []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for code, n := range codes {
		sum += n
		if code != "" && code != errs.NoLeader && code != errs.UnknownOutcome {
			t.Errorf("%d calls ended with %q", n, code)
		}
	}
	if sum != 2*callers*each || codes[""] == 0 {
		t.Errorf("%d ends of %d: %v", sum, 2*callers*each, codes)
	}
	if written := int(h.Revision); written < codes[""] || written > codes[""]+codes[errs.UnknownOutcome] {
		t.Errorf("%d were written; %d were told so, of %d it was not known", written, codes[""], codes[errs.UnknownOutcome])
	}
}
