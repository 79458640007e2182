package meta

import (
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

// Verify reads a meta folder that nobody has open, counts its topics, and lists the damage to its log. The error is damage to the
// snapshot, entries that are missing or do not fold, or a folder that cannot be read.
func Verify(fsys vfs.FS, dir string) (topics int, damages []seglog.Damage, err error) {
	s, broken := loadSnapshot(fsys, dir)
	if broken != nil {
		s = newState() // the log is still worth a look
	}
	m := &Meta{}
	m.state.Store(s)
	last := s.Index
	report, err := seglog.Verify(seglog.Options{FS: fsys, Dir: dir, Shard: group, SegmentBytes: segmentBytes}, func(e seglog.Entry, _ string, _ int64) error {
		// Behind a gap, which is damage already, nothing can be folded.
		if broken != nil || e.Index > last+1 {
			return nil
		}
		last = max(last, e.Index)
		_, err := m.fold(e)
		return err
	})
	if broken != nil {
		err = broken
	} else if err == nil && len(report.Segments) == 0 && len(report.Damages) == 0 {
		err = errs.New(errs.Corrupt, "%s holds no segment of the meta log: restore the folder from a backup", dir).With("file", dir).With("offset", "0")
	} else if err == nil && report.First > s.Index+1 {
		err = missing(dir, report.First, s.Index)
	}
	return m.Count(), report.Damages, err
}
