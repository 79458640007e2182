package gateway

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
)

func TestBudgetIsKept(t *testing.T) {
	b := newBudget(10)
	if b.Take(4) != nil || b.Take(6) != nil {
		t.Fatal("refused within the limit")
	}
	if err := b.Take(1); errs.CodeOf(err) != errs.Busy {
		t.Fatal(err)
	}
	b.Give(1)
	if b.Take(1) != nil {
		t.Fatal("refused what was given back")
	}
}

func TestBudgetLetsALargeOnePassAlone(t *testing.T) {
	b := newBudget(10)
	if b.Take(50) != nil {
		t.Fatal("refused while empty")
	}
	if b.Take(1) == nil {
		t.Fatal("more passed beside it")
	}
}

func TestBudgetWaits(t *testing.T) {
	b := newBudget(10)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := b.Wait(t.Context(), 7); err != nil {
				t.Error(err)
			}
			b.Give(7)
		})
	}
	wg.Wait()
	if b.used != 0 {
		t.Fatalf("%d left over", b.used)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Take(10); err != nil {
		t.Fatal(err)
	}
	if err := b.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// Stretches that have landed do not pile up behind the one that is open.
func TestFlightsAreForgotten(t *testing.T) {
	g := &Gateway{under: newFlight(nil)}
	for range 100 {
		before := g.newStretch()
		if err := before.land(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.forgetStretch(before)
	}
	if g.under.before != nil {
		t.Fatal("stretches that have landed are still held")
	}
}
