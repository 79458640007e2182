package meta

import (
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

// Recover makes the replica in a folder that nobody has open the only one of the meta group: see replica.Alone.
func Recover(fsys vfs.FS, dir string, id uint64) error {
	o := seglog.Options{FS: fsys, Dir: dir, Shard: group, SegmentBytes: segmentBytes, MaxBatchEntries: 1024}
	if err := finishInstall(o); err != nil {
		return err
	}
	return replica.Alone(o, id)
}
