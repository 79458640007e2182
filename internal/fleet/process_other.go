//go:build !unix

package fleet

import (
	"os"
	"syscall"
)

// polite is the only end that a process can be given here: nodes bear it, as they bear a crash.
var polite = os.Kill

func apart() *syscall.SysProcAttr { return nil }
