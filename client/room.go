package client

import (
	"context"
	"slices"
)

// maxUnderway bounds the bytes of calls that have no outcome: what a server reads ahead from one connection.
const maxUnderway = 16 << 20

// ticket is a caller that waits for room.
type ticket struct {
	bytes   int
	granted chan struct{}
}

// fits tells whether there is room; with the lock held. Whoever came first goes first, and one call always fits alone.
func (l *lane) fits(n int) bool {
	return len(l.waiting) == 0 && (l.underway == 0 || l.underway+n <= maxUnderway)
}

// admit waits for room; it is called with the lock held and returns without it.
func (l *lane) admit(ctx context.Context, k *call) *Error {
	t := &ticket{bytes: k.weight(), granted: make(chan struct{})}
	l.waiting = append(l.waiting, t)
	l.mu.Unlock()
	if !k.expires.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, k.expires)
		defer cancel()
	}
	select {
	case <-t.granted:
		return nil
	case <-ctx.Done():
	case <-l.client.ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, t); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		l.release(0)
	} else {
		l.release(t.bytes)
	}
	if err := ctx.Err(); err != nil {
		return givenUp(false, err)
	}
	return closedError()
}

// release returns bytes of room; with the lock held.
func (l *lane) release(n int) {
	l.underway -= n
	for len(l.waiting) > 0 {
		t := l.waiting[0]
		if l.underway > 0 && l.underway+t.bytes > maxUnderway {
			return
		}
		l.waiting = l.waiting[1:]
		l.underway += t.bytes
		close(t.granted)
	}
}
