package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs"
)

const lockName = "lock"

// folder is a data folder that this process holds.
type folder struct {
	dir      string
	fs       vfs.FS
	mu       sync.Mutex
	identity Identity // see who
	fresh    bool     // made just now
	lock     io.Closer
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// openFolder makes the folder when there is none, takes it for this process, and finds out who the node is.
func openFolder(fsys vfs.FS, dir, nodeID string) (*folder, error) {
	if err := makeFolder(fsys, dir); err != nil {
		return nil, err
	}
	if err := checkOurs(fsys, dir); err != nil {
		return nil, err
	}
	lock, err := fsys.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, lockFailed(dir, err)
	}
	f := &folder{dir: dir, fs: fsys, lock: lock}
	if err := f.identify(nodeID); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return f, nil
}

func makeFolder(fsys vfs.FS, dir string) error {
	if err := fsys.MkdirAll(dir); err != nil {
		return refuse("data", "cannot be made: %w", err)
	}
	// Its name must last as long as what is in it. Not every system lets the folder above be synced by us; then it is not ours to.
	if err := fsys.SyncDir(filepath.Dir(filepath.Clean(dir))); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("sync the folder above %s: %w", dir, err)
	}
	return nil
}

// ours are the names that a folder without node.yaml may have: what a crash while it was made leaves behind, and what a
// volume has of its own.
var ours = []string{lockName, recoverName, identityTemp, "lost+found", ".DS_Store"}

// checkOurs refuses a folder that holds something else, before anything is written to it.
func checkOurs(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if err != nil {
		return refuse("data", "cannot be read: %w", err)
	}
	if slices.Contains(names, identityName) {
		return nil
	}
	for _, name := range names {
		if name == "shards" || name == "meta" {
			return errs.New(errs.Corrupt, "%s is missing beside data: restore it from a backup of the folder", filepath.Join(dir, identityName)).With("file", filepath.Join(dir, identityName))
		}
		if !slices.Contains(ours, name) {
			return refuse("data", "is %s, which is not empty and no data folder of gesta (it has %s): name a new folder, or an empty one", dir, some(names))
		}
	}
	return nil
}

func some(names []string) string {
	const most = 3
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

func lockFailed(dir string, err error) error {
	if errs.CodeOf(err) != errs.Unavailable {
		return fmt.Errorf("lock the data folder %s: %w", dir, err)
	}
	return errs.New(errs.Unavailable, "the data folder %s is in use by another process: stop it, or name another folder with --data", dir).With("file", filepath.Join(dir, lockName))
}

func (f *folder) identify(nodeID string) error {
	i, err := readIdentity(f.fs, f.dir)
	switch {
	case err == nil:
		f.identity = i
		if nodeID != "" && nodeID != i.NodeID {
			return refuse("node_id", "is %s, and the data folder %s is that of node %s: a folder keeps its node's name", nodeID, f.dir, i.NodeID)
		}
		return nil
	case !isNotExist(err):
		return err
	}
	f.identity, f.fresh = newIdentity(nodeID), true
	if err := writeIdentity(f.fs, f.dir, f.identity); err != nil {
		return fmt.Errorf("make %s: %w", filepath.Join(f.dir, identityName), err)
	}
	return nil
}

// who gives the identity, which changes once: when the folder comes to belong to a cluster.
func (f *folder) who() Identity {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.identity
}

// belong makes the folder belong to a cluster, durably.
func (f *folder) belong(cluster string, founders []uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.identity
	i.ClusterID, i.Founders = cluster, founders
	if err := writeIdentity(f.fs, f.dir, i); err != nil {
		return err
	}
	f.identity = i
	return nil
}

func (f *folder) path(parts ...string) string {
	return filepath.Join(append([]string{f.dir}, parts...)...)
}

func (f *folder) close() error { return f.lock.Close() }
