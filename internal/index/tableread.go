package index

import "sort"

func (t *table) head(hash uint64, topic, key []byte) (Head, bool) {
	defer t.runlock(t.rlock())
	si, ok := t.findStream(hash, topic, key)
	if !ok {
		return Head{}, false
	}
	return t.headOf(t.streams.at(si)), true
}

// headOf is without the time, which stands in a row that is likely in no cache of the processor.
func (t *table) headOf(s *streamRow) Head {
	return Head{Revision: s.firstRevision + uint64(s.revision), Offset: t.base + uint64(s.offset)}
}

// ids appends the offsets filed under an id's hash.
func (t *table) ids(hash uint64, dst []uint64) []uint64 {
	defer t.runlock(t.rlock())
	mask := uint64(len(t.byID.words) - 1)
	for at := hash & mask; t.byID.words[at] != 0; at = (at + 1) & mask {
		w := t.byID.words[at]
		if w>>32 == hash>>32 && t.idHash(uint32(w)-1) == hash {
			dst = append(dst, t.idOffset(uint32(w)-1))
		}
	}
	return dst
}

func (t *table) idOffset(i uint32) uint64 {
	if i&commandBit != 0 {
		return t.commands.at(i &^ commandBit).offset
	}
	return t.base + uint64(t.rows.at(i).offset)
}

func (t *table) loc(r *row) Loc {
	return Loc{Entry: t.segment + uint64(r.entry), Off: r.off, Size: r.size}
}

func (t *table) posting(r *row) Posting {
	s := t.streams.at(r.stream)
	return Posting{Offset: t.base + uint64(r.offset), Revision: s.firstRevision + uint64(r.revision), Loc: t.loc(r)}
}

// atOffset gives the first row with this offset or a later one; rows.len() when there is none. Without gaps it guesses right.
func (t *table) atOffset(offset uint64) uint32 {
	if offset <= t.base {
		return 0
	}
	n := t.rows.len()
	if d := offset - t.base; d < uint64(n) && uint64(t.rows.at(uint32(d)).offset) == d {
		return uint32(d)
	}
	return uint32(sort.Search(int(n), func(i int) bool { return t.base+uint64(t.rows.at(uint32(i)).offset) >= offset }))
}

func (t *table) place(offset uint64) (place, bool) {
	defer t.runlock(t.rlock())
	i := t.atOffset(offset)
	if i >= t.rows.len() || t.base+uint64(t.rows.at(i).offset) != offset {
		return place{}, false
	}
	r := t.rows.at(i)
	return place{offset: offset, loc: t.loc(r), time: r.time}, true
}

// atTime gives the offset of the first event recorded at or after t.
func (t *table) atTime(at int64) (uint64, bool) {
	defer t.runlock(t.rlock())
	n := int(t.rows.len())
	i := sort.Search(n, func(i int) bool { return t.rows.at(uint32(i)).time >= at })
	if i == n {
		return 0, false
	}
	return t.base + uint64(t.rows.at(uint32(i)).offset), true
}

// streamRows fills dst with a stream's postings from a revision on, forwards or backwards.
func (t *table) streamRows(q *streamQuery, from uint64, dst []Posting) int {
	defer t.runlock(t.rlock())
	si, ok := t.findStream(q.hash, q.topic, q.key)
	if !ok {
		return 0
	}
	i := t.startRow(t.streams.at(si), from, q.backwards)
	n := 0
	for ; n < len(dst) && i != none; n++ {
		r := t.rows.at(i)
		dst[n] = t.posting(r)
		i = r.next
		if q.backwards {
			i = r.prev
		}
	}
	return n
}

// startRow finds the first row to deliver, walking from whichever end of the stream is nearer.
func (t *table) startRow(s *streamRow, from uint64, backwards bool) uint32 {
	last := s.firstRevision + uint64(s.revision)
	if from < s.firstRevision {
		from = s.firstRevision
		if backwards {
			return none
		}
	}
	if from > last {
		if backwards {
			return s.last
		}
		return none
	}
	want := uint32(from - s.firstRevision)
	if want <= uint32(last-s.firstRevision)/2 {
		return t.walkUp(s.first, want, backwards)
	}
	return t.walkDown(s.last, want, backwards)
}

func (t *table) walkUp(i, want uint32, backwards bool) uint32 {
	for t.rows.at(i).revision < want {
		i = t.rows.at(i).next
	}
	if backwards && t.rows.at(i).revision > want {
		return t.rows.at(i).prev
	}
	return i
}

func (t *table) walkDown(i, want uint32, backwards bool) uint32 {
	for t.rows.at(i).revision > want {
		i = t.rows.at(i).prev
	}
	if !backwards && t.rows.at(i).revision < want {
		return t.rows.at(i).next
	}
	return i
}

// topicRows fills dst with a topic's postings from an offset on, forwards or backwards.
func (t *table) topicRows(topic []byte, from uint64, backwards bool, dst []Posting) int {
	defer t.runlock(t.rlock())
	ti, ok := t.byTopic[string(topic)]
	if !ok {
		return 0
	}
	rows := t.topics[ti].rows
	i := sort.Search(len(rows), func(i int) bool { return t.base+uint64(t.rows.at(rows[i]).offset) >= from })
	step := 1
	if backwards {
		step = -1
		if i == len(rows) || t.base+uint64(t.rows.at(rows[i]).offset) > from {
			i--
		}
	}
	n := 0
	for ; n < len(dst) && i >= 0 && i < len(rows); i += step {
		r := t.rows.at(rows[i])
		dst[n] = Posting{Offset: t.base + uint64(r.offset), Loc: t.loc(r)}
		n++
	}
	return n
}

func (t *table) topicEvents(topic []byte) uint64 {
	defer t.runlock(t.rlock())
	if ti, ok := t.byTopic[string(topic)]; ok {
		return uint64(len(t.topics[ti].rows))
	}
	return 0
}

// summary is what is said of the segment as a whole.
func (t *table) summary() SegmentMark {
	defer t.runlock(t.rlock())
	m := SegmentMark{Segment: t.segment, Events: uint64(t.rows.len())}
	if m.Events > 0 {
		first, last := t.rows.at(0), t.rows.at(t.rows.len()-1)
		m.FirstOffset, m.LastOffset = t.base, t.base+uint64(last.offset)
		m.FirstTime, m.LastTime = first.time, last.time
	}
	return m
}
