//go:build unix

package fleet

import (
	"os"
	"syscall"
)

// polite asks a process to stop.
var polite os.Signal = syscall.SIGTERM

// apart puts a process into a group of its own.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
