package index

// Query says which events are looked for. What is left out excludes nothing.
type Query struct {
	// Topic, and with HasKey the stream of Key in it, or with KeyPrefix those of its streams whose key begins so.
	Topic, Key, KeyPrefix []byte
	HasKey                bool
	// Types: an event has one of them. Tags: it carries all of them.
	Types, Tags [][]byte
}

// Finder walks the events that may answer a query. Every event that does is among them; others may be, so each is to be compared
// with its record: types and tags are known by their hashes, and where a list would cost more than it saves it is not used. As an
// Iter it holds nothing between two calls, and goes on after its end when there is more.
type Finder struct {
	ix          *Index
	q           Query
	types, tags []uint64
	stream      uint64
	backwards   bool
	at, whole   uint64
	plan        plan
	of          *segment // whose plan it is
}

// Find begins to look from an offset on; backwards at the offset or the last one before it. The query's slices must not change
// while the Finder is used.
func (ix *Index) Find(q Query, from uint64, backwards bool) *Finder {
	f := &Finder{ix: ix, q: q, at: from, backwards: backwards}
	if q.HasKey {
		f.stream = streamHash(q.Topic, q.Key)
	}
	for _, t := range q.Types {
		f.types = append(f.types, TypeHash(t))
	}
	for _, t := range q.Tags {
		f.tags = append(f.tags, TagHash(t))
	}
	return f
}

// At is the offset to look at next: everything before it was found (backwards: behind it; 0 at the end).
func (f *Finder) At() uint64 { return f.at }

// Whole is, after a call of Next that found nothing, the offset up to which every event may be meant, from where the Finder stood on: to
// list them would only be slower than reading them one after the other. 0 when there is no such part. Backwards they are listed.
func (f *Finder) Whole() uint64 { return f.whole }

// Next fills dst with what it finds next, and returns how many that are; none after a part of the log in which there is nothing, and
// then more tells whether there is more of the log. A failure to read is Corrupt, or as the file system has it; calling again then
// begins where the last successful call ended.
func (f *Finder) Next(dst []Posting) (n int, more bool, err error) {
	f.whole = 0
	v := f.ix.view.Load()
	u := f.unit(v)
	switch {
	case u.none():
		return 0, false, nil
	case u.table != nil:
		n, err = f.inTable(u.table, dst)
	default:
		n, err = f.inSegment(u.sealed, dst)
	}
	return n, err == nil, err
}

// unit gives the segment that holds what comes next.
func (f *Finder) unit(v *view) unit {
	if f.backwards && f.at == 0 {
		return unit{}
	}
	u := v.holding(f.at)
	if f.backwards {
		return u
	}
	if u.none() {
		u = v.from(0)
	}
	for !u.none() && u.mark().LastOffset < f.at {
		u = v.from(u.number() + 1)
	}
	return u
}

func (u unit) mark() SegmentMark {
	if u.sealed != nil {
		return u.sealed.SegmentMark
	}
	return u.table.summary()
}

// past moves behind a segment.
func (f *Finder) past(m SegmentMark) {
	if f.at = m.LastOffset + 1; f.backwards {
		f.at = m.FirstOffset - 1
	}
}

// pass moves behind an event.
func (f *Finder) pass(offset uint64) {
	if f.at = offset + 1; f.backwards {
		f.at = offset - 1
	}
}

func (f *Finder) inTable(t *table, dst []Posting) (int, error) {
	m := t.summary() // before the plan, so that it lists everything up to there
	list := f.tablePlan(t, m).source()
	if f.skip(list, m) {
		return 0, nil
	}
	n := 0
	for n < len(dst) {
		r, err := list.seek(nil, f.at, f.backwards)
		if err != nil {
			return 0, err
		}
		if r.n == 0 || r.first > m.LastOffset {
			f.past(m)
			return n, nil
		}
		for r.n > 0 && n < len(dst) {
			offset := r.take(f.backwards)
			f.pass(offset)
			if p, ok := t.wanted(offset, &f.q); ok {
				dst[n] = p
				n++
			}
		}
	}
	return n, nil
}

// skip leaves a segment of which everything may be meant to the caller.
func (f *Finder) skip(list source, m SegmentMark) bool {
	if r, ok := list.(run); !ok || f.backwards || r.last() != m.LastOffset || r.first > f.at {
		return false
	}
	f.whole = m.LastOffset
	f.past(m)
	return true
}

// take removes the offset that comes first from a run.
func (r *run) take(backwards bool) (offset uint64) {
	r.n--
	if backwards {
		return r.first + r.n
	}
	r.first++
	return r.first - 1
}

func (f *Finder) inSegment(s *segment, dst []Posting) (int, error) {
	c, err := f.ix.cursor()
	if err != nil {
		return 0, err
	}
	defer c.release()
	if f.of != s {
		if f.plan, err = f.segmentPlan(c, s); err != nil {
			return 0, err
		}
		f.of = s
	}
	at, list, n := f.at, f.plan.source(), 0
	if f.skip(list, s.SegmentMark) {
		return 0, nil
	}
	for n < len(dst) {
		r, err := list.seek(c, f.at, f.backwards)
		if err == nil && r.n == 0 {
			f.past(s.SegmentMark)
			return n, nil
		}
		for err == nil && r.n > 0 && n < len(dst) {
			offset := r.take(f.backwards)
			f.pass(offset)
			var loc Loc
			var ok bool
			if loc, ok, err = c.loc(s, offset); ok {
				dst[n] = Posting{Offset: offset, Loc: loc}
				n++
			}
		}
		if err != nil {
			f.at = at
			return 0, err
		}
	}
	return n, nil
}
