package load

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func TestDriveCountsEveryAcknowledgement(t *testing.T) {
	var calls atomic.Uint64
	call := func(context.Context) error { calls.Add(1); return nil }
	r, err := Drive(t.Context(), []Caller{call, call, call}, Time{Warmup: 10 * time.Millisecond, Duration: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Acknowledged != calls.Load() {
		t.Errorf("acknowledged %d of %d calls", r.Acknowledged, calls.Load())
	}
	if r.Rate <= 0 || r.Rate*0.02 >= float64(r.Acknowledged) {
		t.Errorf("rate %v for %d calls, of which some were in the warm-up", r.Rate, r.Acknowledged)
	}
}

func TestDriveEndsAtTheFirstFailure(t *testing.T) {
	broken := errors.New("broken")
	waits := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	fails := func(context.Context) error { return broken }
	if _, err := Drive(t.Context(), []Caller{waits, fails}, Time{Duration: time.Hour}); !errors.Is(err, broken) {
		t.Errorf("ended with %v", err)
	}
}

func TestQuantile(t *testing.T) {
	sorted := make([]time.Duration, 101)
	for i := range sorted {
		sorted[i] = time.Duration(i) * time.Millisecond
	}
	if got := quantile(sorted, 0.99); got != 99 {
		t.Errorf("p99 of 0..100 ms is %v", got)
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("p50 of nothing is %v", got)
	}
}
