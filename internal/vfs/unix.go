//go:build linux || darwin

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// whole runs a system call on f's descriptor, again when a signal cut it short.
func whole(f *os.File, name string, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for {
			if failed = call(int(fd)); failed != unix.EINTR {
				return
			}
		}
	})
	if err != nil { // Control fails only when f is closed, and says so in an error of its own
		failed = os.ErrClosed
	}
	if failed != nil {
		return &os.PathError{Op: name, Path: f.Name(), Err: failed}
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncData(f), f.Close())
}

// free counts what an ordinary user may still write, not what root keeps back.
func free(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// lock uses flock, which belongs to the open file: it ends with the process, however that ends, and holds against other opens
// in the same process too.
func lock(f *os.File) error {
	return whole(f, "flock", func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
}
