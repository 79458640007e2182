package shard

import (
	"context"
	"io"
	"time"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/seglog"
)

const (
	// readAhead is how much a reader takes from disk at once when it goes on from where it was.
	readAhead = 512 << 10
	// batchBytes and batchEvents bound one batch: large enough that a frame's cost does not show, small enough to flow.
	batchBytes  = 256 << 10
	batchEvents = 4096
	// firstArena is what a reader begins with for bytes from disk.
	firstArena = 16 << 10
	// batchOffsets bounds what a filter may leave out before the caller is told how far the read came.
	batchOffsets = 100_000
)

// ahead tells that a read continues from a place which this replica has not reached yet.
func (s *Shard) ahead(spec *event.ReadSpec) bool {
	last, _, _ := s.tail.end()
	return spec.From.Kind == event.AtPosition && spec.From.Position.Offset > last
}

// Read begins a read. It waits until everything acknowledged before is readable, and finds the starting point.
func (s *Shard) Read(ctx context.Context, spec event.ReadSpec) (event.Reader, error) {
	if spec.Backwards && spec.Follow {
		return nil, errs.New(errs.Invalid, "a read that goes backwards cannot follow: drop one of the two").With("field", "follow")
	}
	if !spec.Stale || s.ahead(&spec) {
		if err := s.Barrier(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	r := &reader{s: s, spec: spec, left: spec.Limit}
	r.end, _, _ = s.tail.end()
	if err := r.begin(); err != nil {
		r.Close()
		return nil, s.damaged(err)
	}
	return r, nil
}

// reader walks a shard: by its log when all of it is wanted, by the index's postings when a stream or a topic is, and through the
// tail in memory when it is near the end.
type reader struct {
	s    *Shard
	spec event.ReadSpec
	disk *seglog.Reader // nil until there is something to read from it
	left uint64         // events until the limit

	looked uint64 // at how many events

	// next is the offset to look at next. Backwards, everything from it on was looked at.
	next uint64
	end  uint64 // the newest applied offset that is known
	told uint64 // next, as the last batch told it

	revision    uint64 // of a stream, when the starting point tells: where its postings begin
	minRevision uint64
	postings    *index.Iter   // of a stream or a topic
	found       *index.Finder // of what the filter keeps, perhaps among others
	whole       uint64        // up to there the filter may keep everything, and the log is read
	at          [128]index.Posting
	fetched     []index.Posting

	live, over bool
	bell       *time.Timer // rings when a follower has told nothing for a while
	rang       bool
	failed     error          // what ended the read; it is told behind the events found before it
	view       eventwire.View // of the event looked at
	batch      event.Batch
	bytes      int
	arena      []byte
}

// Next gives the next batch.
func (r *reader) Next(ctx context.Context) (event.Batch, error) {
	for !r.over && r.failed == nil {
		r.batch = event.Batch{Events: r.batch.Events[:0]}
		r.arena, r.bytes = r.arena[:0], 0
		caughtUp, err := r.fillOpen()
		if err != nil {
			r.failed = r.s.damaged(err)
			if len(r.batch.Events) > 0 {
				return r.tell(), nil
			}
			break
		}
		r.over = r.limited() || caughtUp && !r.spec.Follow
		switch {
		case len(r.batch.Events) > 0 || !caughtUp || r.far():
			return r.tell(), nil
		case r.spec.Follow && !r.live:
			r.live, r.batch.Live = true, true
			return r.tell(), nil
		case r.spec.Follow && r.rings() && r.next != r.told:
			return r.tell(), nil
		case r.spec.Follow:
			if err := r.wait(ctx); err != nil {
				return event.Batch{}, err
			}
		}
	}
	if r.failed != nil {
		return event.Batch{}, r.failed
	}
	return event.Batch{}, io.EOF
}

// tell finishes a batch with how far the reader came, whether or not a filter left everything out.
func (r *reader) tell() event.Batch {
	r.batch.Position = r.s.position(r.next - 1)
	r.told = r.next
	if r.live {
		r.wind()
	}
	return r.batch
}

// file reads the log's files, from where it last did.
func (r *reader) file() *seglog.Reader {
	if r.disk == nil {
		r.disk = r.s.disk.Log.NewReader(readAhead)
	}
	return r.disk
}

// Close gives back what the reader holds.
func (r *reader) Close() {
	r.dropPostings()
	if r.bell != nil {
		r.bell.Stop()
	}
}

// fillOpen fills while the shard's log and index are open.
func (r *reader) fillOpen() (caughtUp bool, err error) {
	if err := r.s.enter(); err != nil {
		return false, err
	}
	defer r.s.leave()
	return r.fill()
}

// fill puts the next events into the batch. caughtUp tells that there are no more for now.
func (r *reader) fill() (caughtUp bool, err error) {
	switch {
	case r.spec.Backwards && !r.listed():
		return r.fillBackwards()
	case r.spec.Backwards:
		return r.fillPostings()
	}
	if r.next > r.end {
		return true, nil
	}
	// What the index lists is found by it until the reader has caught up: what the tail holds is mostly for others.
	if !r.listed() || r.live {
		if es := r.s.tail.from(r.next); es != nil {
			return r.fillTail(es)
		}
	}
	if !r.listed() {
		return r.fillLog(r.end)
	}
	return r.fillPostings()
}

// offer looks at an event and takes it if it is wanted. The reader goes on behind it.
func (r *reader) offer(payload []byte, v *eventwire.View, copied bool) error {
	r.looked++
	wanted, err := r.wants(payload, v)
	if err != nil {
		return err
	}
	if r.next = v.Offset + 1; r.spec.Backwards {
		r.next = v.Offset
	}
	if wanted {
		r.take(payload, copied)
	}
	return nil
}

// take puts an event into the batch; bytes that the next read would overwrite are copied.
func (r *reader) take(payload []byte, copied bool) {
	if copied {
		start := len(r.arena)
		if start+len(payload) > cap(r.arena) {
			// What was taken stays in the old array. It grows by doubling: most readers want little.
			r.arena = make([]byte, 0, max(min(2*cap(r.arena), batchBytes+batchBytes/4), firstArena, len(payload)))
			start = 0
		}
		r.arena = append(r.arena, payload...)
		payload = r.arena[start:len(r.arena):len(r.arena)]
	}
	r.batch.Events = append(r.batch.Events, payload)
	r.bytes += len(payload)
	if r.left > 0 {
		r.left--
	}
}

func (r *reader) limited() bool { return r.spec.Limit > 0 && r.left == 0 }

func (r *reader) full() bool {
	return r.limited() || r.bytes >= batchBytes || len(r.batch.Events) >= batchEvents || r.far()
}

// far tells that the caller should hear how far the read came, whether or not there was something for it.
func (r *reader) far() bool { return distance(r.next, r.told) > batchOffsets }

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }
