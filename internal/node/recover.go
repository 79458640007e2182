package node

import (
	"errors"
	"path/filepath"
	"strconv"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
	"github.com/gesta-db/gesta/internal/meta"
	"github.com/gesta-db/gesta/internal/shard"
	"github.com/gesta-db/gesta/internal/vfs"
)

// recoverName is the note in a data folder that a forced recovery has begun. The next start ends it.
const recoverName = "recover"

// Recover makes the node of a data folder, which no process has open, the only one of its cluster, with what the folder holds. The note goes
// first: whoever starts the node after a crash in between ends with the same.
func Recover(fsys vfs.FS, dir string) (shards []uint32, err error) {
	if _, err := readIdentity(fsys, dir); isNotExist(err) {
		return nil, errs.New(errs.NotFound, "%s is no data folder of gesta: it has no %s", dir, identityName)
	}
	f, err := openFolder(fsys, dir, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if err := f.noteRecovery(); err != nil {
		return nil, err
	}
	return f.recoverGroups()
}

func (f *folder) noteRecovery() error {
	name := f.path(recoverName)
	if err := f.fs.Remove(name); err != nil && !isNotExist(err) {
		return err
	}
	return errors.Join(writeFile(f.fs, name, []byte("The next start of this node ends a forced recovery.\n")), f.fs.SyncDir(f.dir))
}

// recovering tells whether a forced recovery has begun, and does again what it began with.
func (f *folder) recovering() (bool, error) {
	file, err := f.fs.Open(f.path(recoverName))
	if isNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := file.Close(); err != nil {
		return false, err
	}
	_, err = f.recoverGroups()
	return true, err
}

func (f *folder) recovered() error {
	return errors.Join(f.fs.Remove(f.path(recoverName)), f.fs.SyncDir(f.dir))
}

// recoverGroups makes this node's replicas the only ones of their groups.
func (f *folder) recoverGroups() (shards []uint32, err error) {
	if err := meta.Recover(f.fs, f.path("meta"), f.identity.Incarnation); err != nil {
		return nil, err
	}
	names, err := f.fs.List(f.path("shards"))
	if err != nil && !isNotExist(err) {
		return nil, err
	}
	for _, name := range names {
		number, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			continue // not ours
		}
		c := shard.Config{Number: uint32(number), Replica: f.identity.Incarnation, Limits: limits.Default()}
		if err := shard.Recover(c, f.fs, filepath.Join(f.path("shards"), name)); err != nil {
			return nil, err
		}
		shards = append(shards, uint32(number))
	}
	return shards, nil
}
