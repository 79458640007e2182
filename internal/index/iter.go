package index

// Iter walks the events of a stream or a topic, some at a time. It holds no lock and no resource between two calls of Next, so it
// may live long; it is not for concurrent use. Events added meanwhile are found, too: a forwards Iter that has ended may be asked
// again. The ingestion of a segment it stands in does not disturb it.
type Iter struct {
	ix      *Index
	q       streamQuery
	stream  bool
	from    uint64 // next revision or offset to deliver, or the next to be there
	segment uint64 // the segment it stands in
	sought  bool
	ended   bool // backwards only
}

// streamQuery names a stream, or with the topic alone a topic.
type streamQuery struct {
	hash       uint64
	topic, key []byte
	backwards  bool
}

// Stream walks a stream from a revision on. Backwards it begins at the revision or the last one before it; ^uint64(0) is the end.
// The slices must not change while the Iter is used.
func (ix *Index) Stream(topic, key []byte, from uint64, backwards bool) *Iter {
	q := streamQuery{hash: streamHash(topic, key), topic: topic, key: key, backwards: backwards}
	return &Iter{ix: ix, q: q, stream: true, from: from}
}

// Topic walks a topic from an offset on. Backwards it begins at the offset or the last one before it; ^uint64(0) is the end.
// The slice must not change while the Iter is used.
func (ix *Index) Topic(topic []byte, from uint64, backwards bool) *Iter {
	return &Iter{ix: ix, q: streamQuery{topic: topic, backwards: backwards}, from: from}
}

// Close is there for the day when an Iter holds something.
func (it *Iter) Close() {}

// Next fills dst with the next postings and returns how many; 0 at the end. Fewer than asked for does not mean the end. A failure
// to read is Corrupt, or as the file system has it; calling again then begins where the last successful call ended.
func (it *Iter) Next(dst []Posting) (int, error) {
	if it.ended || len(dst) == 0 {
		return 0, nil
	}
	v := it.ix.view.Load()
	if !it.sought {
		if err := it.seek(v); err != nil {
			return 0, err
		}
		it.sought = true
	}
	if it.q.backwards {
		return it.down(v, dst)
	}
	return it.up(v, dst)
}

func (it *Iter) up(v *view, dst []Posting) (int, error) {
	for u := v.from(it.segment); !u.none(); u = v.from(u.number() + 1) {
		n, err := it.fill(u, dst)
		if err != nil {
			return 0, err
		}
		it.segment = u.number()
		if n > 0 {
			it.from = it.placeOf(&dst[n-1]) + 1
			return n, nil
		}
	}
	return 0, nil
}

func (it *Iter) down(v *view, dst []Posting) (int, error) {
	for u := v.upTo(it.segment); !u.none(); u = v.upTo(u.number() - 1) {
		n, err := it.fill(u, dst)
		if err != nil {
			return 0, err
		}
		it.segment = u.number()
		if n > 0 {
			it.from = it.placeOf(&dst[n-1]) - 1
			it.ended = it.from == 0
			return n, nil
		}
		if it.segment == 0 {
			break
		}
	}
	it.ended = true
	return 0, nil
}

func (it *Iter) placeOf(p *Posting) uint64 {
	if it.stream {
		return p.Revision
	}
	return p.Offset
}

// fill takes postings from one segment.
func (it *Iter) fill(u unit, dst []Posting) (int, error) {
	switch {
	case u.table != nil && it.stream:
		return u.table.streamRows(&it.q, it.from, dst), nil
	case u.table != nil:
		return u.table.topicRows(it.q.topic, it.from, it.q.backwards, dst), nil
	case u.sealed.Events == 0, it.stream && !u.sealed.has(it.q.hash):
		return 0, nil
	}
	c, err := it.ix.cursor()
	if err != nil {
		return 0, err
	}
	defer c.release()
	if it.stream {
		return c.streamPostings(u.sealed, &it.q, it.from, dst)
	}
	return c.topicPostings(u.sealed, &it.q, it.from, dst)
}

// seek finds the segment to begin in.
func (it *Iter) seek(v *view) error {
	switch {
	case !it.stream:
		it.seekOffset(v)
	case it.q.backwards:
		it.segment = ^uint64(0)
	case it.from > 1:
		return it.seekRevision(v)
	}
	return nil
}

func (it *Iter) seekOffset(v *view) {
	u := v.holding(it.from)
	switch {
	case !u.none():
		it.segment = u.number()
	case it.q.backwards:
		it.ended = true
	}
}

// seekRevision goes back from the newest segment to the one that holds the revision: readers mostly begin near the end.
func (it *Iter) seekRevision(v *view) error {
	back := &Iter{ix: it.ix, q: it.q, stream: true, from: it.from - 1, segment: ^uint64(0), sought: true}
	back.q.backwards = true
	var one [1]Posting
	n, err := back.Next(one[:])
	if n > 0 {
		it.segment = back.segment
	}
	return err
}

