package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

func one(id string) []Event { return []Event{{ID: id, Type: "T", Data: []byte("{}")}} }

func TestAppendTellsWhereItIs(t *testing.T) {
	f := newFake(t)
	c := newClient(t, Options{}, f)
	res, err := c.Append(t.Context(), Append{Topic: "orders", Key: "1", Expect: None(), Events: []Event{{Type: "A"}, {Type: "B"}}})
	if err != nil {
		t.Fatal(err)
	}
	if want := (StreamResult{1, 2, 1, 2}); len(res.Streams) != 1 || res.Streams[0] != want || res.Position == "" || res.Repeated {
		t.Errorf("%+v", res)
	}
	res, err = c.Commit(t.Context(), []Append{
		{Topic: "orders", Key: "1", Expect: Revision(2), Events: one("x")}, {Topic: "orders", Key: "2", Events: one("y")},
	})
	if err != nil || len(res.Streams) != 2 || res.Streams[0].LastRevision != 3 || res.Streams[1].FirstOffset != 4 {
		t.Errorf("%+v %v", res, err)
	}
	ids := f.stream("orders/1")
	if len(ids) != 3 || len(ids[0]) != idBytes || ids[0] == ids[1] {
		t.Errorf("events without ids got %q", ids)
	}
}

func TestRefusalsAreNotRetried(t *testing.T) {
	for _, code := range []Code{CodeInvalid, CodeConflict, CodeNotFound, CodeTooLarge, CodeNoSpace, CodeRejected, CodeForbidden, CodeCorrupt, CodeInternal} {
		f := newFake(t)
		f.script = func(int, *gestav1.AppendCall) action { return action{refuse: string(code)} }
		c := newClient(t, Options{}, f)
		_, err := c.Append(t.Context(), Append{Topic: "t", Events: one("a")})
		if CodeOf(err) != code || len(f.arrivals()) != 1 {
			t.Errorf("%s: %v after %d calls", code, err, len(f.arrivals()))
		}
	}
}

func TestConflictCarriesTheActualRevision(t *testing.T) {
	c := newClient(t, Options{}, newFake(t))
	_, err := c.Append(t.Context(), Append{Topic: "t", Expect: Exists(), Events: one("a")})
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeConflict || e.Details["actual_revision"] != "9" {
		t.Errorf("%#v", err)
	}
}

func TestPassingFailuresAreRetriedWithTheSameID(t *testing.T) {
	for _, code := range []Code{CodeBusy, CodeNoLeader, CodeUnavailable, CodeUnknownOutcome} {
		f := newFake(t)
		f.script = func(n int, _ *gestav1.AppendCall) action {
			if n < 3 {
				return action{refuse: string(code)}
			}
			return action{}
		}
		c := newClient(t, Options{}, f)
		if _, err := c.Append(t.Context(), Append{Topic: "t", Events: []Event{{Type: "A"}}}); err != nil {
			t.Errorf("%s: %v", code, err)
		}
		if got := f.arrivals(); len(got) != 4 || got[0] == "" || len(slices.Compact(got)) != 1 {
			t.Errorf("%s: arrived with %q", code, got)
		}
	}
}

func TestBrokenStreamWritesOnce(t *testing.T) {
	for _, skip := range []bool{false, true} {
		f := newFake(t)
		f.script = func(n int, _ *gestav1.AppendCall) action { return action{hang: n == 0, skip: n == 0 && skip} }
		c := newClient(t, Options{}, f)
		res, err := c.Append(t.Context(), Append{Topic: "t", Events: one("a")})
		if err != nil || res.Repeated == skip || res.Streams[0].FirstRevision != 1 {
			t.Errorf("skip %v: %+v %v", skip, res, err)
		}
		if got := f.stream("t/"); len(got) != 1 {
			t.Errorf("skip %v: written %d times", skip, len(got))
		}
	}
}

func TestNextAddressIsTried(t *testing.T) {
	for _, code := range []Code{CodeNoLeader, CodeUnavailable} {
		a, b := newFake(t), newFake(t)
		a.script = func(int, *gestav1.AppendCall) action { return action{refuse: string(code)} }
		c := newClient(t, Options{}, a, b)
		for i := range 3 {
			if _, err := c.Append(t.Context(), Append{Topic: "t", Events: one(strconv.Itoa(i))}); err != nil {
				t.Errorf("%s: %v", code, err)
			}
		}
		if len(a.arrivals()) != 1 || len(b.arrivals()) != 3 {
			t.Errorf("%s: %d and %d calls arrived", code, len(a.arrivals()), len(b.arrivals()))
		}
	}
	dead, alive := newFake(t), newFake(t)
	dead.server.Stop()
	c := newClient(t, Options{}, dead, alive)
	if _, err := c.Append(t.Context(), Append{Topic: "t", Events: one("a")}); err != nil {
		t.Error(err)
	}
}

