package shard

import (
	"bytes"
	"sort"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
)

// begin finds the offset at which a read starts.
func (r *reader) begin() error {
	if err := r.resolve(); err != nil {
		return err
	}
	if r.spec.Backwards && r.next <= 1 {
		r.over = true
	}
	r.told = r.next
	return nil
}

func (r *reader) resolve() error {
	p := r.spec.From
	switch p.Kind {
	case event.Start:
		r.next, r.revision = 1, 1
	case event.End:
		r.next = r.end + 1
	case event.Number:
		return r.fromNumber(p.Number)
	case event.AtPosition:
		return r.fromPosition(p)
	case event.AtID:
		return r.fromID(p.ID)
	case event.AtTime:
		return r.fromTime(p.Time)
	case event.Ago:
		return r.fromTime(r.s.o.Clock.Now().Add(-p.Ago))
	}
	return nil
}

// from sets the first event wanted, in both directions.
func (r *reader) from(offset uint64) {
	if r.next = offset; r.spec.Backwards {
		r.next++
	}
}

func (r *reader) fromNumber(n uint64) error {
	switch r.spec.Scope {
	case event.ScopeTopic:
		return errs.New(errs.Invalid, "a topic has no revisions of its own: start it at start, end, a position or a time").With("field", "from")
	case event.ScopeAll:
		r.from(min(max(n, 1), r.end+1))
		if r.spec.Backwards {
			r.next = min(r.next, r.end+1)
		}
		return nil
	}
	n = max(n, 1)
	p, ok, err := r.s.postingAt(r.spec.Topic, r.spec.Key, n)
	switch {
	case err != nil:
		return err
	case ok:
		r.from(p.Offset)
		r.revision = n
	default:
		r.next = r.end + 1
	}
	if !r.spec.Backwards {
		r.minRevision = n
	}
	return nil
}

func (r *reader) fromPosition(p event.Point) error {
	here := r.s.position(r.end)
	at := p.Position
	if at.Shard != here.Shard || !r.s.o.Lineage.holds(r.s.status.Load().own, at) {
		return errs.New(errs.Invalid, "this position belongs to another cluster, or to a history beyond the place where a recovery or restore left it: its events may not be these; start from start, or from a time").With("field", "from")
	}
	if at.Offset > r.end {
		return errs.New(errs.Invalid, "this position is beyond the end of the shard (offset %d): it cannot come from here; start from start, or from a time", r.end).With("field", "from")
	}
	r.next = at.Offset + 1
	return nil
}

func (r *reader) fromTime(t time.Time) error {
	nanos := t.UnixNano()
	if r.spec.Backwards {
		// The newest event recorded at that time or before.
		nanos++
	}
	offset, err := r.s.ix.AtTime(nanos)
	if err != nil {
		return err
	}
	r.next = offset
	return nil
}

func (r *reader) fromID(id []byte) error {
	if r.spec.Scope != event.ScopeStream {
		return errs.New(errs.Invalid, "an event id is unique within its stream: give the stream's key, or another starting point").With("field", "from")
	}
	offsets, err := r.s.ix.FindIDs(index.IDHash(r.spec.Topic, r.spec.Key, id), nil)
	if err != nil {
		return err
	}
	for _, offset := range offsets {
		v, err := r.s.look.view(offset)
		if err != nil {
			return err
		}
		if bytes.Equal(v.Topic, r.spec.Topic) && bytes.Equal(v.Key, r.spec.Key) && bytes.Equal(v.ID, id) {
			r.from(offset)
			r.revision = v.Revision
			return nil
		}
	}
	return errs.New(errs.NotFound, "stream %s/%s has no event with id %q", r.spec.Topic, r.spec.Key, id)
}

// postingAt finds an event by its revision.
func (s *Shard) postingAt(topic, key []byte, revision uint64) (index.Posting, bool, error) {
	it := s.ix.Stream(topic, key, revision, false)
	defer it.Close()
	var one [1]index.Posting
	n, err := it.Next(one[:])
	return one[0], n == 1, err
}

// revisionAt is the first revision of a stream at or after an offset; one past the newest when there is none.
func (s *Shard) revisionAt(topic, key []byte, offset uint64) (uint64, error) {
	h, _, err := s.ix.Head(topic, key)
	if err != nil {
		return 0, err
	}
	var failed error
	n := sort.Search(int(h.Revision), func(i int) bool {
		p, ok, err := s.postingAt(topic, key, uint64(i)+1)
		if err != nil {
			failed = err
		}
		return !ok || p.Offset >= offset
	})
	return uint64(n) + 1, failed
}
