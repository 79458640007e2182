package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gesta-db/gesta/client"
)

// failuresInARow ends a run: the server is not answering, and there is nothing to measure.
const failuresInARow = 10

// worker is one caller.
type worker struct {
	run    *appendRun
	number int
	rand   *rand.Rand
	keys   []string // the streams it writes to
	known  []uint64 // with expectations: the revision of each, once learned
	seq    uint64   // events made
	acked  bitmap   // by seq
	row    int      // failures in a row
	events []client.Event
	ids    []byte
	ring   []flight
}

// flight is a commit under way.
type flight struct {
	pending *client.Pending
	stream  int
	seq     uint64
	started time.Duration
}

func newWorker(r *appendRun, number int) *worker {
	w := &worker{
		run: r, number: number, keys: r.keys, rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		events: make([]client.Event, r.cfg.Batch),
	}
	if r.cfg.Expect {
		n, c := len(r.keys), r.cfg.Concurrency
		w.keys = r.keys[number*n/c : (number+1)*n/c]
		w.known = make([]uint64, len(w.keys))
	}
	return w
}

// work appends until the measured time is over. Its error ends the run.
func (w *worker) work(ctx context.Context) error {
	if w.run.cfg.InFlight > 1 {
		return w.pipeline(ctx)
	}
	for w.run.ends.Load() == 0 && ctx.Err() == nil {
		f, a := w.next()
		res, err := w.run.client.Append(context.Background(), a)
		if err := w.answered(ctx, f, res, err); err != nil {
			return err
		}
	}
	return nil
}

// pipeline keeps several commits under way, and waits for the oldest.
func (w *worker) pipeline(ctx context.Context) error {
	w.ring = make([]flight, w.run.cfg.InFlight)
	for n := 0; ; n++ {
		f := &w.ring[n%len(w.ring)]
		if f.pending != nil {
			if err := w.land(ctx, f); err != nil {
				return err
			}
		}
		if w.run.ends.Load() != 0 || ctx.Err() != nil {
			return w.landAll(ctx, n)
		}
		g, a := w.next()
		g.pending = w.run.client.Start(context.Background(), []client.Append{a})
		*f = g
	}
}

func (w *worker) land(ctx context.Context, f *flight) error {
	res, err := f.pending.Wait(context.Background())
	f.pending = nil
	return w.answered(ctx, *f, res, err)
}

func (w *worker) landAll(ctx context.Context, n int) error {
	for i := range w.ring {
		if f := &w.ring[(n+i)%len(w.ring)]; f.pending != nil {
			if err := w.land(ctx, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// next makes a commit. Its events are valid until the following one.
func (w *worker) next() (flight, client.Append) {
	stream := w.rand.IntN(len(w.keys))
	f := flight{stream: stream, seq: w.seq, started: time.Since(w.run.epoch)}
	a := client.Append{Topic: w.run.cfg.Topic, Key: w.keys[stream], Events: w.events}
	w.ids = w.ids[:0]
	for range w.events {
		w.ids = w.run.naming.append(w.ids, w.number, w.seq)
		w.seq++
	}
	ids := string(w.ids)
	size := w.run.cfg.Size
	for i := range w.events {
		from := w.rand.IntN(len(w.run.payload) - size + 1)
		w.events[i] = client.Event{ID: ids[i*idSize : (i+1)*idSize], Type: "Benched", Data: w.run.payload[from : from+size]}
	}
	if w.known != nil {
		a.Expect = client.Revision(w.known[stream])
		w.known[stream] += uint64(len(w.events)) // if it is refused, answered asks
	}
	return f, a
}

// answered books an outcome.
func (w *worker) answered(ctx context.Context, f flight, res client.Result, err error) error {
	n := w.run.cfg.Batch
	if err == nil {
		w.row = 0
		w.acked.set(f.seq, n)
		w.run.acknowledged(n, f.started, time.Since(w.run.epoch))
		return nil
	}
	if ctx.Err() != nil {
		return nil // whoever ended it says why
	}
	w.run.fail(err)
	if w.row++; w.row >= failuresInARow {
		return fmt.Errorf("%d appends in a row failed: %w", w.row, err)
	}
	if w.known == nil {
		return nil
	}
	h, err := w.run.client.Head(ctx, w.run.cfg.Topic, w.keys[f.stream])
	w.known[f.stream] = h.Revision
	return err
}

// bitmap is a growing set of numbers.
type bitmap []uint64

// set adds n numbers from first on.
func (b *bitmap) set(first uint64, n int) {
	for i := first; i < first+uint64(n); i++ {
		for i>>6 >= uint64(len(*b)) {
			*b = append(*b, 0)
		}
		(*b)[i>>6] |= 1 << (i & 63)
	}
}

func (b bitmap) has(i uint64) bool { return i>>6 < uint64(len(b)) && b[i>>6]&(1<<(i&63)) != 0 }
