package cli

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestWindowIsBounded(t *testing.T) {
	w := newWindow(8)
	var inside, most atomic.Int32
	var all sync.WaitGroup
	for range 200 {
		if err := w.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer w.leave()
			n := inside.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			inside.Add(-1)
		})
	}
	if err := w.idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if most.Load() > 8 || w.n != 0 {
		t.Errorf("up to %d inside, %d left", most.Load(), w.n)
	}
}

func TestWindowGivesUp(t *testing.T) {
	w := newWindow(1)
	ctx, cancel := context.WithCancel(t.Context())
	if err := w.enter(ctx); err != nil {
		t.Fatal(err)
	}
	full, idle := make(chan error), make(chan error)
	go func() { full <- w.enter(ctx) }()
	go func() { idle <- w.idle(ctx) }()
	cancel()
	if err := <-full; !errors.Is(err, context.Canceled) {
		t.Errorf("enter gave %v", err)
	}
	if err := <-idle; !errors.Is(err, context.Canceled) {
		t.Errorf("idle gave %v", err)
	}
	w.leave()
	if err := w.idle(t.Context()); err != nil {
		t.Error(err)
	}
}
