package shard

import (
	"context"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// wait sleeps until there is something newer for this read than what was looked at.
func (r *reader) wait(ctx context.Context) error {
	r.rest()
	for {
		last, grown, closed := r.s.tail.end()
		if last >= r.next || r.far() {
			r.end = last
			return nil
		}
		if closed {
			return errs.New(errs.Unavailable, "shard %d is closing: read on elsewhere, or later, from the last position", r.s.o.Number)
		}
		if r.spec.Scope != event.ScopeAll {
			if again, err := r.watch(ctx); err != nil || !again {
				return err
			}
			continue
		}
		select {
		case <-grown:
		case <-r.bell.C:
			r.rang = true
			if r.next != r.told {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch sleeps until there is an event of this read's stream or topic, passing over all others; again is false when it is time to
// tell how far that was.
func (r *reader) watch(ctx context.Context) (again bool, err error) {
	t := r.s.tail
	w := t.watch.add(&r.spec, r.next)
	defer t.watch.remove(w)
	if last, _, _ := t.end(); last >= r.next {
		return true, nil // it came before the watch began
	}
	if r.rang {
		r.wind() // who is not woken by all that comes looks again by itself
	}
	select {
	case <-w.hit:
		r.next = w.next
	case <-r.bell.C:
		r.rang = true
		r.next = max(r.next, t.watch.passed(w))
		return r.next == r.told, nil
	case <-t.ended:
	case <-ctx.Done():
		return true, ctx.Err()
	}
	return true, nil
}

// tellEvery is how long a follower says nothing while there are only events for others: then it tells how far it came.
const tellEvery = time.Second

// wind sets the bell anew.
func (r *reader) wind() {
	if r.rang = false; r.bell == nil {
		r.bell = time.NewTimer(r.s.tellEvery)
		return
	}
	r.bell.Reset(r.s.tellEvery)
}

// rings tells whether the reader has told nothing for so long.
func (r *reader) rings() bool {
	select {
	case <-r.bell.C:
		r.rang = true
	default:
	}
	return r.rang
}

// rest gives back what only catching up needs, and lets go of what was read: most followers wait for most of the time.
func (r *reader) rest() {
	r.arena, r.disk = nil, nil
	if clear(r.batch.Events[:cap(r.batch.Events)]); cap(r.batch.Events) > len(r.at) {
		r.batch.Events = nil
	}
}
