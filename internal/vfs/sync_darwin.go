package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncData asks the drive to empty its cache, which fsync on darwin does not. A volume that cannot (a network share) is
// synced as far as it can.
func syncData(f *os.File) error {
	err := whole(f, "F_FULLFSYNC", func(fd int) error {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_FULLFSYNC, 0)
		return err
	})
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
		return whole(f, "fsync", unix.Fsync)
	}
	return err
}
