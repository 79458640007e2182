package seglog

import (
	"slices"

	"github.com/gesta-db/gesta/internal/errs"
)

// Seal ends a segment for good: it writes the footer, gives back what was filled ahead, and stamps the header page. The caller
// asserts that all its entries are committed and applied. The segment must be full and not the last one (errs.Invalid); sealing
// twice does nothing. It may run beside Append. errs.NoSpace leaves the log as it was.
func (l *Log) Seal(first uint64) error {
	l.sealing.Lock()
	defer l.sealing.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	s := l.state.Load()
	i := slices.IndexFunc(s.full, func(seg *segment) bool { return seg.head.first == first })
	switch {
	case i < 0:
		return errs.New(errs.Invalid, "seglog: no segment that is full and followed by another begins with entry %d", first)
	case s.full[i].foot != nil:
		return nil
	}
	sealed, err := l.seal(s.full[i])
	if err != nil {
		return err
	}
	l.replace(sealed)
	if l.o.Listener.Sealed != nil {
		l.o.Listener.Sealed(first)
	}
	return nil
}

// seal makes the footer durable before the stamp, so a stamp always has its footer.
func (l *Log) seal(seg *segment) (*segment, error) {
	foot := encodeFooter(seg)
	st := seal{footer: seg.end, size: seg.end + int64(len(foot)), sum: trailerSumOf(foot)}
	f := seg.file.f
	if _, err := f.WriteAt(foot, seg.end); noSpace(err) {
		return nil, errs.New(errs.NoSpace, "seglog: no space for the footer of %s: %w; free space on the volume", seg.file.path, err)
	} else if err != nil {
		return nil, l.poison("write the footer of "+seg.file.path, err)
	}
	if err := f.Truncate(st.size); err != nil {
		return nil, l.poison("shorten "+seg.file.path, err)
	}
	if err := f.SyncData(); err != nil {
		return nil, l.poison("sync "+seg.file.path, err)
	}
	if _, err := f.WriteAt(st.encode(&seg.head), sealOffset); err != nil {
		return nil, l.poison("seal "+seg.file.path, err)
	}
	if err := f.SyncData(); err != nil {
		return nil, l.poison("sync "+seg.file.path, err)
	}
	loaded, err := loadFooter(seg.file, &seg.head, st)
	if err != nil {
		return nil, l.poison("read back the footer of "+seg.file.path, err)
	}
	sealed := *seg
	sealed.foot, sealed.runs, sealed.pos = loaded, loaded.runs, nil
	return &sealed, nil
}

// replace shows readers another view of a full segment.
func (l *Log) replace(seg *segment) {
	l.publishing.Lock()
	defer l.publishing.Unlock()
	s := l.state.Load()
	full := slices.Clone(s.full)
	for i := range full {
		if full[i].head.first == seg.head.first {
			full[i] = seg
		}
	}
	l.state.Store(&state{full: full, active: s.active})
}
