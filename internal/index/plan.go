package index

import (
	"bytes"
	"cmp"
	"slices"
)

const (
	// notLonger is how many times as long as the rarest list another may be and still be worth going through: to look into it for an
	// event costs about a microsecond, as reading the record does.
	notLonger = 16
	// prefixEvents is how many events of streams with a key prefix are gathered in a segment.
	prefixEvents = 16 << 10
)

// plan is the lists that a segment has for a query, rarest first. Without any, its every event may be meant.
type plan struct {
	all   run
	lists []counted
	none  bool
	found source
}

type counted struct {
	n    uint64
	list source
}

// need adds a list. One without events says that nothing in the segment is meant.
func (p *plan) need(n uint64, list source) {
	if p.none = p.none || n == 0; !p.none {
		p.lists = append(p.lists, counted{n, list})
	}
}

// rarest is how many events the shortest list has.
func (p *plan) rarest() uint64 {
	n := p.all.n
	for _, l := range p.lists {
		n = min(n, l.n)
	}
	return n
}

// source joins the lists that are worth it. When most events of the segment are meant, it is all of them.
func (p *plan) source() source {
	if p.found != nil {
		return p.found
	}
	slices.SortStableFunc(p.lists, func(a, b counted) int { return compare(a.n, b.n) })
	p.found = p.all
	switch {
	case p.none:
		p.found = run{}
	case len(p.lists) > 0 && p.lists[0].n <= p.all.n/2:
		var all intersection
		for _, l := range p.lists {
			if l.n <= notLonger*p.lists[0].n {
				all = append(all, l.list)
			}
		}
		if p.found = all; len(all) == 1 {
			p.found = all[0]
		}
	}
	return p.found
}

func (f *Finder) segmentPlan(c *cursor, s *segment) (plan, error) {
	p := plan{all: run{s.FirstOffset, s.LastOffset + 1 - s.FirstOffset}}
	untold := run{s.LastOffset + 1 - s.untold, s.untold}
	for _, step := range []func() error{
		func() error { return c.planTerms(&p, s, f.types, untold) },
		func() error {
			for _, tag := range f.tags {
				if err := c.planTerms(&p, s, []uint64{tag}, untold); err != nil {
					return err
				}
			}
			return nil
		},
		func() error { return f.planNames(c, &p, s) },
	} {
		if err := step(); p.none || err != nil {
			return p, err
		}
	}
	return p, nil
}

// planTerms needs any of some types or tags.
func (c *cursor) planTerms(p *plan, s *segment, hashes []uint64, untold run) error {
	if len(hashes) == 0 {
		return nil
	}
	var any union
	n := untold.n
	if n > 0 {
		any = append(any, untold)
	}
	for _, hash := range hashes {
		e, ok, err := c.term(s, hash)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		var list source = &storedRuns{s: s, number: e.number}
		if !e.external {
			runs, err := e.runs(s.FirstOffset)
			if err != nil {
				return c.failed(err)
			}
			list = runList(runs)
		}
		n += e.count
		any = append(any, list)
	}
	p.need(n, any.alone())
	return nil
}

func (u union) alone() source {
	if len(u) == 1 {
		return u[0]
	}
	return u
}

// planNames needs a topic, a stream of it, or its streams with a prefix.
func (f *Finder) planNames(c *cursor, p *plan, s *segment) error {
	switch {
	case f.q.HasKey:
		return f.planStream(c, p, s)
	case f.q.Topic == nil:
		return nil
	}
	t, _, err := c.topic(s, f.q.Topic)
	if err != nil {
		return err
	}
	if p.need(t.events, &storedRuns{s: s, number: t.number}); p.none || len(f.q.KeyPrefix) == 0 {
		return nil
	}
	list, whole, err := c.prefixed(s, f.q.Topic, f.q.KeyPrefix, min(prefixEvents, p.rarest()))
	if whole && err == nil {
		p.need(uint64(len(list)), list)
	}
	return err
}

func (f *Finder) planStream(c *cursor, p *plan, s *segment) error {
	if !s.has(f.stream) {
		p.none = true
		return nil
	}
	e, ok, err := c.stream(s, f.q.Topic, f.q.Key)
	if err != nil {
		return err
	}
	if !ok {
		p.none = true
		return nil
	}
	if e.count > notLonger*p.rarest() || e.count > p.all.n/2 {
		return nil // it would not be used
	}
	list, err := c.offsetsOf(s, *e, nil)
	p.need(uint64(len(list)), list)
	return err
}

