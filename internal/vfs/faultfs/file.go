package faultfs

import (
	"errors"
	"io/fs"

	"github.com/gesta-db/gesta/internal/vfs"
)

// file is an open file whose operations the rules meet by the name it was opened with.
type file struct {
	fs    *FS
	inner vfs.File
	name  string
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	if _, err := f.fs.meet(Read, f.name); err != nil {
		return 0, f.fail(Read, err)
	}
	return f.inner.ReadAt(b, off)
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	short, err := f.fs.meet(Write, f.name)
	if err == nil {
		return f.inner.WriteAt(b, off)
	}
	if short == 0 {
		return 0, f.fail(Write, err)
	}
	n, inner := f.inner.WriteAt(b[:min(short, len(b))], off)
	return n, errors.Join(f.fail(Write, err), inner)
}

func (f *file) SyncData() error { return f.fs.do(SyncData, f.name, f.inner.SyncData) }

func (f *file) Truncate(size int64) error {
	return f.fs.do(Truncate, f.name, func() error { return f.inner.Truncate(size) })
}

func (f *file) Size() (int64, error) { return get(f.fs, Size, f.name, f.inner.Size) }

// Close closes the inner file also when a rule fails it, so that a test leaks nothing.
func (f *file) Close() error {
	_, err := f.fs.meet(Close, f.name)
	if err != nil {
		err = f.fail(Close, err)
	}
	return errors.Join(err, f.inner.Close())
}

func (f *file) fail(op Op, err error) error {
	return &fs.PathError{Op: op.String(), Path: f.name, Err: err}
}
