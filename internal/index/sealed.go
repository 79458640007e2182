package index

import "github.com/gesta-db/gesta/internal/errs"

// SealedHead gives a stream's head in the ingested segments, from the cache or from disk; false when it has no events there.
// Time is not filled. A failure to read is Corrupt, or as the file system has it.
func (ix *Index) SealedHead(topic, key []byte) (Head, bool, error) {
	hash := streamHash(topic, key)
	if h, ok := ix.heads.get(hash, topic, key); ok {
		return h, h.Revision > 0, nil
	}
	ix.wantHeads()
	generation := ix.heads.generation.Load()
	h, err := ix.coldHead(ix.view.Load().sealed, hash, topic, key)
	if err != nil {
		return Head{}, false, err
	}
	ix.heads.put(hash, topic, key, h, generation)
	return h, h.Revision > 0, nil
}

func (ix *Index) coldHead(sealed []*segment, hash uint64, topic, key []byte) (Head, error) {
	var c *cursor
	for i := len(sealed) - 1; i >= 0; i-- {
		s := sealed[i]
		if !s.has(hash) {
			continue
		}
		if c == nil {
			var err error
			if c, err = ix.cursor(); err != nil {
				return Head{}, err
			}
			defer c.release()
		}
		e, ok, err := c.stream(s, topic, key)
		if err != nil {
			return Head{}, err
		}
		if ok {
			return Head{Revision: e.lastRevision, Offset: s.FirstOffset + e.lastOffset}, nil
		}
	}
	return Head{}, nil
}

// SealedIDs appends the offsets of events (or commands) with this id hash in the ingested segments of the id window. They are
// candidates: the ids themselves may differ, and a few may have left the window already.
func (ix *Index) SealedIDs(hash uint64, dst []uint64) ([]uint64, error) {
	<-ix.warm.ids
	if ix.warm.err != nil {
		return dst, ix.warm.err
	}
	var room [8]*segment
	in := ix.ids.candidates(hash, room[:0])
	if len(in) == 0 {
		return dst, nil
	}
	return ix.idsIn(in, hash, dst)
}

func (ix *Index) idsIn(in []*segment, hash uint64, dst []uint64) ([]uint64, error) {
	c, err := ix.cursor()
	if err != nil {
		return dst, err
	}
	defer c.release()
	for _, s := range in {
		if dst, err = c.ids(s, hash, dst); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// FindIDs appends the offsets of events (or commands) with this id hash wherever they are, also outside the id window. It asks every
// segment: some microseconds for each.
func (ix *Index) FindIDs(hash uint64, dst []uint64) ([]uint64, error) {
	v := ix.view.Load()
	dst, err := ix.idsIn(v.readable, hash, dst)
	if err != nil {
		return dst, err
	}
	for _, t := range v.active {
		dst = mergeNew(dst, t.ids(hash, nil))
	}
	return dst, nil
}

// Head gives where a stream ends; false when it has no events.
func (ix *Index) Head(topic, key []byte) (Head, bool, error) {
	for {
		generation := ix.Generation()
		h, ok := ix.ActiveHead(topic, key)
		if !ok {
			var err error
			if h, ok, err = ix.SealedHead(topic, key); err != nil {
				return Head{}, false, err
			}
			if generation != ix.Generation() {
				continue // a table was dropped between the two
			}
		}
		if !ok {
			return Head{}, false, nil
		}
		var err error
		h.Time, err = ix.timeOf(h.Offset)
		return h, err == nil, err
	}
}

func (ix *Index) timeOf(offset uint64) (int64, error) {
	p, err := ix.place(offset)
	return p.time, err
}

// Locate tells where the event at an offset is. It fails with NotFound when there is no such event.
func (ix *Index) Locate(offset uint64) (Loc, error) {
	u := ix.view.Load().holding(offset)
	if u.sealed == nil {
		p, err := ix.place(offset)
		return p.loc, err
	}
	c, err := ix.cursor()
	if err != nil {
		return Loc{}, err
	}
	defer c.release()
	loc, ok, err := c.loc(u.sealed, offset)
	if err == nil && !ok {
		err = absent(offset)
	}
	return loc, err
}

func (ix *Index) place(offset uint64) (place, error) {
	u := ix.view.Load().holding(offset)
	if u.table != nil {
		if p, ok := u.table.place(offset); ok {
			return p, nil
		}
		return place{}, absent(offset)
	}
	if u.sealed == nil {
		return place{}, absent(offset)
	}
	c, err := ix.cursor()
	if err != nil {
		return place{}, err
	}
	defer c.release()
	p, ok, err := c.place(u.sealed, offset)
	if err == nil && !ok {
		err = absent(offset)
	}
	return p, err
}

func absent(offset uint64) error {
	return errs.New(errs.NotFound, "there is no event at offset %d", offset)
}

// AtTime gives the offset of the first event recorded at or after a time (in nanoseconds since 1970 UTC); one past the last
// offset when there is none.
func (ix *Index) AtTime(t int64) (uint64, error) {
	v := ix.view.Load()
	for u := v.from(0); !u.none(); u = v.from(u.number() + 1) {
		if u.table != nil {
			if offset, ok := u.table.atTime(t); ok {
				return offset, nil
			}
			continue
		}
		if u.sealed.Events > 0 && u.sealed.LastTime >= t {
			return ix.timeIn(u.sealed, t)
		}
	}
	last, _ := ix.Last()
	return last + 1, nil
}

// timeIn searches a segment whose last event is late enough, by halves over the offsets.
func (ix *Index) timeIn(s *segment, t int64) (uint64, error) {
	c, err := ix.cursor()
	if err != nil {
		return 0, err
	}
	defer c.release()
	return c.search(s, s.FirstOffset, s.LastOffset, t)
}
