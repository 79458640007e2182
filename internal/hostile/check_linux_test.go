package hostile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/gesta-db/gesta/client"
)

// check holds what the clients were told against what every node holds.
func (r *round) check() {
	r.t.Helper()
	facts := r.sameEverywhere()
	if r.t.Failed() {
		return
	}
	r.numbers(facts)
	r.outcomes(facts)
	r.linearizable(facts)
	r.watched(facts)
	n := r.counts()
	if n[acked] == 0 || n[conflict] == 0 {
		r.t.Errorf("the round tested nothing: %v", n)
	}
	r.t.Logf("%d events;%s slowest call %v; outcomes %v", len(facts), r.told, r.slowest(), n)
}

// sameEverywhere reads the round's events from each node.
func (r *round) sameEverywhere() (facts []fact) {
	r.t.Helper()
	want := ""
	for i, n := range r.c.nodes {
		got, digest, err := r.read(n)
		switch {
		case err != nil:
			r.t.Errorf("read from %s: %v", n.name, err)
		case i == 0:
			facts, want = got, digest
		case digest != want:
			r.t.Errorf("%s and %s hold different events: %s", r.c.nodes[0].name, n.name, firstDifference(facts, got))
		}
	}
	return facts
}

// read reads the round's events from one node, which may still have to get the last of them.
func (r *round) read(n *node) (facts []fact, digest string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), heal)
	defer cancel()
	reader := dial(r.t, n.addr()).Read(ctx, client.ShardScope(1), client.ReadOptions{From: strconv.FormatUint(r.first, 10), Follow: true})
	defer reader.Close()
	sum := sha256.New()
	for len(facts) == 0 || facts[len(facts)-1].offset < r.last {
		e, err := reader.Next()
		if err != nil {
			return nil, "", fmt.Errorf("after %d events: %w", len(facts), err)
		}
		facts = append(facts, factOf(e))
		fmt.Fprintf(sum, "%+v\n", *e)
	}
	return facts, hex.EncodeToString(sum.Sum(nil)), nil
}

func firstDifference(a, b []fact) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("%+v and %+v", a[i], b[i])
		}
	}
	return fmt.Sprintf("%d and %d events, or other content", len(a), len(b))
}

// numbers checks that offsets and revisions have no gaps.
func (r *round) numbers(facts []fact) {
	r.t.Helper()
	revisions := map[string]uint64{}
	for i, f := range facts {
		if due := r.first + uint64(i); f.offset != due {
			r.t.Errorf("event %s has offset %d, %d was due", f.id, f.offset, due)
			return
		}
		if !strings.HasPrefix(f.key, r.id("")) {
			continue // of an earlier round, or of all
		}
		if revisions[f.key]++; f.revision != revisions[f.key] {
			r.t.Errorf("event %s has revision %d of %s, %d was due", f.id, f.revision, f.key, revisions[f.key])
			return
		}
	}
}

// outcomes finds what each writer was told.
func (r *round) outcomes(facts []fact) {
	r.t.Helper()
	byID := map[string]fact{}
	for _, f := range facts {
		if was, twice := byID[f.id]; twice {
			r.t.Errorf("event %s is there twice, at offsets %d and %d", f.id, was.offset, f.offset)
		}
		byID[f.id] = f
	}
	for _, o := range r.history {
		if o.foreign() {
			r.t.Errorf("writer %d, at %v: %v", o.writer, o.returned, o.err)
		}
		if err := o.holds(byID); err != nil {
			r.t.Errorf("writer %d, from %v to %v, %d tries: %v", o.writer, o.invoked, o.returned, o.tries, err)
		}
	}
}

// holds tells whether the log agrees with what a writer was told.
func (o *op) holds(byID map[string]fact) error {
	there, ids := 0, 0
	for i, p := range o.parts {
		for k, id := range p.ids {
			ids++
			f, ok := byID[id]
			if ok {
				there++
			}
			switch {
			case o.outcome == acked && !ok:
				return fmt.Errorf("%s was acknowledged as %+v and is lost", id, o.results[i])
			case o.outcome == acked && (f.key != p.key || f.revision != o.results[i].FirstRevision+uint64(k) || f.offset != o.results[i].FirstOffset+uint64(k)):
				return fmt.Errorf("%s was acknowledged as %+v and is %+v", id, o.results[i], f)
			case (o.outcome == conflict || o.outcome == refused) && ok:
				return fmt.Errorf("the answer was %s (revision %d of %s, wanted %v; %v), and %s is there: %+v", o.outcome, o.actual, o.key, p.expect, o.err, id, f)
			}
		}
	}
	if there != 0 && there != ids {
		return fmt.Errorf("%d of %d events of one commit are there: %+v", there, ids, o.parts)
	}
	return nil
}

