package cli

import (
	"context"
	"sync"
)

// window bounds how many things are under way at a time.
type window struct {
	mu    sync.Mutex
	moved sync.Cond
	most  int
	n     int
}

func newWindow(most int) *window {
	w := &window{most: most}
	w.moved.L = &w.mu
	return w
}

// enter waits for room. It gives up when ctx ends.
func (w *window) enter(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.until(ctx, func() bool { return w.n < w.most }); err != nil {
		return err
	}
	w.n++
	return nil
}

// leave makes room.
func (w *window) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n--
	w.moved.Broadcast()
}

// idle waits until nothing is under way, or ctx ends.
func (w *window) idle(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.until(ctx, func() bool { return w.n == 0 })
}

// until waits for a condition under the lock. A context that has ended goes first.
func (w *window) until(ctx context.Context, holds func() bool) error {
	release := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.moved.Broadcast()
	})
	defer release()
	for ctx.Err() == nil && !holds() {
		w.moved.Wait()
	}
	return ctx.Err()
}
