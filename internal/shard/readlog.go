package shard

import (
	"slices"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/seglog"
)

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

// fillLog reads entries one after the other, to the end of the one that holds an offset.
func (r *reader) fillLog(to uint64) (bool, error) {
	loc, err := r.s.ix.Locate(r.next)
	if err != nil {
		return false, err
	}
	for i := loc.Entry; r.next <= to && !r.full(); i++ {
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
	v := &r.view
	for w.Next() {
		if event.Kind(w.Kind()).Base() != event.KindEvent {
			continue
		}
		if err := eventwire.ViewRecorded(w.Payload(), v); err != nil {
			return err
		}
		if v.Offset < r.next {
			continue
		}
		if r.limited() {
			return nil
		}
		if err := r.offer(w.Payload(), v, copied); err != nil {
			return err
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
	v := &r.view
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
		if err := eventwire.ViewRecorded(p, v); err != nil {
			return err
		}
		if v.Offset >= r.next {
			continue
		}
		if r.limited() {
			return nil
		}
		if err := r.offer(p, v, true); err != nil {
			return err
		}
	}
	return nil
}
