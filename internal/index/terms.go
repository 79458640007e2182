package index

// TypeHash is the hash under which events of a type are found.
func TypeHash(typ []byte) uint64 { return termHash(hashType, typ) }

// TagHash is the hash under which events that carry a tag are found.
func TagHash(tag []byte) uint64 { return termHash(hashTag, tag) }

const (
	// termBytes bounds what the terms of one table take, as counted by the costs below: an event may carry many tags that no other
	// carries, and a segment holds many events. From the event that passes it, a segment's events have no terms.
	termBytes = 32 << 20
	// termCost is a term without its postings: the row, its word in the hash table, and room for both to grow.
	termCost = 72
	// postingCost is an event in a term's list, with room for the list to grow.
	postingCost = 8
)

// terms is where a table keeps which events have a type or carry a tag, each known by its hash.
type terms struct {
	rows   chunks[termRow]
	by     slots
	budget int
	used   int
	// until is the first offset that has no terms any more; 0 while all have.
	until uint64
}

// termRow is a term. Most tags are carried by one event, so that one needs no list.
type termRow struct {
	hash uint64
	one  [1]uint32
	more []uint32
}

func (r *termRow) rows() []uint32 {
	if r.more != nil {
		return r.more
	}
	return r.one[:]
}

// addTerms files row i under its type and tags. What decides that there is no more room is the log's content alone, so that equal
// segments give equal tables.
func (t *table) addTerms(e *Event, i uint32) {
	s := &t.terms
	if s.until != 0 {
		return
	}
	if s.used+(1+len(e.Tags))*(termCost+postingCost) > s.budget {
		s.until = e.Offset
		return
	}
	s.file(TypeHash(e.Type), i)
	for _, tag := range e.Tags {
		s.file(tag, i)
	}
}

func (s *terms) file(hash uint64, i uint32) {
	r := s.find(hash)
	if r == nil {
		if s.by.words == nil {
			s.by = newSlots(0)
		}
		s.by.put(hash, s.rows.push(termRow{hash: hash, one: [1]uint32{i}}), func(i uint32) uint64 { return s.rows.at(i).hash })
		s.used += termCost + postingCost
		return
	}
	rows := r.rows()
	if rows[len(rows)-1] == i {
		return // the tag comes twice
	}
	r.more = append(rows, i)
	s.used += postingCost
}

func (s *terms) find(hash uint64) *termRow {
	if len(s.by.words) == 0 {
		return nil
	}
	mask := uint64(len(s.by.words) - 1)
	for at := hash & mask; s.by.words[at] != 0; at = (at + 1) & mask {
		if w := s.by.words[at]; w>>32 == hash>>32 {
			if r := s.rows.at(uint32(w) - 1); r.hash == hash {
				return r
			}
		}
	}
	return nil
}

// sortedTerms gives the terms in the order of their hashes.
func (b *builder) sortedTerms() []keyed {
	s := &b.t.terms
	all := make([]keyed, s.rows.len())
	for i := range all {
		all[i] = keyed{s.rows.at(uint32(i)).hash, uint64(i)}
	}
	return radixSort(all)
}

// terms writes the blocks, and numbers the terms with lists of their own after the topics.
func (b *builder) terms() error {
	sorted := b.sortedTerms()
	for at := 0; at < len(sorted); {
		b.value = b.value[:0]
		last := uint64(0)
		for ; at < len(sorted) && len(b.value) < blockBytes; at++ {
			b.value = b.appendTerm(b.value, sorted[at].key-last, b.t.terms.rows.at(uint32(sorted[at].value)))
			last = sorted[at].key
		}
		b.key = appendTermKey(b.key[:0], b.t.segment, last)
		if err := b.put(b.key, b.value); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) appendTerm(dst []byte, step uint64, r *termRow) []byte {
	rows := r.rows()
	e := termEntry{count: uint64(len(rows))}
	if e.external = e.count > maxInline; e.external {
		e.number = uint32(len(b.lists))
		b.lists = append(b.lists, rows)
	}
	b.offsets = b.offsets[:0]
	if !e.external {
		for _, i := range rows {
			b.offsets = append(b.offsets, uint64(b.t.rows.at(i).offset))
		}
	}
	return e.append(dst, step, b.offsets)
}
