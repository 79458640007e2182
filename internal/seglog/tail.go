package seglog

// tail is the writer's side of a segment that is not sealed: what the next batch needs to know.
type tail struct {
	name   string
	file   *file
	head   header
	seq    uint64 // of the newest batch
	end    int64  // where the next batch goes
	size   int64  // of the file, durable, zero from end on
	used   int64
	last   uint64
	term   uint64 // of the last entry, or of the one before the segment
	pos    []uint32
	runs   []run
	sum    sumState
	marked bool   // nothing in the segment can be in doubt: what it ends with was durable before it was named, or is a mark
	commit uint64 // in the newest batch
}

func newTail(f *file, name string, h header) *tail {
	return &tail{
		name: name, file: f, head: h, end: pageBytes, size: h.size, last: h.first - 1, term: h.prevTerm,
		sum: newSum(), marked: true,
	}
}

func (t *tail) view() *segment {
	return &segment{
		name: t.name, file: t.file, head: t.head, last: t.last, end: t.end, used: t.used,
		pos: t.pos[:len(t.pos):len(t.pos)], runs: t.runs[:len(t.runs):len(t.runs)], sum: t.sum, commit: t.commit,
	}
}

func (t *tail) full() bool { return t.used >= t.head.segmentBytes }

// fit tells how many of the entries go into the segment's next batch, none when it is full.
func (t *tail) fit(entries []Entry) int {
	used, n := t.used, 0
	for n < len(entries) && uint32(n) < t.head.maxBatch && used < t.head.segmentBytes {
		used += entryBytes(entries[n].storedBytes())
		n++
	}
	return n
}

// need is the size the file must have before a batch of these entries: its own if that will do.
func (t *tail) need(entries []Entry) int64 {
	need := t.end + batchHeader + margin
	for i := range entries {
		need += entryBytes(entries[i].storedBytes())
	}
	if need <= t.size {
		return t.size
	}
	return alignPage(need + growth(t.head.segmentBytes))
}

// encode makes the next batch in b, which is overwritten.
func (t *tail) encode(b []byte, kind uint8, entries []Entry, digests []uint32, commit, note uint64) []byte {
	b = append(b[:0], zeros[:batchHeader]...)
	for i := range entries {
		b = entries[i].appendTo(b, t.head.shard, digests[i])
	}
	h := batch{
		kind: kind, seq: t.seq + 1, first: t.last + 1, count: uint32(len(entries)), length: uint32(len(b) - batchHeader),
		commit: max(commit, t.commit), note: note, synced: t.end, size: t.size,
	}
	h.encode(b, &t.head, t.end)
	return b
}

// took notes that a batch made by encode is durable.
func (t *tail) took(b []byte, kind uint8, entries []Entry) {
	at := int64(batchHeader)
	for i := range entries {
		e := &entries[i]
		t.entry(t.end+at, e.Term, b[at:at+EntryHeader], e.storedBytes())
		at += entryBytes(e.storedBytes())
	}
	t.seq++
	t.end += int64(len(b))
	t.marked = kind != batchEntries
	t.commit = le.Uint64(b[24:])
}

// entry notes the next entry, at this place in the file.
func (t *tail) entry(pos int64, term uint64, head []byte, stored int) {
	t.last++
	t.pos = append(t.pos, uint32(pos/8))
	if len(t.runs) == 0 || t.term != term {
		t.runs = append(t.runs, run{first: t.last, term: term})
	}
	t.term = term
	t.used += entryBytes(stored)
	t.sum.Write(head)
}
