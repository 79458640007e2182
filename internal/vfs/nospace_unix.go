//go:build linux || darwin

package vfs

import (
	"errors"
	"syscall"
)

// IsNoSpace tells whether err says that the volume, or the user's share of it, is full.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
