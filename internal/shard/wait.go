package shard

import (
	"context"

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
			if err := r.watch(ctx); err != nil {
				return err
			}
			continue
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch sleeps until there is an event of this read's stream or topic, passing over all others.
func (r *reader) watch(ctx context.Context) error {
	t := r.s.tail
	w := t.watch.add(&r.spec, r.next)
	defer t.watch.remove(w)
	if last, _, _ := t.end(); last >= r.next {
		return nil // it came before the watch began
	}
	select {
	case <-w.hit:
		r.next = w.next
	case <-t.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// rest gives back what only catching up needs, and lets go of what was read: most followers wait for most of the time.
func (r *reader) rest() {
	r.arena, r.disk = nil, nil
	if clear(r.batch.Events[:cap(r.batch.Events)]); cap(r.batch.Events) > len(r.at) {
		r.batch.Events = nil
	}
}
