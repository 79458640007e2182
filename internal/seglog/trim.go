package seglog

import (
	"slices"

	"github.com/gesta-db/gesta/internal/errs"
)

// Trim removes the segments whose last entry is below before; the last segment stays. The new first index is durable before the
// first file goes, so that a segment that is missing later is never taken for a trimmed one.
func (l *Log) Trim(before uint64) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	l.sealing.Lock()
	defer l.sealing.Unlock()
	s := l.state.Load()
	n := 0
	for n < len(s.full) && s.full[n].last < before {
		n++
	}
	if n == 0 {
		return nil
	}
	rest := s.all()[n:]
	l.kept = rest[0].head.first
	if err := l.write(batchTrim, nil, nil, l.tail.commit, l.kept); err != nil {
		l.kept = s.first()
		return err
	}
	l.dropFirst(n)
	if err := l.removeAll(s.full[:n]); err != nil {
		return err
	}
	if l.o.Listener.Trimmed != nil {
		l.o.Listener.Trimmed(l.kept)
	}
	return nil
}

func (l *Log) dropFirst(n int) {
	l.publishing.Lock()
	defer l.publishing.Unlock()
	s := l.state.Load()
	l.state.Store(&state{full: slices.Clone(s.full[n:]), active: s.active})
}

// removeAll removes files that no reader finds any more; what a crash leaves of them, Open removes.
func (l *Log) removeAll(gone []*segment) error {
	for _, s := range gone {
		_ = s.file.release()
		if err := l.o.FS.Remove(s.file.path); err != nil {
			return errs.New(errs.Unavailable, "seglog: remove the trimmed segment %s: %w; it is removed at the next open", s.file.path, err)
		}
	}
	if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
		return l.poison("sync the folder", err)
	}
	return nil
}