// streamPostings takes a stream's postings from a segment.
func (c *cursor) streamPostings(s *segment, q *streamQuery, from uint64, dst []Posting) (int, error) {
	e, ok, err := c.stream(s, q.topic, q.key)
	if !ok || (!q.backwards && e.lastRevision < from) {
		return 0, err
	}
	c.spots = c.spots[:0]
	if e.external {
		err = c.external(s, e, from, q.backwards)
	} else {
		c.spots, err = e.spots(c.spots)
		reverse(c.spots) // oldest first, as the external ones
	}
	if err != nil {
		return 0, c.failed(err)
	}
	return c.locate(s, between(c.spots, from, q.backwards), q.backwards, dst)
}

func reverse(s []spot) {
	for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
		s[i], s[j] = s[j], s[i]
	}
}

// external reads the key that holds the first posting to deliver, and its only.
func (c *cursor) external(s *segment, e *streamEntry, from uint64, backwards bool) error {
	number, gaps := e.number, e.gaps
	c.key = appendNumbered(c.key[:0], s.Segment, kindPosting, number, from)
	v, ok, err := c.atOrBefore(c.key, keyHead+4)
	if err != nil {
		return err
	}
	if ok {
		if c.spots, err = readPostings(c.spots, v, tail64(c.it.Key()), gaps); err != nil {
			return err
		}
		if backwards || c.spots[len(c.spots)-1].revision >= from {
			return nil
		}
		c.spots = c.spots[:0]
	} else if backwards {
		return nil
	}
	c.it.SeekGE(c.key)
	if v, ok, err = c.value(c.key[:keyHead+4]); ok {
		c.spots, err = readPostings(c.spots, v, tail64(c.it.Key()), gaps)
	}
	return err
}

// between cuts spots to those from a revision on, or up to it.
func between(spots []spot, from uint64, backwards bool) []spot {
	lo, hi := 0, len(spots)
	for lo < hi {
		m := (lo + hi) / 2
		if spots[m].revision < from || backwards && spots[m].revision == from {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if backwards {
		return spots[:lo]
	}
	return spots[lo:]
}

// locate turns spots into postings, in the direction asked for.
func (c *cursor) locate(s *segment, spots []spot, backwards bool, dst []Posting) (int, error) {
	n := min(len(spots), len(dst))
	for i := range n {
		sp := spots[i]
		if backwards {
			sp = spots[len(spots)-1-i]
		}
		offset := s.FirstOffset + sp.offset
		loc, ok, err := c.loc(s, offset)
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, c.failed(errShort)
		}
		dst[i] = Posting{Offset: offset, Revision: sp.revision, Loc: loc}
	}
	return n, nil
}

// topicPostings takes a topic's postings from a segment.
func (c *cursor) topicPostings(s *segment, q *streamQuery, from uint64, dst []Posting) (int, error) {
	t, ok, err := c.topic(s, q.topic)
	if !ok {
		return 0, err
	}
	if err := c.readRuns(s, t.number, from, q.backwards); err != nil {
		return 0, err
	}
	n := 0
	for i := range c.runs {
		r := &c.runs[i]
		if q.backwards {
			r = &c.runs[len(c.runs)-1-i]
		}
		if n, err = c.fromRun(s, *r, from, q.backwards, dst, n); err != nil || n == len(dst) {
			break
		}
	}
	return n, err
}

// readRuns reads the key that holds the first posting to deliver.
func (c *cursor) readRuns(s *segment, number uint32, from uint64, backwards bool) error {
	c.runs = c.runs[:0]
	c.key = appendNumbered(c.key[:0], s.Segment, kindRun, number, from)
	v, ok, err := c.atOrBefore(c.key, keyHead+4)
	if err != nil {
		return err
	}
	if ok {
		if c.runs, err = readRuns(c.runs, tail64(c.it.Key()), v); err != nil {
			return c.failed(err)
		}
		if last := c.runs[len(c.runs)-1]; backwards || last.first+last.n > from {
			return nil
		}
		c.runs = c.runs[:0]
	} else if backwards {
		return nil
	}
	c.it.SeekGE(c.key)
	if v, ok, err = c.value(c.key[:keyHead+4]); ok {
		if c.runs, err = readRuns(c.runs, tail64(c.it.Key()), v); err != nil {
			return c.failed(err)
		}
	}
	return err
}

// fromRun appends a run's postings to the n that dst holds.
func (c *cursor) fromRun(s *segment, r run, from uint64, backwards bool, dst []Posting, n int) (int, error) {
	first, last := r.first, r.first+r.n-1
	if backwards {
		last = min(last, from)
	} else {
		first = max(first, from)
	}
	for first <= last && n < len(dst) {
		offset := first
		if backwards {
			offset = last
			last--
		} else {
			first++
		}
		loc, ok, err := c.loc(s, offset)
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, c.failed(errShort)
		}
		dst[n] = Posting{Offset: offset, Loc: loc}
		n++
	}
	return n, nil
}
