package index

import "sort"

// Counts tells how many events were recorded from each of some times on and before the next one: of a topic, or of all when that is
// empty. Times ascend, in nanoseconds since 1970 UTC; there is one count fewer than times. Segments between two times cost one key,
// those in which a time falls a few more; no event is read.
func (ix *Index) Counts(topic []byte, times []int64) ([]uint64, error) {
	if len(times) < 2 {
		return nil, nil
	}
	k := &counter{ix: ix, topic: topic, times: times, before: make([]uint64, len(times))}
	v := ix.view.Load()
	for u := v.from(0); !u.none() && k.next < len(times); u = v.from(u.number() + 1) {
		var err error
		if u.table != nil {
			k.table(u.table)
		} else {
			err = k.segment(u.sealed)
		}
		if err != nil {
			return nil, err
		}
	}
	if !k.growing {
		k.rest()
	}
	counts := make([]uint64, len(times)-1)
	for i := range counts {
		counts[i] = k.before[i+1] - k.before[i]
	}
	return counts, nil
}

// counter goes through the segments with the times: before is how many events were recorded before each, but for those in segments
// that end before the first time.
type counter struct {
	ix      *Index
	topic   []byte
	times   []int64
	next    int // the first time that no segment so far reaches
	before  []uint64
	sum     uint64 // events in the segments so far
	growing bool   // the last table has set the rest
}

func (k *counter) rest() {
	for i := k.next; i < len(k.times); i++ {
		k.before[i] = k.sum
	}
}

func (k *counter) table(t *table) {
	m := t.summary()
	for i := k.next; i < len(k.times); i++ {
		k.before[i] = k.sum + t.before(k.topic, k.times[i])
	}
	for k.next < len(k.times) && m.Events > 0 && k.times[k.next] <= m.LastTime {
		k.next++
	}
	k.sum += t.before(k.topic, m.LastTime+1)
	k.growing = !t.frozen.Load()
}

// before counts the events of a topic, or all, that were recorded before a time.
func (t *table) before(topic []byte, at int64) uint64 {
	defer t.runlock(t.rlock())
	if len(topic) == 0 {
		return uint64(sort.Search(int(t.rows.len()), func(i int) bool { return t.rows.at(uint32(i)).time >= at }))
	}
	i, ok := t.byTopic[string(topic)]
	if !ok {
		return 0
	}
	rows := t.topics[i].rows
	return uint64(sort.Search(len(rows), func(i int) bool { return t.rows.at(rows[i]).time >= at }))
}

func (k *counter) segment(s *segment) error {
	k.growing = false
	if s.LastTime < k.times[0] {
		return nil
	}
	c, err := k.ix.cursor()
	if err != nil {
		return err
	}
	defer c.release()
	total, number := s.Events, uint32(0)
	if len(k.topic) > 0 {
		e, _, err := c.topic(s, k.topic)
		if err != nil {
			return err
		}
		total, number = e.events, e.number
	}
	for at := s.FirstOffset; k.next < len(k.times) && k.times[k.next] <= s.LastTime; k.next++ {
		if total > 0 {
			if at, err = c.firstAt(s, at, k.times[k.next]); err != nil {
				return err
			}
			if k.before[k.next], err = k.rank(c, s, number, at); err != nil {
				return err
			}
		}
		k.before[k.next] += k.sum
	}
	k.sum += total
	return nil
}

// firstAt finds the first event recorded at or after a time, from an offset on; the segment's last is late enough. What is asked for
// in turn is mostly near, so it takes steps that double, and then halves.
func (c *cursor) firstAt(s *segment, from uint64, t int64) (uint64, error) {
	lo, hi := from, s.LastOffset
	for step := uint64(1); lo < hi; step *= 2 {
		p, err := c.firstFrom(s, min(lo+step-1, hi))
		if err != nil {
			return 0, err
		}
		if p.time >= t {
			hi = min(lo+step-1, hi)
			break
		}
		lo = p.offset + 1
	}
	return c.search(s, lo, hi, t)
}

// search finds the same by halves: every event below lo is too early, the first one from hi on is not.
func (c *cursor) search(s *segment, lo, hi uint64, t int64) (uint64, error) {
	for lo < hi {
		middle := lo + (hi-lo)/2
		p, err := c.firstFrom(s, middle)
		if err != nil {
			return 0, err
		}
		if p.time >= t {
			hi = middle
		} else {
			lo = p.offset + 1
		}
	}
	p, err := c.firstFrom(s, lo)
	return p.offset, err
}

// rank counts the events of a list, or all of a segment, before an offset.
func (k *counter) rank(c *cursor, s *segment, number uint32, offset uint64) (uint64, error) {
	if len(k.topic) > 0 {
		return c.rankRuns(s, number, offset)
	}
	if s.Events == s.LastOffset+1-s.FirstOffset {
		return offset - s.FirstOffset, nil
	}
	return c.rankAll(s, offset)
}

func (c *cursor) rankRuns(s *segment, number uint32, offset uint64) (uint64, error) {
	c.key = appendNumbered(c.key[:0], s.Segment, kindRun, number, offset)
	v, ok, err := c.atOrBefore(c.key, keyHead+4)
	if !ok {
		return 0, err
	}
	in := input{b: v}
	n := in.uvarint()
	if c.runs, err = readRuns(c.runs[:0], tail64(c.it.Key()), v); err != nil {
		return 0, c.failed(err)
	}
	for _, r := range c.runs {
		if r.first >= offset {
			break
		}
		n += min(r.n, offset-r.first)
	}
	return n, nil
}

// rankAll counts in a segment from which events were dropped, place by place.
func (c *cursor) rankAll(s *segment, offset uint64) (n uint64, err error) {
	for at := s.FirstOffset; ; {
		p, err := c.firstFrom(s, at)
		if err != nil || p.offset >= offset {
			return n, err
		}
		places := c.group.places.p
		i := sort.Search(len(places), func(i int) bool { return places[i].offset >= offset })
		j := sort.Search(len(places), func(i int) bool { return places[i].offset >= p.offset })
		n += uint64(i - j)
		if at = places[len(places)-1].offset + 1; i < len(places) || at > s.LastOffset {
			return n, nil
		}
	}
}
