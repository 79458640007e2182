package seglog

import (
	"sort"

	"github.com/gesta-db/gesta/internal/errs"
)

// hold gives the segment that holds entry i, with its file kept open until the caller releases it, and where the entry is.
func (l *Log) hold(i uint64) (*segment, int64, error) {
	for {
		s := l.state.Load()
		seg, err := s.holding(i)
		if err != nil {
			return nil, 0, err
		}
		if seg.file.acquire() {
			pos, err := seg.position(&l.cache, i)
			if err != nil {
				_ = seg.file.release()
				return nil, 0, err
			}
			return seg, pos, nil
		}
		if l.state.Load() == s {
			return nil, 0, errs.New(errs.Unavailable, "seglog: the log in %s is closed", l.o.Dir)
		}
		// The segment was replaced meanwhile.
	}
}

// Entries gives the entries from lo to below hi (at most Last()+1), as many as fit in maxBytes of data with their headers, at
// least one. They are verified; their memory is fresh and shared by the entries of one call. Errors: errs.Trimmed, errs.NotFound,
// errs.Corrupt.
func (l *Log) Entries(lo, hi, maxBytes uint64) ([]Entry, error) {
	if hi <= lo || hi-1 > l.Last() {
		return nil, errs.New(errs.NotFound, "seglog: entries %d to %d are not all there; the last is %d", lo, hi, l.Last())
	}
	var out []Entry
	var bytes uint64
	for lo < hi && (len(out) == 0 || bytes < maxBytes) {
		part, n, err := l.entriesOfOne(lo, hi, maxBytes-bytes, len(out) == 0)
		if err != nil {
			return nil, err
		}
		if len(part) == 0 {
			break
		}
		out = append(out, part...)
		bytes += n
		lo += uint64(len(part))
	}
	return out, nil
}

// entriesOfOne takes entries from one segment; none when not even the first fits and none is owed.
func (l *Log) entriesOfOne(lo, hi, maxBytes uint64, owed bool) (out []Entry, bytes uint64, err error) {
	s, pos, err := l.hold(lo)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = s.file.release() }()
	next, end, err := l.span(s, lo, min(hi, s.last+1), pos, maxBytes)
	if err != nil {
		return nil, 0, err
	}
	var w window // loaded once, so that no entry's memory is reused
	if err := w.load(s.file, pos, int(end-pos)); err != nil {
		return nil, 0, err
	}
	for ; lo < next; lo++ {
		e, err := l.entryOf(s, &w, lo, 0)
		if err != nil {
			return nil, 0, err
		}
		size := uint64(EntryHeader + len(e.Data))
		if bytes+size > maxBytes && (!owed || len(out) > 0) {
			break
		}
		bytes += size
		out = append(out, e)
	}
	return out, bytes, nil
}

// span is a stretch of the file from entry lo, at pos, as far as about maxBytes: the entry after it, and its end.
func (l *Log) span(s *segment, lo, hi uint64, pos int64, maxBytes uint64) (next uint64, end int64, err error) {
	n := sort.Search(int(hi-lo), func(i int) bool {
		p, perr := s.position(&l.cache, lo+uint64(i))
		if perr != nil {
			err = perr
		}
		return uint64(p-pos) > maxBytes
	})
	next = lo + uint64(max(n, 1))
	if err != nil || next > s.last {
		return next, s.end, err
	}
	end, err = s.position(&l.cache, next)
	return next, end, err
}

// entryOf reads one entry through a window, whose memory it uses.
func (l *Log) entryOf(s *segment, w *window, index uint64, ahead int64) (Entry, error) {
	pos, err := s.position(&l.cache, index)
	if err != nil {
		return Entry{}, err
	}
	e, d, err := w.entry(s.file, s.head.shard, index, pos, s.end, ahead, s.end)
	if err == nil && d != nil {
		err = d.err(s.file)
	}
	return e.entry, err
}

// ReadRecord reads the record at offset off of entry index's data, whose payload has size bytes, with one read when the size is
// right. The payload lies in buf when that is large enough. Errors: errs.Trimmed, errs.NotFound, errs.Corrupt.
func (l *Log) ReadRecord(index uint64, off, size uint32, buf []byte) (kind byte, payload []byte, err error) {
	s, pos, err := l.hold(index)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = s.file.release() }()
	at := pos + EntryHeader + int64(off)
	b, err := s.recordBytes(buf, index, at, size)
	if err != nil {
		return 0, nil, err
	}
	if n := recordLength(b); n > RecordHeader+int64(size) && n <= s.end-at {
		if b, err = s.recordBytes(buf, index, at, uint32(n-RecordHeader)); err != nil {
			return 0, nil, err
		}
	}
	return s.record(b, index, at)
}

// recordBytes reads as many bytes as a record of this size has.
func (s *segment) recordBytes(buf []byte, index uint64, at int64, size uint32) ([]byte, error) {
	n := RecordHeader + int64(size)
	if at+n > s.end {
		return nil, s.corrupt(at, "no record of %d bytes of entry %d can be there", n, index)
	}
	if int64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	return s.file.read(buf[:n], at)
}

// recordLength is what a record that begins with b says it has, header included; 0 when b is too short to tell.
func recordLength(b []byte) int64 {
	if len(b) < RecordHeader {
		return 0
	}
	return RecordHeader + int64(le.Uint32(b))
}

// record verifies the record that b begins with.
func (s *segment) record(b []byte, index uint64, at int64) (kind byte, payload []byte, err error) {
	n := recordLength(b)
	if n == 0 || n > int64(len(b)) || le.Uint32(b[4:]) != recordSum(recordSeed(s.head.shard, index), b[8:n]) {
		return 0, nil, s.corrupt(at, "the record of entry %d does not match its checksum", index)
	}
	return b[8], b[RecordHeader:n:n], nil
}
