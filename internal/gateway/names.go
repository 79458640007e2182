package gateway

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/gesta-db/gesta/internal/errs"
)

// nameLocks lets one at a time make or delete the topic of a name.
type nameLocks struct {
	held atomic.Int64 // how many, so that the appends' look is cheap while there are none

	mu sync.Mutex
	by map[string]chan struct{} // closed at unlock
}

func (n *nameLocks) locked(name []byte) bool {
	if n.held.Load() == 0 {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.by[string(name)] != nil
}

func (n *nameLocks) lock(ctx context.Context, name string) error {
	for {
		freed := n.try(name)
		if freed == nil {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return errs.New(errs.Unavailable, "topic %s is being made or deleted by another call; nothing was done: %w", name, ctx.Err()).With("topic", name)
		}
	}
}

// try locks the name and gives nil, or what is closed when its holder lets go.
func (n *nameLocks) try(name string) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if freed := n.by[name]; freed != nil {
		return freed
	}
	if n.by == nil {
		n.by = map[string]chan struct{}{}
	}
	n.by[name] = make(chan struct{})
	n.held.Add(1)
	return nil
}

func (n *nameLocks) unlock(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.by[name])
	delete(n.by, name)
	n.held.Add(-1)
}

// flight counts the appends of one stretch of time that have no outcome yet, so that someone can wait for these without
// waiting for those that come after.
type flight struct {
	before *flight      // the stretch before, which may still be in the air too
	open   atomic.Int64 // and one until land is called
	landed chan struct{}
	once   sync.Once
}

func newFlight(before *flight) *flight {
	f := &flight{before: before, landed: make(chan struct{})}
	f.open.Store(1)
	return f
}

func (f *flight) add(n int) { f.open.Add(int64(n)) }

func (f *flight) done() {
	if f.open.Add(-1) == 0 {
		close(f.landed)
	}
}

// land waits for this and all earlier stretches. Nothing is added to f any more.
func (f *flight) land(ctx context.Context) error {
	f.once.Do(f.done)
	if f.before != nil {
		if err := f.before.land(ctx); err != nil {
			return err
		}
	}
	select {
	case <-f.landed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
