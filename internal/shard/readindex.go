package shard

import (
	"bytes"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
)

// fillPostings reads the events that the index lists for a stream, a topic or a filter.
func (r *reader) fillPostings() (bool, error) {
	for !r.full() {
		if r.next <= r.whole {
			if _, err := r.fillLog(r.whole); err != nil {
				return false, err
			}
			continue
		}
		if len(r.fetched) == 0 {
			if more, err := r.fetch(); err != nil || !more {
				return true, err
			}
			continue
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
	if r.filtered() {
		return r.find()
	}
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

// find is fetch for what a filter keeps. There may be nothing in a part of the log: the reader is past it then.
func (r *reader) find() (bool, error) {
	if r.found == nil {
		r.found = r.s.ix.Find(r.query(), r.first(), r.spec.Backwards)
	}
	n, more, err := r.found.Next(r.at[:])
	if err != nil {
		return false, err
	}
	if r.spec.Backwards {
		if r.fetched = r.at[:n]; n == 0 {
			r.next = r.found.At() + 1
		}
		return more, nil
	}
	for n > 0 && r.at[n-1].Offset > r.end {
		n--
	}
	if r.fetched = r.at[:n]; n > 0 {
		return true, nil
	}
	if r.whole = min(r.found.Whole(), r.end); r.next <= r.whole {
		return true, nil
	}
	if more = more && r.found.At() <= r.end; more {
		r.next = r.found.At()
		return true, nil
	}
	r.dropPostings()
	r.next = r.end + 1
	return false, nil
}

// first is the first offset to look at.
func (r *reader) first() uint64 {
	if r.spec.Backwards {
		return r.next - 1
	}
	return r.next
}

func (r *reader) openPostings() error {
	if r.spec.Scope == event.ScopeTopic {
		r.postings = r.s.ix.Topic(r.spec.Topic, r.first(), r.spec.Backwards)
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
		r.postings = nil
	}
	r.found, r.fetched = nil, nil
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
	if v.Offset != p.Offset || r.postings != nil && !bytes.Equal(v.Topic, r.spec.Topic) {
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
