package vfs

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// IsNoSpace tells whether err says that the volume is full. ENOSPC is what simulated disks give.
func IsNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, syscall.ENOSPC)
}
