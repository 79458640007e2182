package shard

import (
	"context"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// Submit takes calls in the order in which they are to be judged. What their judgement needs from disk is looked up here, in the
// caller's goroutine.
func (s *Shard) Submit(calls []*event.Call) {
	tasks := make([]*task, 0, len(calls))
	store := make([]task, len(calls))
	for i, call := range calls {
		t := &store[i]
		t.call, call.Shard = call, t
		if err := s.prefetch(t); err != nil {
			call.Err = err
			call.Done(call)
			continue
		}
		tasks = append(tasks, t)
	}
	s.post(func(in *inbox) { in.tasks = append(in.tasks, tasks...) })
}

// prefetch admits a task and looks up what it needs. On an error nothing is left of it.
func (s *Shard) prefetch(t *task) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.admit(t.call); err != nil {
		return err
	}
	if err := s.look.resolve(t); err != nil {
		s.queued.Add(-int64(t.call.Commit.Bytes))
		return s.damaged(err)
	}
	return nil
}

// admit bounds what waits: past the limit the answer is busy at once.
func (s *Shard) admit(call *event.Call) error {
	if e := s.refusal.Load(); e != nil {
		return e
	}
	if n := s.queued.Add(int64(call.Commit.Bytes)); n > s.o.Limits.UncommittedBytes {
		s.queued.Add(-int64(call.Commit.Bytes))
		return errs.New(errs.Busy, "%d MiB of appends are waiting in shard %d; nothing was written: try again later", s.o.Limits.UncommittedBytes>>20, s.o.Number).With("limit", "uncommitted_bytes")
	}
	return nil
}

// Append writes a commit and waits for its outcome.
func (s *Shard) Append(ctx context.Context, c *event.Commit) (event.Outcome, error) {
	got := make(chan *event.Call, 1)
	call := &event.Call{Commit: c, Done: func(c *event.Call) { got <- c }}
	if d, ok := ctx.Deadline(); ok {
		call.Deadline = d
	}
	s.Submit([]*event.Call{call})
	select {
	case c := <-got:
		return c.Outcome, c.Err
	case <-ctx.Done():
		return event.Outcome{}, errs.New(errs.UnknownOutcome, "the caller stopped waiting (%w); the append may have been written: retry with the same ids", ctx.Err())
	}
}

// Barrier waits until everything acknowledged before the call is readable here; a follower asks its leader how much that is.
func (s *Shard) Barrier(ctx context.Context) error {
	got := make(chan error, 1)
	q := &query{done: func(err error) { got <- err }}
	if d, ok := ctx.Deadline(); ok {
		q.deadline = d
	}
	s.post(func(in *inbox) { in.queries = append(in.queries, q) })
	select {
	case err := <-got:
		return err
	case <-ctx.Done():
		return errs.New(errs.Unavailable, "the caller stopped waiting: %w", ctx.Err())
	}
}

// Head tells where a stream ends, and a position that includes it. It is linearizable.
func (s *Shard) Head(ctx context.Context, topic, key []byte) (event.Head, position.Position, error) {
	if err := s.Barrier(ctx); err != nil {
		return event.Head{}, position.Position{}, err
	}
	if err := s.enter(); err != nil {
		return event.Head{}, position.Position{}, err
	}
	defer s.leave()
	last, _, _ := s.tail.end()
	h, _, err := s.ix.Head(topic, key)
	return event.Head(h), s.position(max(last, h.Offset)), err
}

func (s *Shard) position(offset uint64) position.Position {
	return position.Position{Shard: s.o.Number, History: s.o.Lineage.history(s.status.Load().own), Offset: offset}
}

// Streams lists a topic's streams in the byte order of their keys.
func (s *Shard) Streams(topic, prefix, after []byte, hasAfter bool, limit int) ([]event.StreamHead, bool, error) {
	if err := s.enter(); err != nil {
		return nil, false, err
	}
	defer s.leave()
	found, more, err := s.ix.Streams(topic, prefix, after, hasAfter, limit)
	out := make([]event.StreamHead, len(found))
	for i, f := range found {
		out[i] = event.StreamHead{Key: f.Key, Head: event.Head(f.Head)}
	}
	return out, more, err
}

// TopicEvents counts a topic's events.
func (s *Shard) TopicEvents(topic []byte) (uint64, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	return s.ix.TopicEvents(topic)
}

// enter keeps the log and the index open until leave; it fails when they are closed. It is not held while anything is waited for.
func (s *Shard) enter() error {
	s.using.RLock()
	if s.ended {
		s.using.RUnlock()
		return s.closed()
	}
	return nil
}

func (s *Shard) leave() { s.using.RUnlock() }

func (s *Shard) closed() error { return errs.New(errs.Unavailable, "shard %d is closed", s.o.Number) }
