package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/limits"
)

var nobody gateway.Caller

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

type fixture struct {
	*gateway.Gateway
	shard   *gatewaytest.Shard
	topics  *gatewaytest.Topics
	cursors gateway.Cursors
}

func open(t *testing.T, o gateway.Options, topics ...string) fixture {
	t.Helper()
	f := fixture{shard: gatewaytest.NewShard(), topics: gatewaytest.NewTopics(topics...), cursors: o.Cursors}
	l := limits.Default()
	if o.Shards == nil {
		o.Shards = gatewaytest.NewShards(f.shard)
	}
	o.Topics, o.Limits = f.topics, &l
	f.Gateway = gateway.New(o)
	return f
}

func call(done chan<- *gateway.Call, c *event.Commit) *gateway.Call {
	return &gateway.Call{Commit: c, Done: func(c *gateway.Call) { done <- c }}
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// eventually waits for something another goroutine is about to do.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

func TestContracts(t *testing.T) {
	gatewaytest.ShardContract(t, gatewaytest.NewShard())
	gatewaytest.TopicsContract(t, gatewaytest.NewTopics())
}

func TestAppendCreatesTopicsAndSaysSo(t *testing.T) {
	f := open(t, gateway.Options{}, "old")
	o, created, err := f.Append(t.Context(), nobody, gatewaytest.Commit(event.Expect{}, [2]string{"old", "1"}, [2]string{"new", "1"}))
	if err != nil || len(created) != 1 || created[0] != "new" || len(o.Streams) != 2 {
		t.Fatalf("%+v %v %v", o, created, err)
	}
	_, created, err = f.Append(t.Context(), nobody, gatewaytest.Commit(event.Expect{}, [2]string{"new", "1"}))
	if err != nil || len(created) != 0 {
		t.Fatalf("created again: %v %v", created, err)
	}
}

func TestNoCreate(t *testing.T) {
	f := open(t, gateway.Options{})
	c := gatewaytest.Commit(event.Expect{}, [2]string{"orders", "1"})
	c.NoCreate = true
	_, _, err := f.Append(t.Context(), nobody, c)
	if errs.CodeOf(err) != errs.NotFound || err.Error() != "there is no topic orders; create it with: gesta topics create orders" {
		t.Fatal(err)
	}
	if f.topics.Count() != 0 || f.shard.Status().LastOffset != 0 {
		t.Fatal("something was written")
	}
}

// A frame whose second call needs a topic made keeps its order: the first call reaches the log first, the third last.
func TestOrderIsKeptAroundACreation(t *testing.T) {
	f := open(t, gateway.Options{}, "a")
	done := make(chan *gateway.Call, 3)
	exact := func(topic string, n uint64) *event.Commit {
		return gatewaytest.Commit(event.Expect{Kind: event.Exact, Revision: n}, [2]string{topic, "k"})
	}
	calls := []*gateway.Call{call(done, exact("a", 0)), call(done, exact("b", 0)), call(done, exact("a", 1))}
	f.Submit(t.Context(), nobody, calls)
	for i := range calls {
		c := receive(t, done)
		if c != calls[i] || c.Err != nil || c.Outcome.Streams[0].FirstOffset != uint64(i+1) {
			t.Fatalf("done %d: %+v %v", i, c.Outcome, c.Err)
		}
	}
}

func TestOneOfManyMakesTheTopic(t *testing.T) {
	f := open(t, gateway.Options{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var made []string
	for range 20 {
		wg.Go(func() {
			_, created, err := f.Append(t.Context(), nobody, gatewaytest.Commit(event.Expect{}, [2]string{"new", "k"}))
			mu.Lock()
			defer mu.Unlock()
			made = append(made, created...)
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(made) != 1 || f.topics.Made() != 1 {
		t.Fatalf("told %v, made %d", made, f.topics.Made())
	}
}

func TestCreationThatTakesTooLong(t *testing.T) {
	f := open(t, gateway.Options{})
	release := f.topics.Hold()
	defer release()
	done := make(chan *gateway.Call, 1)
	c := call(done, gatewaytest.Commit(event.Expect{}, [2]string{"new", "k"}))
	c.Deadline = time.Now().Add(time.Millisecond)
	f.Submit(t.Context(), nobody, []*gateway.Call{c})
	if got := receive(t, done); errs.CodeOf(got.Err) != errs.Unavailable {
		t.Fatal(got.Err)
	}
}

func TestAppendWhoseCallerLeavesHasAnUnknownOutcome(t *testing.T) {
	f := open(t, gateway.Options{}, "a")
	f.shard.Hold()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, _, err := f.Append(ctx, nobody, gatewaytest.Commit(event.Expect{}, [2]string{"a", "k"}))
		result <- err
	}()
	eventually(t, "the call is held", func() bool { return f.shard.Held() == 1 })
	cancel()
	if err := receive(t, result); errs.CodeOf(err) != errs.UnknownOutcome {
		t.Fatal(err)
	}
	f.shard.Release()
}

func TestDeadlines(t *testing.T) {
	f := open(t, gateway.Options{}, "a")
	done := make(chan *gateway.Call, 2)
	given := time.Now().Add(time.Minute)
	with, without := call(done, gatewaytest.Commit(event.Expect{}, [2]string{"a", "k"})), call(done, gatewaytest.Commit(event.Expect{}, [2]string{"a", "k"}))
	with.Deadline = given
	f.Submit(t.Context(), nobody, []*gateway.Call{with, without})
	if !with.Deadline.Equal(given) || time.Until(without.Deadline) > gateway.DefaultTimeout || time.Until(without.Deadline) < gateway.DefaultTimeout/2 {
		t.Fatalf("%v %v", with.Deadline, without.Deadline)
	}
}

func TestRefusals(t *testing.T) {
	f := open(t, gateway.Options{}, "a")
	put := func() error {
		_, _, err := f.Append(t.Context(), nobody, gatewaytest.Commit(event.Expect{}, [2]string{"a", "k"}))
		return err
	}
	read := func() error {
		r, err := f.Read(t.Context(), nobody, 0, event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("a")})
		if err == nil {
			r.Close()
		}
		return err
	}
	f.Refuse(errs.New(errs.NoSpace, "full"))
	if errs.CodeOf(put()) != errs.NoSpace || read() != nil {
		t.Fatal("full: appends are refused, reads are not")
	}
	if ready, checks := f.Ready(); ready || checks[2].OK {
		t.Fatalf("ready while full: %+v", checks)
	}
	f.Refuse(nil)
	if put() != nil {
		t.Fatal("still full")
	}
	f.Drain()
	if errs.CodeOf(put()) != errs.Unavailable || errs.CodeOf(read()) != errs.Unavailable {
		t.Fatal("draining: both are refused")
	}
	if ready, _ := f.Ready(); ready {
		t.Fatal("ready while draining")
	}
}

type denier struct{ action gateway.Action }

func (d denier) Authorize(who gateway.Caller, action gateway.Action, topic []byte) error {
	if action == d.action {
		return errs.New(errs.Forbidden, "%s may not do this to %s", who.Name, topic)
	}
	return nil
}

func TestEverythingIsAuthorised(t *testing.T) {
	who := gateway.Caller{Name: "eve"}
	for action, do := range map[gateway.Action][]func(fixture) error{
		gateway.ActAppend: {func(f fixture) error {
			_, _, err := f.Append(t.Context(), who, gatewaytest.Commit(event.Expect{}, [2]string{"a", "k"}))
			return err
		}},
		gateway.ActRead: {func(f fixture) error {
			_, err := f.Read(t.Context(), who, 1, event.ReadSpec{Scope: event.ScopeAll})
			return err
		}, func(f fixture) error { _, _, err := f.Head(t.Context(), who, []byte("a"), nil); return err }},
		gateway.ActManage: {func(f fixture) error { _, err := f.CreateTopic(t.Context(), who, "b", gateway.Layout{}); return err },
			func(f fixture) error { return f.DeleteTopic(t.Context(), who, "a") }},
		gateway.ActInspect: {func(f fixture) error { _, err := f.Status(who); return err },
			func(f fixture) error { _, _, err := f.ListTopics(who, "", "", 0); return err },
			func(f fixture) error { _, err := f.DescribeTopic(who, "a"); return err },
			func(f fixture) error { _, _, err := f.ListStreams(who, "a", "", "", false, 0); return err }},
	} {
		for i, act := range do {
			if err := act(open(t, gateway.Options{Authorizer: denier{action}}, "a")); errs.CodeOf(err) != errs.Forbidden {
				t.Errorf("action %d, call %d: %v", action, i, err)
			}
			if err := act(open(t, gateway.Options{}, "a")); err != nil {
				t.Errorf("action %d, call %d, allowed: %v", action, i, err)
			}
		}
	}
}

func TestTopics(t *testing.T) {
	f := open(t, gateway.Options{})
	ctx := t.Context()
	for i := range 3 {
		if info, err := f.CreateTopic(ctx, nobody, fmt.Sprint("t", i), gateway.Layout{}); err != nil || info.Shard != gateway.FirstShard || info.Events != 0 {
			t.Fatal(info, err)
		}
	}
	if _, err := f.CreateTopic(ctx, nobody, "t1", gateway.Layout{}); errs.CodeOf(err) != errs.Exists {
		t.Fatal(err)
	}
	if _, err := f.CreateTopic(ctx, nobody, "T/1", gateway.Layout{}); errs.CodeOf(err) != errs.Invalid {
		t.Fatal(err)
	}
	if list, more, err := f.ListTopics(nobody, "t", "t0", 1); err != nil || len(list) != 1 || list[0].Name != "t1" || !more {
		t.Fatal(list, more, err)
	}
	if _, _, err := f.ListTopics(nobody, "", "", gateway.LargestPage+1); errs.CodeOf(err) != errs.TooLarge {
		t.Fatal(err)
	}
	if _, err := f.DescribeTopic(nobody, "t9"); errs.CodeOf(err) != errs.NotFound {
		t.Fatal(err)
	}
	if _, _, err := f.ListStreams(nobody, "t9", "", "", false, 0); errs.CodeOf(err) != errs.NotFound {
		t.Fatal(err)
	}
}

func TestDeleteTopic(t *testing.T) {
	f := open(t, gateway.Options{}, "empty", "full")
	if _, _, err := f.Append(t.Context(), nobody, gatewaytest.Commit(event.Expect{}, [2]string{"full", "k"})); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteTopic(t.Context(), nobody, "full"); errs.CodeOf(err) != errs.Conflict {
		t.Fatal(err)
	}
	if err := f.DeleteTopic(t.Context(), nobody, "none"); errs.CodeOf(err) != errs.NotFound {
		t.Fatal(err)
	}
	if err := f.DeleteTopic(t.Context(), nobody, "empty"); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.topics.Topic([]byte("empty")); ok {
		t.Fatal("still there")
	}
}

// A deletion waits for appends that saw the topic, and then finds their events; appends that come later wait for it.
func TestDeletionAndAppendsUnderWay(t *testing.T) {
	f := open(t, gateway.Options{}, "a")
	f.shard.Hold()
	early, late := make(chan *gateway.Call, 1), make(chan *gateway.Call, 1)
	f.Submit(t.Context(), nobody, []*gateway.Call{call(early, gatewaytest.Commit(event.Expect{}, [2]string{"a", "1"}))})
	deleted := make(chan error, 1)
	go func() { deleted <- f.DeleteTopic(t.Context(), nobody, "a") }()
	// The next append holds up until the deletion has ended: it can only be held by the shard before, so wait for the mark first.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	eventually(t, "the deletion has begun", func() bool {
		_, err := f.CreateTopic(expired(t), nobody, "a", gateway.Layout{})
		return errs.CodeOf(err) == errs.Unavailable
	})
	go f.Submit(ctx, nobody, []*gateway.Call{call(late, gatewaytest.Commit(event.Expect{}, [2]string{"a", "2"}))})
	select {
	case err := <-deleted:
		t.Fatalf("deleted under an append: %v", err)
	case <-late:
		t.Fatal("an append passed a deletion")
	default:
	}
	f.shard.Release()
	if c := receive(t, early); c.Err != nil {
		t.Fatal(c.Err)
	}
	if err := receive(t, deleted); errs.CodeOf(err) != errs.Conflict {
		t.Fatal(err)
	}
	if c := receive(t, late); c.Err != nil || len(c.Created) != 0 {
		t.Fatal(c.Err, c.Created)
	}
}

func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// Whatever appends and deletions do to each other, events never stand in a topic that is not there.
func TestDeletionsAgainstAppends(t *testing.T) {
	f := open(t, gateway.Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				if i%2 == 0 {
					topic := fmt.Sprint("t", n%7)
					if _, _, err := f.Append(t.Context(), nobody, gatewaytest.Commit(event.Expect{}, [2]string{topic, "k"})); err != nil {
						t.Error(err)
					}
					continue
				}
				err := f.DeleteTopic(t.Context(), nobody, fmt.Sprint("t", n%7))
				if code := errs.CodeOf(err); err != nil && code != errs.Conflict && code != errs.NotFound {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for n := range 7 {
		name := []byte(fmt.Sprint("t", n))
		events, err := f.shard.TopicEvents(name)
		if _, ok := f.topics.Topic(name); err != nil || events > 0 && !ok {
			t.Errorf("%s has %d events and exists %v, %v", name, events, ok, err)
		}
	}
}

func TestReads(t *testing.T) {
	f := open(t, gateway.Options{}, "a")
	if _, err := f.Read(t.Context(), nobody, 1, event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("b")}); errs.CodeOf(err) != errs.NotFound {
		t.Fatal(err)
	}
	if _, err := f.Read(t.Context(), nobody, 2, event.ReadSpec{Scope: event.ScopeAll}); errs.CodeOf(err) != errs.NotFound {
		t.Fatal(err)
	}
	if h, _, err := f.Head(t.Context(), nobody, []byte("b"), nil); err != nil || h.Revision != 0 {
		t.Fatal("a head of a topic that is not there yet is zero", err)
	}
}

func TestListener(t *testing.T) {
	var told []string
	tell := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	f := open(t, gateway.Options{Listener: &gateway.Listener{
		AppendDone:   func(_ time.Duration, events, _ int, err error) { tell("append %d %v", events, err) },
		ReadStarted:  func() { tell("read") },
		ReadEnded:    func() { tell("end") },
		ReadBatch:    func(_ time.Duration, events, _ int, live bool) { tell("batch %d %v", events, live) },
		TopicCreated: func(name string) { tell("created %s", name) },
		TopicDeleted: func(name string) { tell("deleted %s", name) },
	}})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := f.Append(t.Context(), nobody, gatewaytest.Commit(event.Expect{}, [2]string{"a", "k"}))
	must(err)
	failure := errors.New("broken")
	f.shard.Fail(failure)
	if _, _, err := f.Append(t.Context(), nobody, gatewaytest.Commit(event.Expect{}, [2]string{"a", "k"})); !errors.Is(err, failure) {
		t.Fatal(err)
	}
	f.shard.Fail(nil)
	r, err := f.Read(t.Context(), nobody, 1, event.ReadSpec{Scope: event.ScopeAll})
	must(err)
	_, err = r.Next(t.Context())
	must(err)
	r.Close()
	r.Close()
	_, err = f.CreateTopic(t.Context(), nobody, "b", gateway.Layout{})
	must(err)
	must(f.DeleteTopic(t.Context(), nobody, "b"))
	want := []string{"created a", "append 1 <nil>", "append 1 broken", "read", "batch 1 false", "end", "created b", "deleted b"}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Fatalf("told %q, want %q", told, want)
	}
}

func TestReadyAndStatus(t *testing.T) {
	f := open(t, gateway.Options{Identity: gateway.Identity{NodeID: "n1", Version: "v"}}, "a")
	f.SetDisk(gateway.Disk{Free: 2, Floor: 1})
	s, err := f.Status(nobody)
	if err != nil || !s.Ready || s.NodeID != "n1" || s.Topics != 1 || s.Disk.Free != 2 || len(s.Shards) != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	f.shard.NotReady("index is behind", "and more")
	if s, _ := f.Status(nobody); s.Ready || len(s.Reasons) != 1 || s.Reasons[0] != "index is behind; and more" {
		t.Fatalf("%+v", s)
	}
}
