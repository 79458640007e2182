package index

import "sort"

// source gives a list of offsets in one segment as runs, in either direction.
type source interface {
	// seek gives the first run at or after an offset, cut to begin there; backwards the last run at or before it, cut to end there.
	// A run without events says that there is none.
	seek(c *cursor, from uint64, backwards bool) (run, error)
}

func (r run) last() uint64 { return r.first + r.n - 1 }

// cut gives the part of a run that a seek wants.
func (r run) cut(from uint64, backwards bool) run {
	switch {
	case r.n == 0 || backwards && r.first > from || !backwards && r.last() < from:
		return run{}
	case backwards:
		return run{r.first, min(r.last(), from) - r.first + 1}
	}
	first := max(r.first, from)
	return run{first, r.last() - first + 1}
}

// seek makes a run a source: of a whole segment, or of the part of it that has no terms.
func (r run) seek(_ *cursor, from uint64, backwards bool) (run, error) {
	return r.cut(from, backwards), nil
}

// runList is a source in memory.
type runList []run

func (l runList) seek(_ *cursor, from uint64, backwards bool) (run, error) {
	i := sort.Search(len(l), func(i int) bool { return l[i].last() >= from })
	if backwards && (i == len(l) || l[i].first > from) {
		i--
	}
	if i < 0 || i == len(l) {
		return run{}, nil
	}
	return l[i].cut(from, backwards), nil
}

// storedRuns is a source that reads a key of runs at a time.
type storedRuns struct {
	s      *segment
	number uint32
	loaded runList
}

func (l *storedRuns) seek(c *cursor, from uint64, backwards bool) (run, error) {
	if n := len(l.loaded); n == 0 || from < l.loaded[0].first || from > l.loaded[n-1].last() {
		if err := c.readRuns(l.s, l.number, from, backwards); err != nil {
			return run{}, err
		}
		l.loaded = append(l.loaded[:0], c.runs...)
	}
	return l.loaded.seek(c, from, backwards)
}

// rowList is a source that lists rows of a table, as they were when it was made.
type rowList struct {
	t    *table
	rows []uint32
}

func (l rowList) seek(_ *cursor, from uint64, backwards bool) (run, error) {
	defer l.t.runlock(l.t.rlock())
	offset := func(i int) uint64 { return l.t.base + uint64(l.t.rows.at(l.rows[i]).offset) }
	i := sort.Search(len(l.rows), func(i int) bool { return offset(i) >= from })
	if backwards && (i == len(l.rows) || offset(i) > from) {
		i--
	}
	if i < 0 || i == len(l.rows) {
		return run{}, nil
	}
	return run{offset(i), 1}, nil
}

// union is a source of what is in any of some.
type union []source

func (u union) seek(c *cursor, from uint64, backwards bool) (run, error) {
	var best run
	for _, s := range u {
		r, err := s.seek(c, from, backwards)
		if err != nil {
			return run{}, err
		}
		if r.n > 0 && (best.n == 0 || backwards && r.last() > best.last() || !backwards && r.first < best.first) {
			best = r
		}
	}
	return best, nil
}

// intersection is a source of what is in all of some; the first is the rarest, and leads.
type intersection []source

func (x intersection) seek(c *cursor, from uint64, backwards bool) (run, error) {
next:
	for {
		r, err := x[0].seek(c, from, backwards)
		if err != nil || r.n == 0 {
			return run{}, err
		}
		for _, s := range x[1:] {
			at := r.first
			if backwards {
				at = r.last()
			}
			o, err := s.seek(c, at, backwards)
			if err != nil || o.n == 0 {
				return run{}, err
			}
			first, last := max(r.first, o.first), min(r.last(), o.last())
			if first > last {
				if from = o.first; backwards {
					from = o.last()
				}
				continue next
			}
			r = run{first, last - first + 1}
		}
		return r, nil
	}
}
