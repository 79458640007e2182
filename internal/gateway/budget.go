package gateway

import (
	"context"
	"sync"

	"github.com/gesta-db/gesta/internal/errs"
)

// Budget bounds the bytes that one connection has in flight: received and not yet answered.
type Budget struct {
	limit int64

	mu    sync.Mutex
	used  int64
	freed chan struct{} // closed and replaced when something was given back while someone waited
}

// NewBudget gives an empty budget of the limit on bytes in flight per connection.
func (g *Gateway) NewBudget() *Budget { return newBudget(g.limits.InFlightBytes) }

func newBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Take takes n bytes at once, or answers busy. What is larger than the whole budget passes when nothing else is in flight.
func (b *Budget) Take(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.take(n) {
		return nil
	}
	return errs.New(errs.Busy, "this connection has %d bytes in flight, and in_flight_bytes is %d: wait for answers before sending more", b.used, b.limit).With("limit", "in_flight_bytes")
}

// Wait takes n bytes when they are to be had, or ends with ctx.
func (b *Budget) Wait(ctx context.Context, n int) error {
	for {
		freed := b.takeOrWatch(n)
		if freed == nil {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *Budget) takeOrWatch(n int) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.take(n) {
		return nil
	}
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	return b.freed
}

func (b *Budget) take(n int) bool {
	if b.used > 0 && b.used+int64(n) > b.limit {
		return false
	}
	b.used += int64(n)
	return true
}

// Give returns n bytes.
func (b *Budget) Give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= int64(n)
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}
