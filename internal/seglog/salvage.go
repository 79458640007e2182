package seglog

import "github.com/gesta-db/gesta/internal/errs"

// salvage writes the last segment anew, up to the damage, under a header of its own: the old one may say that what is damaged was
// durable, or that the file was longer. A crash leaves the old file, or the new one.
func (l *Log) salvage(sc *scan) (*Cut, error) {
	cut := &Cut{File: sc.tail.file.path, Offset: sc.tail.end, Bytes: max(sc.rest, sc.claim) - sc.tail.end, Reason: sc.stop.reason}
	var err error
	if cut.HighestIndex, err = sc.highest(); err != nil {
		return nil, err
	}
	l.doubt = max(l.doubt, cut.HighestIndex)
	seg := l.state.Load().active
	t, err := l.rewrite(seg, seg.last+1)
	if err != nil {
		return nil, err
	}
	if err := l.exchange(nil, t); err != nil {
		_ = t.file.release()
		return nil, err
	}
	l.show(&state{full: l.state.Load().full, active: t.view()}, t.tail)
	if err := seg.file.release(); err != nil {
		return nil, errs.New(errs.Unavailable, "seglog: close %s: %w", seg.file.path, err)
	}
	if l.o.Listener.Cut != nil {
		l.o.Listener.Cut(*cut)
	}
	return cut, nil
}

// highest is the highest index that can have stood after the good batches: what the batches say that can still be made out, and an entry
// for every place where its header would fit in what cannot.
func (s *scan) highest() (uint64, error) {
	s.w = new(window)
	defer func() { s.w = nil }()
	index, end := s.tail.last, s.tail.end
	for {
		at := s.laterThan(end)
		if at == 0 {
			break
		}
		b, err := s.tail.file.read(make([]byte, batchHeader), at)
		if err != nil {
			return 0, err
		}
		h, _ := decodeBatch(b, &s.tail.head, at)
		index, end = max(index, h.first+uint64(h.count)-1), at
		if next := at + batchHeader + int64(h.length); next <= s.rest {
			end = next - 8 // one may stand right behind it
		}
	}
	if after := max(s.rest, s.sureEnd()) - end; after > batchHeader {
		index += uint64(after / EntryHeader)
	}
	return index, s.failed
}

// sureEnd is how far the file was written at least, by what its headers say, when that is not there any more.
func (s *scan) sureEnd() int64 {
	if s.length < s.claim {
		return s.claim
	}
	return s.tail.head.sure
}
