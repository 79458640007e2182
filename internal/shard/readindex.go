package shard

import (
	"bytes"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
)

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
	v := &r.view
	if err := eventwire.ViewRecorded(payload, v); err != nil {
		return err
	}
	if v.Offset != p.Offset || !bytes.Equal(v.Topic, r.spec.Topic) {
		return errs.New(errs.Corrupt, "the index of shard %d points from offset %d to another event: stop the node, delete its index folder and start it again", r.s.o.Number, p.Offset)
	}
	return r.offer(payload, v, !inMemory)
}

func (r *reader) record(loc index.Loc) (payload []byte, inMemory bool, err error) {
	if data, ok := r.s.tail.entry(loc.Entry); ok {
		return recordAt(data, loc), true, nil
	}
	_, payload, err = r.file().Record(loc.Entry, loc.Off, loc.Size)
	return payload, false, err
}
