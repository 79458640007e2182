// Package load drives callers in a closed loop: each starts its next operation when the last one is acknowledged, as the callers
// of `gesta bench append` do. It knows nothing of the systems it loads.
package load

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Caller does one operation and returns when it is acknowledged. It is used by one goroutine.
type Caller func(ctx context.Context) error

// Time is how long to run.
type Time struct {
	Warmup   time.Duration // not measured
	Duration time.Duration // measured
}

// Result is what a run came to. Rate and latencies are of the operations that began and ended in the measured time.
type Result struct {
	Rate         float64 // operations a second
	P50, P99     float64 // milliseconds
	Acknowledged uint64  // operations in all, warm-up included
}

// Drive runs the callers until the time is over and each has its last acknowledgement. The first failure ends the run.
func Drive(ctx context.Context, callers []Caller, t Time) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := span{began: time.Now().Add(t.Warmup)}
	s.ends = s.began.Add(t.Duration)
	logs := make([]log, len(callers))
	var wg sync.WaitGroup
	for i, call := range callers {
		wg.Go(func() {
			if err := logs[i].repeat(ctx, call, s); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	return sum(logs, t.Duration), nil
}

// span is the measured time.
type span struct{ began, ends time.Time }

// log is what one caller saw.
type log struct {
	acknowledged uint64
	took         []time.Duration
}

func (l *log) repeat(ctx context.Context, call Caller, s span) error {
	for {
		started := time.Now()
		if !started.Before(s.ends) {
			return nil
		}
		if err := call(ctx); err != nil {
			return errors.Join(err, ctx.Err())
		}
		answered := time.Now()
		l.acknowledged++
		if !started.Before(s.began) && answered.Before(s.ends) {
			l.took = append(l.took, answered.Sub(started))
		}
	}
}

func sum(logs []log, measured time.Duration) Result {
	var all []time.Duration
	var r Result
	for _, l := range logs {
		all = append(all, l.took...)
		r.Acknowledged += l.acknowledged
	}
	slices.Sort(all)
	r.Rate = float64(len(all)) / measured.Seconds()
	r.P50, r.P99 = quantile(all, 0.50), quantile(all, 0.99)
	return r
}

// quantile is of sorted times, in milliseconds; 0 without any.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(q*float64(len(sorted)-1))]) / float64(time.Millisecond)
}