// step is what the model of one stream sees of an operation.
type step struct {
	kind   byte // 'a' an append that was written, 'c' a conflict, 'r' a read
	expect client.Expect
	count  uint64
	first  uint64
	actual uint64
}

func met(e client.Expect, at uint64) bool {
	switch e.String() {
	case "any":
		return true
	case "none":
		return at == 0
	case "exists":
		return at > 0
	}
	return e == client.Revision(at)
}

// stream is a stream as its users think of it: a number that only appends move.
var stream = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, input, _ any) (bool, any) {
		at, s := state.(uint64), input.(step)
		switch s.kind {
		case 'a':
			return met(s.expect, at) && s.first == at+1, at + s.count
		case 'c':
			return s.actual == at && !met(s.expect, at), at
		}
		return s.actual == at, at
	},
	DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
}

// linearizable asks, stream by stream, whether one order explains every answer.
func (r *round) linearizable(facts []fact) {
	r.t.Helper()
	at := map[string]fact{}
	for _, f := range facts {
		at[f.id] = f
	}
	byKey := map[string][]porcupine.Operation{}
	for _, o := range r.history {
		for key, s := range o.steps(at) {
			end := int64(o.returned)
			if o.outcome == open {
				end = math.MaxInt64
			}
			byKey[key] = append(byKey[key], porcupine.Operation{ClientId: o.writer, Input: s, Call: int64(o.invoked), Return: end})
		}
	}
	for key, ops := range byKey {
		if got := porcupine.CheckOperationsTimeout(stream, ops, 20*time.Second); got != porcupine.Ok {
			r.t.Errorf("stream %s is not linearizable (%v) over %d operations: %s", key, got, len(ops), suspects(ops))
		}
	}
}

// steps are what each stream sees of an operation; one that was left open counts as written when the log says so.
func (o *op) steps(at map[string]fact) map[string]step {
	steps := map[string]step{}
	switch {
	case o.read:
		if o.outcome == acked {
			steps[o.key] = step{kind: 'r', actual: o.actual}
		}
		return steps
	case o.outcome == conflict:
		for _, p := range o.parts {
			if p.key == o.key {
				steps[p.key] = step{kind: 'c', expect: p.expect, actual: o.actual}
			}
		}
		return steps
	}
	for _, p := range o.parts {
		if f, ok := at[p.ids[0]]; ok {
			steps[p.key] = step{kind: 'a', expect: p.expect, count: uint64(len(p.ids)), first: f.revision}
		}
	}
	return steps
}

// suspects lists operations whose answers no time of theirs allows: a revision that was not yet there when they returned, or no
// longer the newest when they began.
func suspects(ops []porcupine.Operation) string {
	var b strings.Builder
	appends := slices.DeleteFunc(slices.Clone(ops), func(o porcupine.Operation) bool { return o.Input.(step).kind != 'a' })
	for _, o := range ops {
		s := o.Input.(step)
		if s.kind == 'a' {
			s.actual = s.first - 1
		}
		for _, a := range appends {
			w := a.Input.(step)
			if a.Return < o.Call && w.first > s.actual {
				fmt.Fprintf(&b, "\n%+v of writer %d [%v, %v] after %+v of %d [%v, %v]", s, o.ClientId, time.Duration(o.Call), time.Duration(o.Return), w, a.ClientId, time.Duration(a.Call), time.Duration(a.Return))
				break
			}
		}
		if b.Len() > 4000 {
			break
		}
	}
	return b.String()
}

// watched checks what the readers saw that followed all the while.
func (r *round) watched(facts []fact) {
	r.t.Helper()
	seen := func(w *watcher) []fact {
		r.mu.Lock()
		defer r.mu.Unlock()
		return w.facts
	}
	end, tick := time.After(heal), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for _, w := range r.watchers {
		for late := false; len(seen(w)) < len(facts) && !late; {
			select {
			case <-tick.C:
			case <-end:
				late = true
			}
		}
	}
	r.unwatch()
	r.watching.Wait()
	for _, w := range r.watchers {
		switch {
		case w.wrong != nil:
			r.t.Errorf("reader of %s: %v", w.name, w.wrong)
		case len(w.facts) < len(facts):
			r.t.Errorf("reader of %s has %d of %d events, %v after everything was well again", w.name, len(w.facts), len(facts), heal)
		case !slices.Equal(w.facts[:len(facts)], facts):
			r.t.Errorf("reader of %s saw what is not there: %s", w.name, firstDifference(w.facts, facts))
		}
	}
}

// sound stops every node and has its folder checked.
func (c *cluster) sound() {
	c.t.Helper()
	for _, n := range c.nodes {
		n.stop()
	}
	for _, n := range c.nodes {
		if out, err := n.within(binary(c.t), "check", n.data).CombinedOutput(); err != nil {
			c.t.Errorf("gesta check %s: %v\n%s", n.name, err, out)
		}
	}
}
