package shard

import (
	"context"
	"sync"
	"time"
)

// Budget gives a pace of so many bytes a second, shared by all who use it; what was not used for a quarter of a second is lost.
func Budget(bytesPerSecond int64) Pace {
	if bytesPerSecond <= 0 {
		return nil
	}
	var mu sync.Mutex
	var free time.Time // when everything that was granted so far is paid for
	const spare = time.Second / 4
	return func(ctx context.Context, bytes int) error {
		mu.Lock()
		now := time.Now()
		if free.Before(now.Add(-spare)) {
			free = now.Add(-spare)
		}
		free = free.Add(time.Duration(float64(bytes) / float64(bytesPerSecond) * float64(time.Second)))
		wait := free.Sub(now)
		mu.Unlock()
		if wait <= 0 {
			return ctx.Err()
		}
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
			return nil
		}
	}
}
