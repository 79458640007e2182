package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gesta-db/gesta/internal/errs"
)

// OS is the machine's file system. SyncData is fdatasync on linux, F_FULLFSYNC on darwin (fsync there leaves the bytes in the
// drive's cache) and FlushFileBuffers on windows.
func OS() FS { return osFS{} }

type osFS struct{}

const (
	filePerm   = 0o640
	folderPerm = 0o750
)

func (osFS) Create(name string) (File, error) {
	return openFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (osFS) Open(name string) (File, error) { return openFile(name, os.O_RDWR) }

func openFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, filePerm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) RemoveAll(name string) error { return os.RemoveAll(name) }

func (osFS) MkdirAll(name string) error { return os.MkdirAll(name, folderPerm) }

// Link falls back to a copy where the volume knows no hard links; the copy is synced, so that it is as durable as the original.
func (osFS) Link(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return copyFile(from, to)
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err == nil {
		err = syncData(dst)
	}
	err = errors.Join(err, dst.Close())
	if err != nil {
		err = errors.Join(err, os.Remove(to))
	}
	return err
}

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osFS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (osFS) SyncDir(dir string) error { return syncDir(dir) }

func (osFS) Free(dir string) (uint64, error) { return free(dir) }

// Lock makes the file when there is none. The file stays after the lock ends: removing it would let two processes each hold
// the lock of a file of the same name.
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(Locked(name, err), f.Close())
	}
	return f, nil
}

// Locked is the error of Lock when another holds it; every implementation gives it.
func Locked(name string, cause error) error {
	return errs.New(errs.Unavailable, "%s is locked by another process: stop it, or use another folder (%w)", filepath.Clean(name), cause).
		With("file", name)
}

type osFile struct{ *os.File }

func (f osFile) SyncData() error { return syncData(f.File) }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
