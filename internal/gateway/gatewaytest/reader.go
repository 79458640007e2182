package gatewaytest

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/event"
)

// batchEvents is small, so that tests see several batches.
const batchEvents = 3

// Read begins a read. Of the starting points it knows start, end, numbers and positions.
func (s *Shard) Read(_ context.Context, spec event.ReadSpec) (event.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &reader{shard: s, spec: spec, left: spec.Limit}
	last := uint64(len(s.events))
	switch spec.From.Kind {
	case event.Start:
		r.next = 1
	case event.End:
		r.next = last + 1
		if spec.Backwards {
			r.next = last
		}
	case event.AtPosition:
		r.next = spec.From.Position.Offset + 1
		if spec.Backwards {
			r.next--
		}
	default:
		r.next = max(1, spec.From.Number)
		if spec.Scope == event.ScopeStream {
			r.next, r.revision = 1, spec.From.Number
		}
	}
	return r, nil
}

type reader struct {
	shard    *Shard
	spec     event.ReadSpec
	next     uint64
	revision uint64
	left     uint64
	live     bool
	over     bool
	err      error
}

// Next gives the next batch.
func (r *reader) Next(ctx context.Context) (event.Batch, error) {
	for {
		b, grown, ended := r.gather()
		switch {
		case len(b.Events) > 0 || b.Live:
			return b, nil
		case r.err != nil:
			return b, r.err
		case ended:
			return b, io.EOF
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return event.Batch{}, ctx.Err()
		}
	}
}

func (r *reader) gather() (b event.Batch, grown <-chan struct{}, ended bool) {
	r.shard.mu.Lock()
	defer r.shard.mu.Unlock()
	for !r.over && r.inside() && len(b.Events) < batchEvents {
		r.take(&b)
	}
	caughtUp := !r.over && len(b.Events) == 0
	if caughtUp && r.spec.Follow && !r.live {
		r.live, b.Live = true, true
	}
	b.Position = r.shard.position(r.next - 1)
	if r.spec.Backwards {
		b.Position.Offset = r.next
	}
	return b, r.shard.grown, r.over || caughtUp && !r.spec.Follow
}

func (r *reader) inside() bool { return r.next >= 1 && r.next <= uint64(len(r.shard.events)) }

func (r *reader) take(b *event.Batch) {
	e := r.shard.events[r.next-1]
	if r.spec.Backwards {
		r.next--
	} else {
		r.next++
	}
	if !r.wants(e) {
		return
	}
	b.Events = append(b.Events, e.bytes)
	if r.left > 0 {
		r.left--
		r.over = r.left == 0
	}
}

func (r *reader) wants(e recorded) bool {
	if r.spec.Scope != event.ScopeAll && e.topic != string(r.spec.Topic) || r.spec.Scope == event.ScopeStream && e.key != string(r.spec.Key) {
		return false
	}
	if e.revision < r.revision || !strings.HasPrefix(e.key, string(r.spec.KeyPrefix)) {
		return false
	}
	if len(r.spec.Types) > 0 && !slices.ContainsFunc(r.spec.Types, func(t []byte) bool { return string(t) == e.kind }) {
		return false
	}
	return r.tagged(e) && r.true(e)
}

func (r *reader) tagged(e recorded) bool {
	var decoded eventwire.Recorded
	if err := eventwire.DecodeRecorded(e.bytes, &decoded); err != nil {
		return false
	}
	for _, tag := range r.spec.Tags {
		if !slices.Contains(decoded.Tags, string(tag)) {
			return false
		}
	}
	return true
}

// true holds the event against the condition; a failure ends the read.
func (r *reader) true(e recorded) (matches bool) {
	if r.spec.Where == nil {
		return true
	}
	var v eventwire.View
	if r.err = eventwire.ViewRecorded(e.bytes, &v); r.err == nil {
		matches, r.err = r.spec.Where.Match(e.bytes, &v)
	}
	r.over = r.over || r.err != nil
	return matches
}

// Close does nothing.
func (r *reader) Close() {}
