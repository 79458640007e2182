// Package crashfs is a file system in memory that loses power.
//
// It keeps for every file and folder what was synced beside what was done since. Crash makes the disk as it may be found
// after a power cut: what was synced is there; of what was not, by the seed:
//
//   - each write is kept, lost, or torn: any subset of its 512-byte sectors, applied in any order among the writes between two
//     truncations (a disk writes sectors whole, and reorders freely);
//   - each truncation is kept or lost;
//   - of each folder's changes (create, rename, remove, link, mkdir) a prefix is kept, in the order they were made. A rename is
//     one change; one between folders never loses both names.
//
// A file's sync does not keep its name: that takes SyncDir of the folder, as POSIX has it. Every later use of the old FS and
// its open files fails with ErrCrashed. The outcome is a function of the seed and the operations alone.
//
// Bytes are kept in copy-on-write pages, and pages of zeros are not kept at all, so a crash costs a copy of the page tables,
// and a preallocated file next to nothing. It does not know what is stored in it.
package crashfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/gesta-db/gesta/internal/vfs"
)

// ErrCrashed is the error of every operation on a file system that has crashed.
var ErrCrashed = errors.New("crashfs: the machine has lost power")

// DefaultCapacity is the size of a new disk in bytes; SetCapacity changes it.
const DefaultCapacity = 1 << 40

// FS is one disk. It is safe for concurrent use; it is deterministic as far as its callers are.
type FS struct {
	mu       sync.RWMutex
	rng      *rand.PCG
	root     *inode
	folders  []*folder // in the order they were made
	locked   map[*inode]bool
	capacity uint64
	used     uint64
	crashed  bool
	counts   counts
}

type counts struct{ reads, writes, syncs, dirSyncs, readBytes, writtenBytes atomic.Uint64 }

// Counts says what was asked of the disk since it was made.
type Counts struct {
	Reads, Writes, Syncs, DirSyncs uint64
	ReadBytes, WrittenBytes        uint64
}

var _ vfs.FS = (*FS)(nil)

// New gives an empty disk whose crashes are drawn from seed.
func New(seed uint64) *FS { return newFS(rand.NewPCG(seed, 0x6765737461)) }

func newFS(rng *rand.PCG) *FS {
	d := &FS{rng: rng, locked: map[*inode]bool{}, capacity: DefaultCapacity}
	d.root = &inode{folder: d.newFolder()}
	return d
}

// Counts gives the operations so far.
func (d *FS) Counts() Counts {
	return Counts{
		Reads: d.counts.reads.Load(), Writes: d.counts.writes.Load(), Syncs: d.counts.syncs.Load(), DirSyncs: d.counts.dirSyncs.Load(),
		ReadBytes: d.counts.readBytes.Load(), WrittenBytes: d.counts.writtenBytes.Load(),
	}
}

// SetCapacity sets the size of the disk in bytes. A write that would make the files' sizes exceed it fails with ENOSPC.
func (d *FS) SetCapacity(bytes uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = bytes
}

// Reseed makes later crashes be drawn from seed.
func (d *FS) Reseed(seed uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rng.Seed(seed, 0x6765737461)
}

// Create makes an empty file.
func (d *FS) Create(name string) (vfs.File, error) {
	var made *file
	err := d.change("create", name, func(in *folder, base string) error {
		if in.entries[base] != nil {
			return fs.ErrExist
		}
		node := newFile()
		in.set(base, node)
		made = &file{disk: d, node: node, name: name}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// Open opens a file.
func (d *FS) Open(name string) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	node, err := d.find(name)
	if err == nil && node.folder != nil {
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &file{disk: d, node: node, name: name}, nil
}

// Rename replaces to by from.
func (d *FS) Rename(from, to string) error {
	return d.change2("rename", from, to, func(a *folder, x string, b *folder, y string) error {
		node := a.entries[x]
		switch old := b.entries[y]; {
		case node == nil:
			return fs.ErrNotExist
		case old == node:
			return nil
		case old != nil && old.folder != nil && len(old.folder.entries) > 0:
			return syscall.ENOTEMPTY
		case old != nil && (old.folder != nil) != (node.folder != nil):
			return fs.ErrExist
		case old != nil:
			d.unlink(old)
		}
		move(a, x, b, y, node)
		return nil
	})
}

// Remove removes a file or an empty folder.
func (d *FS) Remove(name string) error {
	return d.change("remove", name, func(in *folder, base string) error {
		node := in.entries[base]
		switch {
		case node == nil:
			return fs.ErrNotExist
		case node.folder != nil && len(node.folder.entries) > 0:
			return syscall.ENOTEMPTY
		}
		d.unlink(node)
		in.unset(base)
		return nil
	})
}

// RemoveAll removes a tree, leaves first, names in order; it is no error when there is none.
func (d *FS) RemoveAll(name string) error {
	err := d.change("removeall", name, func(in *folder, base string) error {
		if in.entries[base] != nil {
			d.removeTree(in, base)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (d *FS) removeTree(in *folder, base string) {
	node := in.entries[base]
	if node.folder != nil {
		for _, below := range slices.Sorted(maps.Keys(node.folder.entries)) {
			d.removeTree(node.folder, below)
		}
	}
	d.unlink(node)
	in.unset(base)
}

// MkdirAll makes a folder and those above it.
func (d *FS) MkdirAll(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.alive()
	at := d.root
	for _, part := range parts(name) {
		if err != nil {
			break
		}
		at, err = d.step(at, part)
	}
	if err != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	return nil
}

// step goes to the folder named part, making it when there is none.
func (d *FS) step(at *inode, part string) (*inode, error) {
	next := at.folder.entries[part]
	if next == nil {
		next = &inode{folder: d.newFolder()}
		at.folder.set(part, next)
	}
	if next.folder == nil {
		return nil, syscall.ENOTDIR
	}
	return next, nil
}

// Link makes a second name for a file.
func (d *FS) Link(from, to string) error {
	return d.change2("link", from, to, func(a *folder, x string, b *folder, y string) error {
		node := a.entries[x]
		switch {
		case node == nil:
			return fs.ErrNotExist
		case node.folder != nil:
			return syscall.EPERM
		case b.entries[y] != nil:
			return fs.ErrExist
		}
		node.links++
		b.set(y, node)
		return nil
	})
}

// List gives the names in a folder, sorted.
func (d *FS) List(dir string) ([]string, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	in, err := d.findFolder(dir)
	if err != nil {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: err}
	}
	return slices.Sorted(maps.Keys(in.entries)), nil
}

// Stat tells name, size and kind; the times are zero.
func (d *FS) Stat(name string) (fs.FileInfo, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	node, err := d.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return node.info(path.Base(filepath.ToSlash(name))), nil
}

// SyncDir makes the folder's names durable.
func (d *FS) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, err := d.findFolder(dir)
	if err != nil {
		return &fs.PathError{Op: "syncdir", Path: dir, Err: err}
	}
	d.counts.dirSyncs.Add(1)
	in.sync()
	return nil
}

// Free tells how much of the capacity the files' sizes leave.
func (d *FS) Free(dir string) (uint64, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if _, err := d.findFolder(dir); err != nil {
		return 0, &fs.PathError{Op: "free", Path: dir, Err: err}
	}
	return d.capacity - min(d.used, d.capacity), nil
}

// Lock locks a file, made when there is none; a crash ends it.
func (d *FS) Lock(name string) (io.Closer, error) {
	var held *lock
	err := d.change("lock", name, func(in *folder, base string) error {
		node := in.entries[base]
		if node == nil {
			node = newFile()
			in.set(base, node)
		}
		if d.locked[node] {
			return vfs.Locked(name, fs.ErrExist)
		}
		d.locked[node] = true
		held = &lock{disk: d, node: node}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return held, nil
}

type lock struct {
	disk *FS
	node *inode
}

// Close ends the lock.
func (l *lock) Close() error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	if !l.disk.locked[l.node] {
		return fs.ErrClosed
	}
	delete(l.disk.locked, l.node)
	return nil
}

func (d *FS) alive() error {
	if d.crashed {
		return ErrCrashed
	}
	return nil
}

// change runs do on the folder and last part of name.
func (d *FS) change(op, name string, do func(in *folder, base string) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, base, err := d.parent(name)
	if err == nil {
		err = do(in, base)
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// change2 runs do on the folders and last parts of two names.
func (d *FS) change2(op, from, to string, do func(a *folder, x string, b *folder, y string) error) error {
	return d.change(op, from, func(a *folder, x string) error {
		b, y, err := d.parent(to)
		if err != nil {
			return err
		}
		return do(a, x, b, y)
	})
}

// unlink takes one name from node; a file's bytes are free when none is left.
func (d *FS) unlink(node *inode) {
	node.links--
	if node.data != nil && node.links == 0 {
		d.used -= uint64(node.data.size)
	}
}
