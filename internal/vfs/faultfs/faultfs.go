// Package faultfs is a file system that fails or holds up chosen operations of another.
//
// A rule chooses by operation, name and count; FailNth fails the n-th change of any kind and all that follow, so that a test
// can go through every n. What is failed does not reach the inner file system, except the part of a write that Short allows.
package faultfs

import (
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gesta-db/gesta/internal/vfs"
)

// Op is a set of operations.
type Op uint32

// The operations; they combine with |.
const (
	Create Op = 1 << iota
	Rename
	Remove
	RemoveAll
	MkdirAll
	Link
	SyncDir
	Lock
	Write
	SyncData
	Truncate
	Open
	List
	Stat
	Free
	Read
	Size
	Close
)

// Mutating are the operations that change what is stored; Count and FailNth count these.
const Mutating Op = Create | Rename | Remove | RemoveAll | MkdirAll | Link | SyncDir | Write | SyncData | Truncate

// Any is every operation.
const Any Op = Close<<1 - 1

// Rule fails or delays operations.
type Rule struct {
	Op    Op     // which operations; 0 is Mutating
	Path  string // glob (filepath.Match) over the base name, or over the whole path when it holds a separator; "" is every path
	After int    // how many matching operations pass first
	Times int    // how many are met then; 0 is all
	// Err is what they fail with. With no Err, Delay, Block or Short it is EIO; with Delay or Block alone they are only held up.
	Err   error
	Delay time.Duration // passes before the operation, in real time
	Block func()        // is called before the operation; it may wait for the test
	Short int           // a write passes on this many of its bytes before it fails
}

// FS fails by rule.
type FS struct {
	inner vfs.FS

	mu    sync.Mutex
	rules []*active
	count int
	nth   int // 0: none
}

type active struct {
	Rule
	seen int
}

var _ vfs.FS = (*FS)(nil)

// New passes everything to inner until told otherwise.
func New(inner vfs.FS) *FS { return &FS{inner: inner} }

// Fail adds a rule. Rules are tried in the order they were added; the first that meets the operation decides.
func (f *FS) Fail(r Rule) {
	if r.Op == 0 {
		r.Op = Mutating
	}
	if r.Err == nil && (r.Short > 0 || r.Delay == 0 && r.Block == nil) {
		r.Err = syscall.EIO
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, &active{Rule: r})
}

// FailNth fails the n-th change from now, counted from 1, and every change after it, with EIO.
func (f *FS) FailNth(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nth = f.count + n
}

// Heal removes every rule and ends FailNth.
func (f *FS) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules, f.nth = nil, 0
}

// Count tells how many changes were asked for since New, failed ones too.
func (f *FS) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// fault is what meets one operation.
type fault struct {
	err   error
	short int
	delay time.Duration
	block func()
}

// meet waits as the rules want, and gives the error and how many bytes of a write pass all the same.
func (f *FS) meet(op Op, paths ...string) (short int, err error) {
	met := f.choose(op, paths)
	if met.block != nil {
		met.block()
	}
	if met.delay > 0 {
		time.Sleep(met.delay)
	}
	return met.short, met.err
}

func (f *FS) choose(op Op, paths []string) fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if op&Mutating != 0 {
		f.count++
		if f.nth > 0 && f.count >= f.nth {
			return fault{err: syscall.EIO}
		}
	}
	for _, r := range f.rules {
		if r.meets(op, paths) {
			return fault{err: r.Err, short: r.Short, delay: r.Delay, block: r.Block}
		}
	}
	return fault{}
}

func (r *active) meets(op Op, paths []string) bool {
	if r.Op&op == 0 || !r.matches(paths) {
		return false
	}
	r.seen++
	return r.seen > r.After && (r.Times == 0 || r.seen <= r.After+r.Times)
}

func (r *active) matches(paths []string) bool {
	if r.Path == "" {
		return true
	}
	for _, p := range paths {
		if filepath.Base(r.Path) == r.Path {
			p = filepath.Base(p)
		}
		if ok, err := filepath.Match(r.Path, p); ok && err == nil {
			return true
		}
	}
	return false
}

// do runs the operation unless a rule fails it.
func (f *FS) do(op Op, name string, inner func() error) error {
	if _, err := f.meet(op, name); err != nil {
		return &fs.PathError{Op: op.String(), Path: name, Err: err}
	}
	return inner()
}

func (f *FS) do2(op Op, from, to string, inner func(from, to string) error) error {
	if _, err := f.meet(op, from, to); err != nil {
		return &fs.PathError{Op: op.String(), Path: to, Err: err}
	}
	return inner(from, to)
}

func get[T any](f *FS, op Op, name string, inner func() (T, error)) (T, error) {
	var got T
	err := f.do(op, name, func() (err error) {
		got, err = inner()
		return err
	})
	return got, err
}

// Create is the inner Create, unless a rule fails it; so are all that follow.
func (f *FS) Create(name string) (vfs.File, error) { return f.file(Create, name, f.inner.Create) }

// Open opens a file.
func (f *FS) Open(name string) (vfs.File, error) { return f.file(Open, name, f.inner.Open) }

func (f *FS) file(op Op, name string, open func(string) (vfs.File, error)) (vfs.File, error) {
	inner, err := get(f, op, name, func() (vfs.File, error) { return open(name) })
	if err != nil {
		return nil, err
	}
	return &file{fs: f, inner: inner, name: name}, nil
}

// Rename replaces to by from.
func (f *FS) Rename(from, to string) error { return f.do2(Rename, from, to, f.inner.Rename) }

// Link makes a second name.
func (f *FS) Link(from, to string) error { return f.do2(Link, from, to, f.inner.Link) }

// Remove removes a file or an empty folder.
func (f *FS) Remove(name string) error {
	return f.do(Remove, name, func() error { return f.inner.Remove(name) })
}

// RemoveAll removes a tree.
func (f *FS) RemoveAll(name string) error {
	return f.do(RemoveAll, name, func() error { return f.inner.RemoveAll(name) })
}

// MkdirAll makes a folder and those above it.
func (f *FS) MkdirAll(name string) error {
	return f.do(MkdirAll, name, func() error { return f.inner.MkdirAll(name) })
}

// List gives the names in a folder.
func (f *FS) List(dir string) ([]string, error) {
	return get(f, List, dir, func() ([]string, error) { return f.inner.List(dir) })
}

// Stat describes a file or folder.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	return get(f, Stat, name, func() (fs.FileInfo, error) { return f.inner.Stat(name) })
}

// SyncDir makes names durable.
func (f *FS) SyncDir(dir string) error {
	return f.do(SyncDir, dir, func() error { return f.inner.SyncDir(dir) })
}

// Free tells the bytes available.
func (f *FS) Free(dir string) (uint64, error) {
	return get(f, Free, dir, func() (uint64, error) { return f.inner.Free(dir) })
}

// Lock takes an exclusive lock.
func (f *FS) Lock(name string) (io.Closer, error) {
	return get(f, Lock, name, func() (io.Closer, error) { return f.inner.Lock(name) })
}

var names = map[Op]string{
	Create: "create", Rename: "rename", Remove: "remove", RemoveAll: "removeall", MkdirAll: "mkdir", Link: "link",
	SyncDir: "syncdir", Lock: "lock", Write: "write", SyncData: "sync", Truncate: "truncate", Open: "open", List: "list",
	Stat: "stat", Free: "free", Read: "read", Size: "size", Close: "close",
}

// String names a single operation.
func (o Op) String() string { return names[o] }
