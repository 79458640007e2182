// Package vfs is the file system as the log uses it: few operations, each with a stated durability, so that a simulated disk
// can forget, tear and refuse.
//
// A file's bytes are durable after Sync or SyncData has returned nil; its name is durable after its folder's SyncDir has.
package vfs

import (
	"io"
	"io/fs"
)

// FS is a tree of files. Paths are slash-free joins made with filepath.Join; implementations are safe for concurrent use.
type FS interface {
	// Create makes an empty file for reading and writing; it fails with fs.ErrExist when there is one.
	Create(name string) (File, error)
	// Open opens for reading and writing; it fails with fs.ErrNotExist when there is none.
	Open(name string) (File, error)
	// Rename replaces atomically; durable after SyncDir of the folder.
	Rename(from, to string) error
	Remove(name string) error
	RemoveAll(name string) error
	MkdirAll(name string) error
	// Link makes a second name for the same file (a hard link), or a copy where the system has none.
	Link(from, to string) error
	// List gives the names in a folder, sorted.
	List(dir string) ([]string, error)
	Stat(name string) (fs.FileInfo, error)
	SyncDir(dir string) error
	// Free tells the bytes available on the volume that holds dir.
	Free(dir string) (uint64, error)
	// Lock takes an exclusive lock that ends with the process; it fails at once when another holds it.
	Lock(name string) (io.Closer, error)
}

// File is an open file. ReadAt may run beside WriteAt.
type File interface {
	io.ReaderAt
	io.WriterAt
	// SyncData makes the bytes durable, and the size when it changed (fdatasync; F_FULLFSYNC on darwin).
	SyncData() error
	Truncate(size int64) error
	Size() (int64, error)
	Close() error
}
