package seglog

import (
	"fmt"

	"github.com/gesta-db/gesta/internal/errs"
)

// scanAhead is how much of a file a scan reads at once.
const scanAhead = 1 << 20

// damage is where and how a segment's bytes are not what was written.
type damage struct {
	offset int64
	reason string
	sure   bool // a torn write cannot look like this
}

func (d *damage) err(f *file) error { return corrupt(f.path, d.offset, "%s", d.reason) }

// scan walks the batches of a segment that is not sealed, and verifies every byte.
type scan struct {
	tail   *tail
	length int64 // of the file
	claim  int64 // the largest size that a header claims
	kept   uint64
	doubt  uint64
	stop   *damage // nil: the batches end where zeros begin
	torn   batch   // the header at tail.end, when it could be read
	rest   int64   // end of the last byte after tail.end that is not zero, or tail.end
	w      *window
	staged []staged
	failed error // of reading
}

// staged is an entry of a batch that is not known to be whole yet.
type staged struct {
	pos    int64
	term   uint64
	head   [EntryHeader]byte
	stored int
}

// newScan begins a scan of a file through w, which many scans may use one after another.
func newScan(f *file, name string, h header, w *window) *scan {
	s := &scan{w: w, tail: newTail(f, name, h), claim: h.size, kept: h.kept, doubt: h.doubt}
	if s.length, s.failed = f.f.Size(); s.failed != nil {
		s.failed = errs.New(errs.Unavailable, "seglog: size of %s: %w", f.path, s.failed)
	}
	s.tail.size = s.length &^ (pageBytes - 1)
	return s
}

// run walks up to the end of the good batches, and finds out what comes after them. The error is of reading only.
func (s *scan) run() error {
	for s.failed == nil && s.stop == nil && s.batch() {
	}
	s.settle()
	s.w, s.staged = nil, nil
	return s.failed
}

func (s *scan) get(pos int64, n int) []byte {
	if s.failed != nil {
		return nil
	}
	var b []byte
	b, s.failed = s.w.get(s.tail.file, pos, n, scanAhead, s.length)
	return b
}

func (s *scan) stopAt(sure bool, offset int64, format string, args ...any) bool {
	s.stop = &damage{offset: offset, reason: fmt.Sprintf(format, args...), sure: sure}
	return false
}

// batch takes the next batch; false where there is no whole one.
func (s *scan) batch() bool {
	t := s.tail
	h, ok := decodeBatch(s.get(t.end, batchHeader), &t.head, t.end)
	if !ok {
		return false
	}
	s.torn = h
	s.claim = max(s.claim, h.size)
	if why := t.misplaced(&h); why != "" {
		return s.stopAt(true, t.end, "%s", why)
	}
	if !s.entries(&h) {
		return false
	}
	s.torn = batch{}
	for i := range s.staged {
		e := &s.staged[i]
		t.entry(e.pos, e.term, e.head[:], e.stored)
	}
	t.seq, t.end, t.commit = h.seq, t.end+batchHeader+int64(h.length), h.commit
	t.marked = h.kind != batchEntries || t.end <= t.head.sure
	s.note(&h)
	return true
}

// misplaced tells what is impossible in a header that matches its checksum.
func (t *tail) misplaced(h *batch) string {
	if h.seq != t.seq+1 || h.first != t.last+1 || h.synced != t.end || h.commit < t.commit {
		return fmt.Sprintf("batch %d of entry %d stands where batch %d of entry %d belongs", h.seq, h.first, t.seq+1, t.last+1)
	}
	bare := h.kind >= batchMark && h.kind <= batchTrim && h.count == 0 && h.length == 0
	filled := h.kind == batchEntries && h.count > 0 && h.count <= t.head.maxBatch && h.length%8 == 0
	if !bare && !filled {
		return fmt.Sprintf("a batch of kind %d with %d entries in %d bytes is not known", h.kind, h.count, h.length)
	}
	return ""
}

func (s *scan) note(h *batch) {
	if s.tail.last >= s.doubt {
		s.doubt = 0
	}
	switch h.kind {
	case batchCut:
		s.doubt = max(s.doubt, h.note)
	case batchTrim:
		s.kept = max(s.kept, h.note)
	}
}

// entries stages the entries of a batch; false when one is not whole.
func (s *scan) entries(h *batch) bool {
	t := s.tail
	s.staged = s.staged[:0]
	pos, term := t.end+batchHeader, t.term
	end := pos + int64(h.length)
	for index := h.first; index < h.first+uint64(h.count); index++ {
		e, d, err := s.w.entry(t.file, t.head.shard, index, pos, end, scanAhead, s.length)
		if s.failed = err; err != nil {
			return false
		}
		if d != nil || e.term < term {
			return s.stopEntry(d, index, pos)
		}
		s.staged = append(s.staged, staged{pos: pos, term: e.term, head: e.head, stored: int(e.length)})
		pos, term = pos+entryBytes(int(e.length)), e.term
	}
	if pos != end {
		return s.stopAt(true, pos, "the batch goes on after its last entry")
	}
	return true
}

