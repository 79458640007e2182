//go:build windows

package vfs

import (
	"os"

	"golang.org/x/sys/windows"
)

// syncData is FlushFileBuffers, which reaches the drive.
func syncData(f *os.File) error { return f.Sync() }

// syncDir does nothing: NTFS journals names itself, and folders cannot be flushed.
func syncDir(dir string) error {
	_, err := os.Stat(dir)
	return err
}

func free(dir string) (uint64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, &os.PathError{Op: "free", Path: dir, Err: err}
	}
	var available uint64
	if err := windows.GetDiskFreeSpaceEx(name, &available, nil, nil); err != nil {
		return 0, &os.PathError{Op: "free", Path: dir, Err: err}
	}
	return available, nil
}

// lock covers one byte; it ends with the process.
func lock(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	return windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
}
