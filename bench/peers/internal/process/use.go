package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time under /proc.
const tick = 10 * time.Millisecond

// Own is the processor time that a process has used without its children. It is 0 on systems without /proc.
func Own(pid int) time.Duration { return time.Duration(ticks(pid, false)) * tick }

// CPU is the processor time that a process and its children have used. It is 0 on systems without /proc.
func CPU(pid int) time.Duration {
	total := ticks(pid, true)
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range all {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err == nil && parent(child) == pid {
			total += ticks(child, true)
		}
	}
	return time.Duration(total) * tick
}

// stat gives the fields of /proc/PID/stat from the state on (field 3 of proc(5)).
func stat(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	s := string(b)
	return strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
}

func parent(pid int) int {
	if f := stat(pid); len(f) > 1 {
		n, _ := strconv.Atoi(f[1])
		return n
	}
	return 0
}

// ticks sums user and system time, and with ended that of the children it has waited for.
func ticks(pid int, ended bool) int64 {
	f := stat(pid)
	if len(f) < 15 {
		return 0
	}
	to := 13
	if ended {
		to = 15
	}
	total := int64(0)
	for _, field := range f[11:to] {
		n, _ := strconv.ParseInt(field, 10, 64)
		total += n
	}
	return total
}

// RSS is a process' resident memory in bytes; 0 on systems without /proc.
func RSS(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}