func (s *scan) stopEntry(d *damage, index uint64, pos int64) bool {
	if d == nil {
		return s.stopAt(true, pos, "entry %d has a lower term than the one before", index)
	}
	s.stop = d
	return false
}

// readEntry is an entry as it was found in a file.
type readEntry struct {
	entryHeader
	head  [EntryHeader]byte
	entry Entry // its data aliases the window
}

// entry reads and verifies the entry at pos, which must end before end. It may read ahead, but not beyond limit.
func (w *window) entry(f *file, shard, index uint64, pos, end, ahead, limit int64) (e readEntry, d *damage, err error) {
	b, err := w.get(f, pos, EntryHeader, ahead, limit)
	if err != nil {
		return e, nil, err
	}
	h, ok := decodeEntryHeader(b, shard, index)
	if !ok || pos+entryBytes(int(h.length)) > end {
		return e, &damage{offset: pos, reason: fmt.Sprintf("the header of entry %d does not match its checksum", index)}, nil
	}
	e.entryHeader = h
	e.head = [EntryHeader]byte(b)
	if b, err = w.get(f, pos, int(entryBytes(int(h.length))), ahead, limit); err != nil {
		return e, nil, err
	}
	if int64(len(b)) < entryBytes(int(h.length)) {
		return e, &damage{offset: pos + int64(len(b)), reason: fmt.Sprintf("the file ends in entry %d", index)}, nil
	}
	data := b[EntryHeader : EntryHeader+int(h.length)]
	if e.entry, err = h.open(data, shard); err != nil {
		return e, &damage{offset: pos + EntryHeader, reason: err.Error()}, nil
	}
	if !isZero(b[EntryHeader+int(h.length):]) {
		return e, &damage{offset: pos + EntryHeader + int64(h.length), reason: "padding is not zero"}, nil
	}
	return e, nil, nil
}

// settle decides what the bytes after the last good batch are.
func (s *scan) settle() {
	t := s.tail
	s.findRest()
	switch {
	case s.failed != nil || s.stop != nil && s.stop.sure:
	case s.length < s.claim:
		s.stopAt(true, s.length, "the file has %d bytes, but %d were durable", s.length, s.claim)
	case t.end < t.head.sure:
		s.stopKeeping(true, "a batch is damaged that was durable before the file got its name")
	case s.rest > t.end:
		at := s.later()
		if at > 0 {
			s.stopKeeping(true, fmt.Sprintf("a batch is damaged, and a later one stands at byte %d", at))
		} else {
			s.stopKeeping(false, "the last batch is damaged")
		}
	default:
		s.stop = nil // a header alone cannot be: it would not be zero
	}
}

// findRest finds the last byte after the good batches that is not zero.
func (s *scan) findRest() {
	s.rest = s.tail.end
	s.eachRest(func(pos int64, b []byte) bool {
		if !isZero(b) {
			s.rest = pos + int64(lastNonZero(b)) + 1
		}
		return true
	})
}

// stopKeeping adds to what is known of the damage.
func (s *scan) stopKeeping(sure bool, reason string) {
	if s.stop == nil {
		s.stop = &damage{offset: s.tail.end, reason: "there is no valid batch header"}
	}
	s.stop.sure = sure
	s.stop.reason = reason + ": " + s.stop.reason
}

// eachRest gives what comes after the last good batch, in pieces that begin at multiples of 8.
func (s *scan) eachRest(visit func(pos int64, b []byte) bool) {
	for pos := s.tail.end; pos < s.length; {
		b := s.get(pos, int(min(scanAhead, s.length-pos)))
		if len(b) == 0 || !visit(pos, b) {
			return
		}
		pos += int64(len(b))
	}
}

// later finds a valid batch header after the first bad one; 0 when there is none.
func (s *scan) later() int64 { return s.laterThan(s.tail.end) }

// laterThan finds the first valid batch header after a place behind the good batches.
func (s *scan) laterThan(end int64) (at int64) {
	s.eachRest(func(pos int64, b []byte) bool {
		for i := 0; i+4 <= len(b) && at == 0; i += 8 {
			if here := pos + int64(i); here > end && le.Uint32(b[i:]) == batchMagic && s.batchAt(here) {
				at = here
			}
		}
		return at == 0
	})
	return at
}

// batchAt reads beside the window, which is in use.
func (s *scan) batchAt(pos int64) bool {
	b, err := s.tail.file.read(make([]byte, batchHeader), pos)
	_, ok := decodeBatch(b, &s.tail.head, pos)
	return err == nil && ok
}

func lastNonZero(b []byte) int {
	i := len(b) - 1
	for b[i] == 0 {
		i--
	}
	return i
}
