// Package process starts servers, watches what they use, and ends them, each by its own process id.
package process

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Spec says what to start.
type Spec struct {
	Path string
	Args []string
	Dir  string
	User *syscall.Credential // nil: ours
	Stop os.Signal           // what asks it to end; nil: SIGTERM
	Line func(line string)   // gets each line of output as it comes; may be nil
}

// Server is a process under way.
type Server struct {
	spec  Spec
	cmd   *exec.Cmd
	lines *lines
	ended chan struct{}
	err   error
}

// Start starts it. Whoever starts a server calls Stop.
func Start(s Spec) (*Server, error) {
	cmd := exec.Command(s.Path, s.Args...)
	cmd.Dir = s.Dir
	if s.User != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.User}
	}
	out := &lines{each: s.Line}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Server{spec: s, cmd: cmd, lines: out, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Pid is its process id.
func (p *Server) Pid() int { return p.cmd.Process.Pid }

// Ended is closed when it has ended, asked or not.
func (p *Server) Ended() <-chan struct{} { return p.ended }

// patience is how long a server may take to end before it is killed.
const patience = 30 * time.Second

// Stop asks it to end, and kills it when it does not.
func (p *Server) Stop() {
	stop := p.spec.Stop
	if stop == nil {
		stop = syscall.SIGTERM
	}
	p.cmd.Process.Signal(stop) // has ended already when it fails
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// Kill ends it at once, as a crash would.
func (p *Server) Kill() {
	p.cmd.Process.Kill() // has ended already when it fails
	<-p.ended
}

// Failure tells how it ended and what it said last.
func (p *Server) Failure() error {
	return fmt.Errorf("%s ended (%v); it said: %s", p.spec.Path, p.err, p.lines.last())
}

// lines splits output into lines and keeps the last ones.
type lines struct {
	mu   sync.Mutex
	part []byte
	kept []string
	each func(string)
}

const linesKept = 8

var _ io.Writer = (*lines)(nil)

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, b...)
	for {
		line, rest, ok := bytes.Cut(l.part, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		l.keep(string(line))
		l.part = slices.Clone(rest)
	}
}

func (l *lines) keep(line string) {
	l.kept = append(l.kept, line)
	if len(l.kept) > linesKept {
		l.kept = l.kept[1:]
	}
	if l.each != nil {
		l.each(line)
	}
}

func (l *lines) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.kept, "\n")
}

// FreePort gives a port of loopback that nobody listens on.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
