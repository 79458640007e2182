package shard

// proposed is what a leader has judged beyond what is applied: the next numbers, and the heads and ids of the entries in
// flight. It is not readable; it exists so that the next judgement counts them.
type proposed struct {
	lastOffset uint64
	lastTime   int64
	lastIndex  uint64 // the newest entry proposed in this term
	heads      map[string]head
	ids        map[uint64]uint64 // id hash → entry
	scratch    []byte
}

// head is the newest revision of a stream as proposed, and the entry that made it.
type head struct {
	revision uint64
	entry    uint64
}

// undo restores a head when the entry that changed it was not taken.
type undo struct {
	stream string
	before head
	had    bool
}

func (p *proposed) reset(lastOffset uint64, lastTime int64) {
	*p = proposed{lastOffset: lastOffset, lastTime: lastTime, heads: map[string]head{}, ids: map[uint64]uint64{}}
}

func (p *proposed) head(topic, key []byte) (uint64, bool) {
	p.scratch = streamKey(p.scratch[:0], topic, key)
	h, ok := p.heads[string(p.scratch)]
	return h.revision, ok
}

func (p *proposed) setHead(topic, key []byte, h head) undo {
	p.scratch = streamKey(p.scratch[:0], topic, key)
	s := string(p.scratch)
	before, had := p.heads[s]
	p.heads[s] = h
	return undo{stream: s, before: before, had: had}
}

// applied forgets what an entry contributed, now that the index holds it.
func (p *proposed) applied(f *flight) {
	for i := range f.undo {
		if u := &f.undo[i]; p.heads[u.stream].entry == f.index {
			delete(p.heads, u.stream)
		}
	}
	p.forgetIDs(f)
}

// rollback takes back the newest entry, which was refused.
func (p *proposed) rollback(f *flight) {
	for i := len(f.undo) - 1; i >= 0; i-- {
		if u := &f.undo[i]; u.had {
			p.heads[u.stream] = u.before
		} else {
			delete(p.heads, u.stream)
		}
	}
	p.forgetIDs(f)
}

func (p *proposed) forgetIDs(f *flight) {
	for _, id := range f.ids {
		if p.ids[id] == f.index {
			delete(p.ids, id)
		}
	}
}