// A node that answers nothing is left, if there is another: what it may have written is sent again with the same ids.
func TestASilentNodeIsLeft(t *testing.T) {
	frozen, well := newFake(t), newFake(t)
	frozen.script = func(int, *gestav1.AppendCall) action { return action{skip: true} }
	c := newClient(t, Options{}, frozen, well)
	began := time.Now()
	res, err := c.Append(t.Context(), Append{Topic: "orders", Key: "1", Events: []Event{{ID: "a", Type: "T"}}})
	if err != nil || res.Streams[0].LastRevision != 1 {
		t.Fatalf("%+v %v", res, err)
	}
	if took := time.Since(began); took < appendRoad.silence || took > 4*appendRoad.silence {
		t.Errorf("it took %v", took)
	}
	frozen.mu.Lock()
	defer frozen.mu.Unlock()
	well.mu.Lock()
	defer well.mu.Unlock()
	if !slices.Equal(frozen.seen, []string{"a"}) || !slices.Equal(well.seen, []string{"a"}) {
		t.Errorf("sent %v and %v", frozen.seen, well.seen)
	}
}

func TestGivingUp(t *testing.T) {
	silent := func(int, *gestav1.AppendCall) action { return action{silent: true} }
	refuse := func(code string) func(int, *gestav1.AppendCall) action {
		return func(int, *gestav1.AppendCall) action { return action{refuse: code} }
	}
	lostThenBusy := func(n int, _ *gestav1.AppendCall) action {
		if n == 0 {
			return action{hang: true, skip: true}
		}
		return action{refuse: "busy"}
	}
	cases := []struct {
		name   string
		script func(int, *gestav1.AppendCall) action
		code   Code
	}{
		{"no answer", silent, CodeUnknownOutcome},
		{"busy to the end", refuse("busy"), CodeBusy},
		{"no leader to the end", refuse("no_leader"), CodeNoLeader},
		{"lost, then busy to the end", lostThenBusy, CodeUnknownOutcome},
	}
	for _, tc := range cases {
		for _, how := range []string{"deadline", "timeout", "started", "started with timeout"} {
			f := newFake(t)
			f.script = tc.script
			c := newClient(t, Options{Timeout: 150 * time.Millisecond}, f)
			ctx := t.Context()
			if how == "deadline" || how == "started" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 150*time.Millisecond)
				defer cancel()
			}
			began := time.Now()
			a := Append{Topic: "t", Events: one("a")}
			var err error
			if strings.HasPrefix(how, "started") {
				_, err = c.Start(ctx, []Append{a}).Wait(context.Background())
			} else {
				_, err = c.Append(ctx, a)
			}
			if CodeOf(err) != tc.code || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, %s: %v", tc.name, how, err)
			}
			if took := time.Since(began); took < 100*time.Millisecond || took > 2*time.Second {
				t.Errorf("%s, %s: gave up after %v", tc.name, how, took)
			}
		}
	}
}

