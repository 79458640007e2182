package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// Chained expectations under way together all hold, although some of them fail in passing.
func TestPipelinedExpectationsSurviveFailures(t *testing.T) {
	for name, a := range map[string]action{
		"busy": {refuse: "busy"}, "unknown": {refuse: "unknown_outcome"}, "broken before": {hang: true, skip: true}, "broken after": {hang: true},
	} {
		f := newFake(t)
		f.script = func(n int, _ *gestav1.AppendCall) action {
			if n == 3 || n == 20 || n == 21 {
				return a
			}
			return action{}
		}
		c := newClient(t, Options{}, f)
		var ps []*Pending
		var want []string
		for i := range 50 {
			want = append(want, strconv.Itoa(i))
			ps = append(ps, c.Start(t.Context(), []Append{{Topic: "t", Expect: Revision(uint64(i)), Events: one(want[i])}}))
		}
		for i, p := range ps {
			if res, err := p.Wait(t.Context()); err != nil || res.Streams[0].LastRevision != uint64(i+1) {
				t.Errorf("%s: append %d: %+v %v", name, i, res, err)
			}
		}
		if got := f.stream("t/"); !slices.Equal(got, want) {
			t.Errorf("%s: the stream is %v", name, got)
		}
		if l := c.appends; len(l.lines) != 0 || len(l.pendings) != 0 || l.live != 0 || l.underway != 0 {
			t.Errorf("%s: left over: %d lines, %d pendings, %d calls, %d bytes", name, len(l.lines), len(l.pendings), l.live, l.underway)
		}
	}
}

// A later append that was accepted while an earlier one was refused is not followed by the earlier one; one with an exact
// expectation needs no such care.
func TestOvertakenIsNotSlippedIn(t *testing.T) {
	for _, refusal := range []action{{refuse: "busy", before: true}, {refuse: "busy", after: true}} {
		f := newFake(t)
		f.script = func(n int, call *gestav1.AppendCall) action {
			if n == 0 {
				return refusal
			}
			return action{}
		}
		c := newClient(t, Options{}, f)
		start := func(id string, x Expect) *Pending {
			return c.Start(t.Context(), []Append{{Topic: "t", Expect: x, Events: one(id)}})
		}
		first, second := start("1", Any()), start("2", Any())
		if _, err := second.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		_, err := first.Wait(t.Context())
		e, _ := err.(*Error)
		if got := f.stream("t/"); e == nil || e.Code != CodeBusy || e.Details["overtaken"] != "true" || !slices.Equal(got, []string{"2"}) {
			t.Errorf("%v, and the stream is %v", err, got)
		}
		f.mu.Lock()
		f.seen = nil
		f.mu.Unlock()
		first, second = start("3", Revision(1)), start("4", Revision(2))
		for _, p := range []*Pending{first, second} {
			if _, err := p.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if got := f.stream("t/"); !slices.Equal(got, []string{"2", "3", "4"}) {
			t.Errorf("the stream is %v", got)
		}
	}
}

// What was refused is given up as well when a later append may have been accepted: its answer was lost.
func TestPerhapsOvertaken(t *testing.T) {
	f := newFake(t)
	f.script = func(n int, call *gestav1.AppendCall) action {
		switch n {
		case 0:
			return action{refuse: "busy", before: true}
		case 1:
			return action{unsure: true}
		}
		return action{}
	}
	c := newClient(t, Options{}, f)
	first := c.Start(t.Context(), []Append{{Topic: "t", Events: one("1")}})
	second := c.Start(t.Context(), []Append{{Topic: "t", Events: one("2")}})
	_, err := first.Wait(t.Context())
	res, ok := second.Wait(t.Context())
	if CodeOf(err) != CodeBusy || ok != nil || !res.Repeated || len(f.stream("t/")) != 1 {
		t.Errorf("%v; %+v %v", err, res, ok)
	}
}

// Whatever happens to single calls, the events of a stream are in the log in the order in which their appends were started.
func TestOrderUnderRandomFailures(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			orderUnderFailures(t, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func orderUnderFailures(t *testing.T, r *rand.Rand) {
	a := newFake(t)
	a.script = func(_ int, call *gestav1.AppendCall) action {
		if strings.HasSuffix(firstID(call), "7") {
			return action{refuse: "invalid", last: true}
		}
		switch n := r.IntN(100); {
		case n < 8:
			return action{refuse: []string{"busy", "no_leader", "unavailable"}[r.IntN(3)]}
		case n < 10:
			return action{unsure: true}
		case n < 13:
			return action{hang: true, skip: r.IntN(2) == 0}
		case n < 20:
			return action{last: true}
		}
		return action{}
	}
	c := newClient(t, Options{}, a)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	plan := rand.New(rand.NewPCG(r.Uint64(), 2))
	type started struct {
		n       int
		streams []Append
		p       *Pending
	}
	var all []started
	for n := range 150 {
		var streams []Append
		for _, k := range plan.Perm(4)[:1+plan.IntN(2)] {
			streams = append(streams, Append{Topic: "t", Key: strconv.Itoa(k), Events: one(fmt.Sprintf("%04d", n))})
		}
		if plan.IntN(10) == 0 {
			_, _ = c.Append(ctx, streams[0]) // whatever it comes to: the order of the others is not disturbed
			continue
		}
		all = append(all, started{n, streams, c.Start(ctx, streams)})
	}
	for _, s := range all {
		_, err := s.p.Wait(t.Context())
		for _, st := range s.streams {
			in := slices.Contains(a.stream("t/"+st.Key), fmt.Sprintf("%04d", s.n))
			if err == nil && !in || err != nil && CodeOf(err) != CodeUnknownOutcome && in {
				t.Errorf("append %d to %s: in the log %v, but told %v", s.n, st.Key, in, err)
			}
		}
	}
	for k := range 4 {
		if ids := a.stream("t/" + strconv.Itoa(k)); !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
			t.Errorf("stream %d: %v", k, ids)
		}
	}
	if l := c.appends; len(l.lines) != 0 || len(l.pendings) != 0 || l.live != 0 || l.underway != 0 {
		t.Errorf("left over: %d lines, %d pendings, %d calls, %d bytes", len(l.lines), len(l.pendings), l.live, l.underway)
	}
}
