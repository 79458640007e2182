package entity

import (
	"flag"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

var (
	seeds = flag.Int("seeds", 120, "worlds that TestWorlds steps")
	seed  = flag.Uint64("seed", 0, "one world to step; 0: all")
)

// TestWorlds steps a core between a log that loses appends, foreign writers, handlers that do everything wrong, and callers that
// retry. The log's events tell on what they were decided; see world.check and world.truthful.
func TestWorlds(t *testing.T) {
	sum := map[string]int{}
	for s := uint64(1); s <= uint64(*seeds); s++ {
		if *seed != 0 {
			s = *seed
		}
		ok := t.Run(fmt.Sprint(s), func(t *testing.T) {
			w := newWorld(t, s)
			w.deletes, w.mortal, w.checks = s%3 == 0, s%6 == 0, s%4 == 0
			w.run(1500)
			for k, n := range w.counts {
				sum[k] += n
			}
			sum["acked"] += w.acked
		})
		if !ok || *seed != 0 {
			break
		}
	}
	t.Log(sum)
	for _, must := range []string{"acked", "resets", "loads", "lost", "foreign", "carried", "idle", "result", "failure", string(errs.UnknownOutcome), string(errs.Unavailable), string(errs.Rejected), string(errs.Gone)} {
		if sum[must] == 0 && *seed == 0 {
			t.Errorf("no world had %s", must)
		}
	}
}

// run steps for a while, then heals everything and lets it come to rest.
func (w *world) run(steps int) {
	w.attach()
	w.absorb()
	for range steps {
		w.step()
		w.absorb()
	}
	w.calm = true
	w.handlers = append([]*actor(nil), w.handlers...)
	for len(w.handlers) > 0 {
		w.handlers[0].leave()
		w.absorb()
	}
	w.attach().forgets = false
	w.absorb()
	for range 200 {
		for _, q := range w.retry {
			w.send(q)
		}
		w.retry = nil
		w.absorb()
		w.settle()
		w.advance(time.Second)
		if len(w.calls) == 0 && len(w.retry) == 0 {
			break
		}
	}
	w.rested()
}

// rested holds that nothing is left behind: every call has its answer, and every idle entity is forgotten.
func (w *world) rested() {
	w.t.Helper()
	w.settle()
	if st := w.core.Stats(); len(w.calls) > 0 || st.Pending != 0 || st.InHand != 0 {
		w.t.Fatalf("%d calls have no answer; %+v", len(w.calls), st)
	}
	w.advance(time.Minute)
	w.handlers[0].leave()
	w.absorb()
	if st := w.core.Stats(); !reflect.DeepEqual(st, Stats{}) || len(w.core.kinds) != 0 || len(w.core.byID) != 0 {
		w.t.Fatalf("left behind: %+v, %d kinds, %d ids", st, len(w.core.kinds), len(w.core.byID))
	}
}

func (w *world) advance(by time.Duration) {
	w.now = w.now.Add(by)
	w.core.At(w.now)
	w.core.Tick()
	w.absorb()
}

// settle lets everything under way come to its end.
func (w *world) settle() {
	for range 10_000 {
		switch {
		case len(w.flying) > 0:
			w.commit()
		case len(w.outcomes) > 0:
			w.outcome()
		case len(w.loads) > 0:
			w.oneLoad(0)
		case len(w.confirms) > 0:
			w.oneConfirm(0)
		default:
			busy := false
			for _, h := range w.handlers {
				busy = busy || len(h.tasks) > 0
				h.work()
			}
			if !busy {
				return
			}
		}
		w.absorb()
	}
	w.t.Fatal("it does not come to rest")
}

func (w *world) outcome() {
	call := w.outcomes[0]
	w.outcomes = w.outcomes[1:]
	if u, _ := call.User.(*write); u != nil {
		w.core.Committed(call)
	}
}

func (w *world) oneLoad(i int) {
	l := w.loads[i]
	w.loads = append(w.loads[:i], w.loads[i+1:]...)
	w.load(l)
}

func (w *world) oneConfirm(i int) {
	q := w.confirms[i]
	w.confirms = append(w.confirms[:i], w.confirms[i+1:]...)
	w.confirm(q)
}

// step does one thing.
func (w *world) step() {
	switch n := w.rand.IntN(100); {
	case n < 20:
		w.ask()
	case n < 45:
		if len(w.handlers) > 0 {
			w.handlers[w.rand.IntN(len(w.handlers))].work()
		}
	case n < 60:
		if len(w.flying) > 0 {
			w.commit()
		}
	case n < 75:
		if len(w.outcomes) > 0 {
			w.outcome()
		}
	case n < 83:
		if len(w.loads) > 0 {
			w.oneLoad(w.rand.IntN(len(w.loads)))
		}
	case n < 91:
		if len(w.confirms) > 0 {
			w.oneConfirm(w.rand.IntN(len(w.confirms)))
		}
	case n < 92:
		w.foreign(fmt.Sprint("k", w.rand.IntN(3)))
	case n < 93:
		if w.chance(30) {
			w.lose()
		}
	case n < 97:
		w.advance(time.Duration(w.rand.IntN(400)) * time.Millisecond)
	case n < 98:
		if w.chance(10) {
			w.advance(40 * time.Second)
		}
	default:
		w.comeOrGo()
	}
}

func (w *world) comeOrGo() {
	switch {
	case len(w.handlers) == 0 || len(w.handlers) < 3 && w.chance(20):
		w.attach()
	case w.chance(15):
		w.handlers[w.rand.IntN(len(w.handlers))].leave()
	case w.chance(15):
		w.core.Drain(w.handlers[w.rand.IntN(len(w.handlers))].a, "drains")
	}
}