func TestCancelledBeforeItIsSent(t *testing.T) {
	c := newClient(t, Options{}, newFake(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Append(ctx, Append{Topic: "t", Events: one("a")})
	if CodeOf(err) != CodeUnavailable || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := c.Start(ctx, []Append{{Topic: "t", Events: one("a")}}).Wait(t.Context()); CodeOf(err) != CodeUnavailable {
		t.Error(err)
	}
}

func TestCancelledWhileUnderway(t *testing.T) {
	f := newFake(t)
	arrived := make(chan struct{}, 1)
	f.script = func(n int, _ *gestav1.AppendCall) action {
		if n == 0 {
			arrived <- struct{}{}
		}
		return action{silent: n == 0}
	}
	c := newClient(t, Options{}, f)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err := c.Append(ctx, Append{Topic: "t", Events: one("a")})
	if CodeOf(err) != CodeUnknownOutcome || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// The session goes on, and the slot is not confused with the next call's.
	if res, err := c.Append(t.Context(), Append{Topic: "t", Events: one("b")}); err != nil || res.Streams[0].FirstRevision != 2 {
		t.Errorf("%+v %v", res, err)
	}
	if f.opened != 1 {
		t.Errorf("%d streams were opened", f.opened)
	}
}

func TestTheServerLearnsTheTimeout(t *testing.T) {
	f := newFake(t)
	c := newClient(t, Options{Timeout: 3 * time.Second}, f)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	for _, ctx := range []context.Context{t.Context(), ctx} {
		if _, err := c.Append(ctx, Append{Topic: "t", Events: one("")}); err != nil {
			t.Fatal(err)
		}
	}
	a, b := f.timeouts[0].AsDuration(), f.timeouts[1].AsDuration()
	if a > 3*time.Second || a < 2*time.Second || b > 90*time.Second || b < 89*time.Second {
		t.Errorf("told %v and %v", a, b)
	}
}

func TestManyCallers(t *testing.T) {
	f := newFake(t)
	f.script = func(n int, _ *gestav1.AppendCall) action { return action{last: n%7 == 0, hang: n%997 == 996} }
	c := newClient(t, Options{}, f)
	var wg sync.WaitGroup
	const callers, each = 64, 50
	for i := range callers {
		wg.Go(func() {
			key := strconv.Itoa(i)
			for n := range uint64(each) {
				res, err := c.Append(t.Context(), Append{Topic: "t", Key: key, Expect: Revision(n), Events: one(fmt.Sprint(i, ".", n))})
				if err != nil || res.Streams[0].LastRevision != n+1 {
					t.Errorf("caller %d, append %d: %+v %v", i, n, res, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if len(f.log) != callers*each {
		t.Errorf("%d events are in the log", len(f.log))
	}
	if l := c.appends; l.live != 0 || l.underway != 0 || len(l.queue) != 0 {
		t.Errorf("left over: %d calls, %d bytes, %d queued", l.live, l.underway, len(l.queue))
	}
}

func TestBytesUnderwayAreBounded(t *testing.T) {
	f := newFake(t)
	f.script = func(int, *gestav1.AppendCall) action { return action{silent: true} }
	c := newClient(t, Options{}, f)
	big := []Event{{Type: "T", Data: make([]byte, maxUnderway/4)}}
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 3 {
		c.Start(ctx, []Append{{Topic: "t", Key: strconv.Itoa(i), Events: big}})
	}
	short, done := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer done()
	_, err := c.Append(short, Append{Topic: "t", Key: "more", Events: []Event{{Type: "T", Data: make([]byte, maxUnderway/2)}}})
	if CodeOf(err) != CodeUnavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call over the bound: %v", err)
	}
	cancel()
	f.mu.Lock()
	f.script = nil
	f.mu.Unlock()
	if _, err := c.Append(t.Context(), Append{Topic: "t", Key: "last", Events: big}); err != nil {
		t.Errorf("after room was made: %v", err)
	}
}

func TestTooLargeIsNotSent(t *testing.T) {
	f := newFake(t)
	c := newClient(t, Options{}, f)
	a := Append{Topic: "t", Events: []Event{{Type: "T", Data: make([]byte, maxRequest)}}}
	if _, err := c.Append(t.Context(), a); CodeOf(err) != CodeTooLarge {
		t.Error(err)
	}
	if _, err := c.Start(t.Context(), []Append{a}).Wait(t.Context()); CodeOf(err) != CodeTooLarge || len(f.arrivals()) != 0 {
		t.Error(err)
	}
}

func TestCloseEndsWhatIsUnderway(t *testing.T) {
	f := newFake(t)
	arrived := make(chan struct{}, 2)
	f.script = func(int, *gestav1.AppendCall) action { arrived <- struct{}{}; return action{silent: true} }
	c := newClient(t, Options{}, f)
	errs := make(chan error, 1)
	go func() {
		_, err := c.Append(context.Background(), Append{Topic: "t", Events: one("a")})
		errs <- err
	}()
	<-arrived
	p := c.Start(context.Background(), []Append{{Topic: "t", Events: one("b")}})
	<-arrived
	c.Close()
	if err := <-errs; CodeOf(err) != CodeUnknownOutcome {
		t.Error(err)
	}
	if _, err := p.Wait(t.Context()); CodeOf(err) != CodeUnknownOutcome {
		t.Error(err)
	}
	if _, err := c.Append(t.Context(), Append{Topic: "t", Events: one("c")}); CodeOf(err) != CodeUnavailable {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestErrorsOfTheStreamItself(t *testing.T) {
	f := newFake(t)
	c := newClient(t, Options{}, f)
	f.server.Stop()
	if _, err := c.Append(t.Context(), Append{Topic: "t", Events: one("a")}); CodeOf(err) != CodeUnavailable {
		t.Errorf("nobody there: %v", err)
	}
	for code, want := range map[codes.Code]Code{
		codes.Unimplemented: CodeUnsupported, codes.Unauthenticated: CodeUnauthenticated, codes.PermissionDenied: CodeForbidden,
	} {
		s := &session{addr: "a", err: failure(code, string(want), "no", nil)}
		if e := s.failure(&call{}); e.Code != want {
			t.Errorf("%v: %v", code, e)
		}
	}
}