// offsetsOf appends all events of a stream in a segment, oldest first. The cursor moves when they have keys of their own.
func (c *cursor) offsetsOf(s *segment, e streamEntry, dst runList) (runList, error) {
	c.spots = c.spots[:0]
	if !e.external {
		var err error
		c.spots, err = e.spots(c.spots)
		reverse(c.spots)
		return c.appendSpots(s, dst), c.failed(err)
	}
	prefix := appendNumbered(nil, s.Segment, kindPosting, e.number, 0)
	prefix = prefix[:len(prefix)-8]
	for ok := c.it.SeekGE(prefix); ok; ok = c.it.Next() {
		v, mine, err := c.value(prefix)
		if err != nil || !mine {
			return dst, err
		}
		if c.spots, err = readPostings(c.spots[:0], v, tail64(c.it.Key()), e.gaps); err != nil {
			return dst, c.failed(err)
		}
		dst = c.appendSpots(s, dst)
	}
	return dst, c.failed(c.it.Error())
}

func (c *cursor) appendSpots(s *segment, dst runList) runList {
	for _, sp := range c.spots {
		dst = append(dst, run{s.FirstOffset + sp.offset, 1})
	}
	return dst
}

// prefixed gathers the events of a topic's streams whose key begins with a prefix, up to a limit; whole is false when there are more.
func (c *cursor) prefixed(s *segment, topic, prefix []byte, limit uint64) (list runList, whole bool, err error) {
	var long []streamEntry
	var bad error
	n := uint64(0)
	err = c.walk(s, &listQuery{topic: topic, prefix: prefix}, func(e *streamEntry) bool {
		switch n += e.count; {
		case n > limit:
			return false
		case e.external:
			long = append(long, *e)
		default:
			list, bad = c.offsetsOf(s, *e, list)
		}
		return bad == nil
	})
	if err = cmp.Or(err, bad); err != nil || n > limit {
		return nil, false, err
	}
	for _, e := range long {
		if list, err = c.offsetsOf(s, e, list); err != nil {
			return nil, false, err
		}
	}
	slices.SortFunc(list, func(a, b run) int { return compare(a.first, b.first) })
	return list, true, nil
}

func (f *Finder) tablePlan(t *table, m SegmentMark) *plan {
	defer t.runlock(t.rlock())
	p := &plan{all: run{m.FirstOffset, m.LastOffset + 1 - m.FirstOffset}}
	var untold run
	if until := t.terms.until; until != 0 && until <= m.LastOffset {
		untold = run{until, m.LastOffset + 1 - until}
	}
	if len(f.types) > 0 {
		t.planTerms(p, f.types, untold)
	}
	for i := range f.tags {
		t.planTerms(p, f.tags[i:i+1], untold)
	}
	if f.q.Topic == nil {
		return p
	}
	if i, ok := t.byTopic[string(f.q.Topic)]; ok {
		rows := t.topics[i].rows
		p.need(uint64(len(rows)), rowList{t, rows})
	} else {
		p.none = true
	}
	if f.q.HasKey && !p.none {
		t.planStream(p, f)
	}
	return p
}

func (t *table) planTerms(p *plan, hashes []uint64, untold run) {
	var any union
	n := untold.n
	if n > 0 {
		any = append(any, untold)
	}
	for _, hash := range hashes {
		if r := t.terms.find(hash); r != nil {
			rows := r.rows()
			n += uint64(len(rows))
			any = append(any, rowList{t, rows})
		}
	}
	p.need(n, any.alone())
}

// planStream lists a stream's rows when they are few enough to be of use.
func (t *table) planStream(p *plan, f *Finder) {
	i, ok := t.findStream(f.stream, f.q.Topic, f.q.Key)
	if !ok {
		p.none = true
		return
	}
	s := t.streams.at(i)
	if uint64(s.count) > p.rarest() {
		return
	}
	rows := make([]uint32, 0, s.count)
	for at := s.first; at != none; at = t.rows.at(at).next {
		rows = append(rows, at)
	}
	p.need(uint64(len(rows)), rowList{t, rows})
}

// wanted gives the posting at an offset, unless its names are not those asked for.
func (t *table) wanted(offset uint64, q *Query) (Posting, bool) {
	defer t.runlock(t.rlock())
	i := t.atOffset(offset)
	if i >= t.rows.len() {
		return Posting{}, false
	}
	r := t.rows.at(i)
	p := Posting{Offset: t.base + uint64(r.offset), Loc: t.loc(r)}
	if p.Offset != offset {
		return p, false
	}
	if q.Topic == nil {
		return p, true
	}
	s := t.streams.at(r.stream)
	key := t.key(s)
	return p, t.topics[s.topic].name == string(q.Topic) && (!q.HasKey || bytes.Equal(key, q.Key)) && bytes.HasPrefix(key, q.KeyPrefix)
}
