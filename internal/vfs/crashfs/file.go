package crashfs

import (
	"io"
	"io/fs"
	"syscall"
)

// file is an open file.
type file struct {
	disk   *FS
	node   *inode
	name   string
	closed bool
}

func (f *file) fail(op string, err error) error { return &fs.PathError{Op: op, Path: f.name, Err: err} }

func (f *file) usable() error {
	if f.closed {
		return fs.ErrClosed
	}
	return f.disk.alive()
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	f.disk.mu.RLock()
	defer f.disk.mu.RUnlock()
	if err := f.usable(); err != nil {
		return 0, f.fail("read", err)
	}
	if off < 0 {
		return 0, f.fail("read", fs.ErrInvalid)
	}
	n := f.node.data.readAt(b, off)
	f.disk.counts.reads.Add(1)
	f.disk.counts.readBytes.Add(uint64(n))
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	err := f.usable()
	if err == nil && off < 0 {
		err = fs.ErrInvalid
	}
	if err == nil && len(b) > 0 {
		err = f.grow(off + int64(len(b)))
	}
	if err != nil {
		return 0, f.fail("write", err)
	}
	if len(b) > 0 {
		f.node.data.writeAt(b, off)
	}
	f.disk.counts.writes.Add(1)
	f.disk.counts.writtenBytes.Add(uint64(len(b)))
	return len(b), nil
}

// grow takes from the capacity what a size of at least size needs.
func (f *file) grow(size int64) error {
	more := size - f.node.data.size
	if more <= 0 || f.node.links == 0 {
		return nil
	}
	if f.disk.used+uint64(more) > f.disk.capacity {
		return syscall.ENOSPC
	}
	f.disk.used += uint64(more)
	return nil
}

func (f *file) SyncData() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.usable(); err != nil {
		return f.fail("sync", err)
	}
	f.disk.counts.syncs.Add(1)
	f.node.data.sync()
	return nil
}

func (f *file) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	err := f.usable()
	if err == nil && size < 0 {
		err = fs.ErrInvalid
	}
	if err == nil {
		err = f.grow(size)
	}
	if err != nil {
		return f.fail("truncate", err)
	}
	if less := f.node.data.size - size; less > 0 && f.node.links > 0 {
		f.disk.used -= uint64(less)
	}
	f.node.data.truncate(size)
	return nil
}

func (f *file) Size() (int64, error) {
	f.disk.mu.RLock()
	defer f.disk.mu.RUnlock()
	if err := f.usable(); err != nil {
		return 0, f.fail("size", err)
	}
	return f.node.data.size, nil
}

func (f *file) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.usable(); err != nil {
		return f.fail("close", err)
	}
	f.closed = true
	return nil
}
