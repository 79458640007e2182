package shard

import (
	"bytes"
	"context"
	"io"
	"slices"

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

// Read begins a read. It waits until everything acknowledged before is readable, and finds the starting point.
func (s *Shard) Read(ctx context.Context, spec event.ReadSpec) (event.Reader, error) {
	if spec.Backwards && spec.Follow {
		return nil, errs.New(errs.Invalid, "a read that goes backwards cannot follow: drop one of the two").With("field", "follow")
	}
	if err := s.Barrier(ctx); err != nil {
		return nil, err
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

	// next is the offset to look at next. Backwards, everything from it on was looked at.
	next uint64
	end  uint64 // the newest applied offset that is known
	told uint64 // next, as the last batch told it

	revision    uint64 // of a stream, when the starting point tells: where its postings begin
	minRevision uint64
	postings    *index.Iter
	at          [128]index.Posting
	fetched     []index.Posting

	live, over bool
	batch      event.Batch
	bytes      int
	arena      []byte
}

// Next gives the next batch.
func (r *reader) Next(ctx context.Context) (event.Batch, error) {
	for !r.over {
		r.batch = event.Batch{Events: r.batch.Events[:0]}
		r.arena, r.bytes = r.arena[:0], 0
		caughtUp, err := r.fillOpen()
		if err != nil {
			return event.Batch{}, r.s.damaged(err)
		}
		r.over = r.limited() || caughtUp && !r.spec.Follow
		switch {
		case len(r.batch.Events) > 0 || !caughtUp || r.far():
			return r.tell(), nil
		case r.spec.Follow && !r.live:
			r.live, r.batch.Live = true, true
			return r.tell(), nil
		case r.spec.Follow:
			if err := r.wait(ctx); err != nil {
				return event.Batch{}, err
			}
		}
	}
	return event.Batch{}, io.EOF
}

// tell finishes a batch with how far the reader came, whether or not a filter left everything out.
func (r *reader) tell() event.Batch {
	r.batch.Position = r.s.position(r.next - 1)
	r.told = r.next
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
	if r.postings != nil {
		r.postings.Close()
		r.postings = nil
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
	case r.spec.Backwards && r.spec.Scope == event.ScopeAll:
		return r.fillBackwards()
	case r.spec.Backwards:
		return r.fillPostings()
	}
	if r.next > r.end {
		return true, nil
	}
	// A stream or a topic is found by its postings until the reader has caught up: what the tail holds is mostly of others.
	if r.spec.Scope == event.ScopeAll || r.live {
		if es := r.s.tail.from(r.next); es != nil {
			return r.fillTail(es)
		}
	}
	if r.spec.Scope == event.ScopeAll {
		return r.fillLog()
	}
	return r.fillPostings()
}

// fillTail takes from memory what the log's newest entries hold, for every scope.
func (r *reader) fillTail(es []tailEntry) (bool, error) {
	r.dropPostings()
	for _, e := range es {
		if r.full() {
			return false, nil
		}
		if e.first > r.end {
			break
		}
		if err := r.walk(e.data, false); err != nil {
			return false, err
		}
	}
	return r.next > r.end, nil
}

// fillLog reads entries one after the other.
func (r *reader) fillLog() (bool, error) {
	loc, err := r.s.ix.Locate(r.next)
	if err != nil {
		return false, err
	}
	for i := loc.Entry; r.next <= r.end && !r.full(); i++ {
		e, err := r.file().Entry(i)
		if err != nil {
			return false, err
		}
		if e.Type != seglog.TypeRecords {
			continue
		}
		if err := r.walk(e.Data, true); err != nil {
			return false, err
		}
	}
	return r.next > r.end, nil
}

// walk takes the events of one entry from r.next on. The whole entry is taken, so that the next call begins at the next entry,
// unless the limit ends the read inside.
func (r *reader) walk(data []byte, copied bool) error {
	w := seglog.WalkRecords(data)
	var v eventwire.View
	for w.Next() {
		if event.Kind(w.Kind()).Base() != event.KindEvent {
			continue
		}
		if err := eventwire.ViewRecorded(w.Payload(), &v); err != nil {
			return err
		}
		if v.Offset < r.next {
			continue
		}
		if r.limited() {
			return nil
		}
		r.next = v.Offset + 1
		if r.wants(&v) {
			r.take(w.Payload(), copied)
		}
	}
	return w.Err()
}

// fillBackwards reads entries from the newest down.
func (r *reader) fillBackwards() (bool, error) {
	for r.next > 1 && !r.full() {
		loc, err := r.s.ix.Locate(r.next - 1)
		if err != nil {
			return false, err
		}
		data, err := r.entry(loc.Entry)
		if err != nil {
			return false, err
		}
		if err := r.walkBackwards(data); err != nil {
			return false, err
		}
	}
	return r.next <= 1, nil
}

func (r *reader) entry(i uint64) ([]byte, error) {
	if data, ok := r.s.tail.entry(i); ok {
		return data, nil
	}
	e, err := r.file().Entry(i)
	return e.Data, err
}

func (r *reader) walkBackwards(data []byte) error {
	var payloads [][]byte
	var v eventwire.View
	w := seglog.WalkRecords(data)
	for w.Next() {
		if event.Kind(w.Kind()).Base() == event.KindEvent {
			payloads = append(payloads, w.Payload())
		}
	}
	if w.Err() != nil {
		return w.Err()
	}
	for _, p := range slices.Backward(payloads) {
		if err := eventwire.ViewRecorded(p, &v); err != nil {
			return err
		}
		if v.Offset >= r.next {
			continue
		}
		if r.limited() {
			return nil
		}
		r.next = v.Offset
		if r.wants(&v) {
			r.take(p, true)
		}
	}
	return nil
}

// fillPostings reads the events that the index lists for a stream or a topic.
func (r *reader) fillPostings() (bool, error) {
	for !r.full() {
		if len(r.fetched) == 0 {
			if more, err := r.fetch(); err != nil || !more {
				return true, err
			}
		}
		p := r.fetched[0]
		r.fetched = r.fetched[1:]
		if err := r.posting(p); err != nil {
			return false, err
		}
	}
	return false, nil
}

// fetch gets the next postings that were known when the read's end was. Without any, the reader goes on behind that end.
func (r *reader) fetch() (bool, error) {
	if r.postings == nil {
		if err := r.openPostings(); err != nil || r.postings == nil {
			return false, err
		}
	}
	n, err := r.postings.Next(r.at[:])
	if err != nil {
		return false, err
	}
	r.fetched = r.at[:n]
	if !r.spec.Backwards {
		for n > 0 && r.at[n-1].Offset > r.end {
			n--
		}
		if r.fetched = r.at[:n]; n == 0 {
			r.dropPostings()
			r.next = r.end + 1
		}
	}
	return n > 0, nil
}

func (r *reader) openPostings() error {
	if r.spec.Scope == event.ScopeTopic {
		from := r.next
		if r.spec.Backwards {
			from--
		}
		r.postings = r.s.ix.Topic(r.spec.Topic, from, r.spec.Backwards)
		return nil
	}
	revision := r.revision
	if r.revision = 0; revision == 0 {
		var err error
		if revision, err = r.s.revisionAt(r.spec.Topic, r.spec.Key, r.next); err != nil {
			return err
		}
		if r.spec.Backwards {
			if revision--; revision == 0 {
				return nil
			}
		}
	}
	r.postings = r.s.ix.Stream(r.spec.Topic, r.spec.Key, revision, r.spec.Backwards)
	return nil
}

func (r *reader) dropPostings() {
	if r.postings != nil {
		r.postings.Close()
		r.postings, r.fetched = nil, nil
	}
	// Postings that are opened later begin where the reader is then, not where it started.
	r.revision = 0
}

func (r *reader) posting(p index.Posting) error {
	payload, inMemory, err := r.record(p.Loc)
	if err != nil {
		return err
	}
	var v eventwire.View
	if err := eventwire.ViewRecorded(payload, &v); err != nil {
		return err
	}
	r.next = v.Offset + 1
	if r.spec.Backwards {
		r.next = v.Offset
	}
	if v.Offset != p.Offset || !bytes.Equal(v.Topic, r.spec.Topic) {
		return errs.New(errs.Corrupt, "the index of shard %d points from offset %d to another event: stop the node, delete its index folder and start it again", r.s.o.Number, p.Offset)
	}
	if r.wants(&v) {
		r.take(payload, !inMemory)
	}
	return nil
}

func (r *reader) record(loc index.Loc) (payload []byte, inMemory bool, err error) {
	if data, ok := r.s.tail.entry(loc.Entry); ok {
		return recordAt(data, loc), true, nil
	}
	_, payload, err = r.file().Record(loc.Entry, loc.Off, loc.Size)
	return payload, false, err
}

// wants applies the scope and the filter.
func (r *reader) wants(v *eventwire.View) bool {
	switch r.spec.Scope {
	case event.ScopeStream:
		if !bytes.Equal(v.Topic, r.spec.Topic) || !bytes.Equal(v.Key, r.spec.Key) {
			return false
		}
	case event.ScopeTopic:
		if !bytes.Equal(v.Topic, r.spec.Topic) {
			return false
		}
	}
	if v.Revision < r.minRevision || !bytes.HasPrefix(v.Key, r.spec.KeyPrefix) {
		return false
	}
	return len(r.spec.Types) == 0 || slices.ContainsFunc(r.spec.Types, func(t []byte) bool { return bytes.Equal(t, v.Type) })
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
