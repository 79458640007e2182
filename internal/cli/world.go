package cli

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/term"
)

// World is what a command sees of the process around it.
type World struct {
	In  io.Reader
	Out io.Writer // data
	Err io.Writer // everything else

	OutTerminal bool // Out is a terminal
	ErrTerminal bool // Err is a terminal
	Width       int  // columns of the terminal; 80 when it does not tell
	Plain       bool // no colours

	Environ []string // as os.Environ
	Version string
	Program string // the file of this program, for commands that start servers
}

// Process is the world of this process.
func Process(version string) World {
	return World{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		OutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		ErrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Width:       columns(),
		Plain:       os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb",
		Environ:     os.Environ(),
		Version:     version,
		Program:     program(),
	}
}

// program finds this program's file: as it was called, because its name may decide what it does.
func program() string {
	if found, err := exec.LookPath(os.Args[0]); err == nil {
		if whole, err := filepath.Abs(found); err == nil {
			return whole
		}
	}
	found, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return found
}

const usualWidth = 80

// columns asks COLUMNS first, so that a user and a test can say it, then the terminals.
func columns() int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return usualWidth
}
