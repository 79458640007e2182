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
func Own(pid int) time.Duration { return spent(pid) }

// CPU is the processor time that a process and its children have used. It is 0 on systems without /proc.
func CPU(pid int) time.Duration {
	total := spent(pid) + waited(pid)
	for _, child := range children(pid) {
		total += spent(child) + waited(child)
	}
	return total
}

// children lists the processes that a process has started. It looks at nobody else's: with hundreds of busy processes a walk over
// /proc takes longer than what is measured.
func children(pid int) []int {
	var all []int
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range threads {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // has ended
		}
		for _, field := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(all, child)
			}
		}
	}
	return all
}

// spent sums what the threads of a process have used. The nanoseconds of schedstat are preferred: in ticks, hundreds of processes
// that use a little each would seem to use nothing.
func spent(pid int) time.Duration {
	total := time.Duration(0)
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, name := range threads {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // has ended
		}
		first, _, _ := strings.Cut(string(b), " ")
		n, _ := strconv.ParseInt(first, 10, 64)
		total += time.Duration(n)
	}
	if total == 0 {
		return ticks(pid, 11)
	}
	return total
}

// waited is what ended children have used.
func waited(pid int) time.Duration { return ticks(pid, 13) }

// stat gives the fields of /proc/PID/stat from the state on (field 3 of proc(5)).
func stat(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	s := string(b)
	return strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
}

// ticks sums two fields of stat: user and system time.
func ticks(pid, at int) time.Duration {
	f := stat(pid)
	if len(f) < at+2 {
		return 0
	}
	user, _ := strconv.ParseInt(f[at], 10, 64)
	system, _ := strconv.ParseInt(f[at+1], 10, 64)
	return time.Duration(user+system) * tick
}

// RSS is a process' resident memory in bytes; 0 on systems without /proc.
func RSS(pid int) int64 { return status(pid, "VmRSS:") }

// Anon is the part of it that is not files, which the system cannot take back.
func Anon(pid int) int64 { return status(pid, "RssAnon:") }

// status gives a size from /proc/PID/status in bytes.
func status(pid int, name string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}
