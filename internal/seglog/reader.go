package seglog

const (
	nearBytes  = 4 << 10   // an access this close to the one before counts as the next one
	aheadBytes = 16 << 10  // how much is read ahead when two accesses were near
	entryAhead = 128 << 10 // the same for whole entries
)

// Reader reads records and entries through a window of what it read last, so that neighbours cost no further read of the file.
// It is for one goroutine; many may read beside each other and beside the writer.
type Reader struct {
	l      *Log
	w      window
	limit  int   // of the window, but for entries that are larger
	ahead  int   // how much to read the next time
	lo, hi int64 // the access before, in w.file
	onFile *file
}

// NewReader makes a reader whose window grows up to so many bytes while the accesses are near each other.
func (l *Log) NewReader(window int) *Reader {
	return &Reader{l: l, limit: max(window, nearBytes)}
}

// Record reads a record as Log.ReadRecord does. The payload is valid until the next call.
func (r *Reader) Record(index uint64, off, size uint32) (kind byte, payload []byte, err error) {
	s, pos, err := r.l.hold(index)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = s.file.release() }()
	at := pos + EntryHeader + int64(off)
	b, err := r.bytes(s, index, at, RecordHeader+int64(size))
	if err != nil {
		return 0, nil, err
	}
	if n := recordLength(b); n > int64(len(b)) && n <= s.end-at {
		if b, err = r.bytes(s, index, at, n); err != nil {
			return 0, nil, err
		}
	}
	return s.record(b, index, at)
}

// bytes gives n bytes of a segment from the window, which is read anew when they are not in it.
func (r *Reader) bytes(s *segment, index uint64, at, n int64) ([]byte, error) {
	if at+n > s.end {
		return nil, s.corrupt(at, "no record of %d bytes of entry %d can be there", n, index)
	}
	if b, ok := r.w.holds(s.file, at, int(n)); ok {
		r.lo, r.hi = at, at+n
		return b, nil
	}
	from, to := r.stretch(s, at, at+n)
	if err := r.w.load(s.file, from, int(to-from)); err != nil {
		return nil, err
	}
	if b, ok := r.w.holds(s.file, at, int(n)); ok {
		return b, nil
	}
	return nil, s.corrupt(at, "the file ends in a record of entry %d", index)
}

// stretch decides what to read for an access: more each time while accesses are near each other, just the record when they jump.
func (r *Reader) stretch(s *segment, lo, hi int64) (from, to int64) {
	near := int64(max(nearBytes, r.ahead))
	same := r.onFile == s.file
	forward := same && lo >= r.hi && lo-r.hi <= near
	backward := same && hi <= r.lo && r.lo-hi <= near
	if forward || backward {
		r.ahead = min(max(2*r.ahead, aheadBytes), r.limit)
	} else {
		r.ahead = 0
	}
	r.onFile, r.lo, r.hi = s.file, lo, hi
	more := max(int64(r.ahead)-(hi-lo), 0)
	if backward {
		return max(lo-more, pageBytes), hi
	}
	return lo, min(hi+more, s.end)
}

// Entry reads a whole entry. Its data is valid until the next call. Reading entries in order reads the file in stretches of the
// window's size.
func (r *Reader) Entry(index uint64) (Entry, error) {
	s, pos, err := r.l.hold(index)
	if err != nil {
		return Entry{}, err
	}
	defer func() { _ = s.file.release() }()
	if _, ok := r.w.holds(s.file, pos, EntryHeader); !ok {
		r.stretchEntry(s, pos)
	}
	e, err := r.l.entryOf(s, &r.w, index, int64(r.ahead))
	r.lo, r.hi = pos, pos+EntryHeader+int64(len(e.Data))
	return e, err
}

func (r *Reader) stretchEntry(s *segment, pos int64) {
	if r.onFile == s.file && pos >= r.lo && pos-r.hi <= int64(max(nearBytes, r.ahead)) {
		r.ahead = min(max(4*r.ahead, entryAhead), r.limit)
	} else {
		r.ahead = min(entryAhead/4, r.limit)
	}
	r.onFile = s.file
}
