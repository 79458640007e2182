package meta

import (
	"strconv"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

// Verify reads a meta folder that nobody has open and counts its topics. The error is the first damage found.
func Verify(fsys vfs.FS, dir string) (topics int, err error) {
	s, err := loadSnapshot(fsys, dir)
	if err != nil {
		return 0, err
	}
	m := &Meta{}
	m.state.Store(s)
	report, err := seglog.Verify(seglog.Options{FS: fsys, Dir: dir, Shard: group, SegmentBytes: segmentBytes}, func(e seglog.Entry, _ string, _ int64) error {
		_, err := m.fold(e)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, d := range report.Damages {
		if !d.Doubtful {
			return m.Count(), errs.New(errs.Corrupt, "%s", d.Reason).With("file", d.File).With("offset", strconv.FormatInt(d.Offset, 10))
		}
	}
	return m.Count(), nil
}
