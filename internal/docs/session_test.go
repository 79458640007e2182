//go:build unix

package docs

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long one command of a page may take on a busy machine.
const patience = 30 * time.Second

// session runs the commands of one page.
type session struct {
	t          *testing.T
	dir        string
	grpc, http string // ports, in place of 7070 and 7080
	node       *process
}

// process is a command that runs beside the test.
type process struct {
	cmd   *exec.Cmd
	out   *transcript
	ended chan struct{}
	err   error
}

// transcript is what a command has written so far.
type transcript struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{} // holds one token when there is more
}

func (o *transcript) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.grown <- struct{}{}:
	default:
	}
	return o.text.Write(b)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func newSession(t *testing.T, programs string) *session {
	t.Helper()
	s := &session{t: t, dir: t.TempDir(), grpc: freePort(t), http: freePort(t)}
	if err := os.Symlink(programs, filepath.Join(s.dir, "bin")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stopNode() })
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// environ keeps what the machine has set for gesta out, and the segments small: they are quick to fill with zeros.
func (s *session) environ() []string {
	env := []string{
		"PATH=" + filepath.Join(s.dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + s.dir, "COLUMNS=100", "NO_COLOR=1",
		"GESTA_ADDR=127.0.0.1:" + s.grpc, "GESTA_GRPC=127.0.0.1:" + s.grpc, "GESTA_HTTP=127.0.0.1:" + s.http,
		"GESTA_LIMITS_COMMIT_BYTES=2MiB", "GESTA_LIMITS_COMMIT_EVENTS=256", "GESTA_LIMITS_SEGMENT_BYTES=16MiB",
	}
	for _, name := range []string{"TMPDIR", "PYENV_ROOT", "LANG"} {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

var (
	usualPort  = regexp.MustCompile(`\b(127\.0\.0\.1|0\.0\.0\.0|localhost|):(7070|7080)\b`)
	goRun      = regexp.MustCompile(`\bgo run \./examples/(\w+)`)
	startsNode = regexp.MustCompile(`^(bin/)?gesta serve\b`)
	startsOne  = regexp.MustCompile(`^go run \./examples/\w+ serve\b`)
)

// hide puts the page's ports in place of the usual ones, show does the opposite.
func (s *session) hide(text string) string {
	text = goRun.ReplaceAllString(text, "bin/$1")
	return usualPort.ReplaceAllStringFunc(text, func(m string) string {
		if strings.HasSuffix(m, "7070") {
			return strings.TrimSuffix(m, "7070") + s.grpc
		}
		return strings.TrimSuffix(m, "7080") + s.http
	})
}

func (s *session) show(text string) string {
	return strings.NewReplacer(":"+s.grpc, ":7070", ":"+s.http, ":7080").Replace(text)
}

func (s *session) start(command string) *process {
	s.t.Helper()
	p := &process{cmd: exec.Command("sh", "-c", s.hide(command)), out: &transcript{grown: make(chan struct{}, 1)}, ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = s.dir, s.environ(), p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt must reach what the shell has started
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p
}

func (p *process) signal(sig syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, sig) }

// wait gives the exit code. A command that does not end is ended, and told.
func (p *process) wait() (int, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
		p.signal(syscall.SIGKILL)
		<-p.ended
		return 0, fmt.Errorf("it did not end within %v", patience)
	}
	var ended *exec.ExitError
	if errors.As(p.err, &ended) {
		return ended.ExitCode(), nil
	}
	return 0, p.err
}

// run does one step; the error says what was otherwise than on the page.
func (s *session) run(st step) error {
	switch {
	case st.file != "":
		return os.WriteFile(filepath.Join(s.dir, st.file), []byte(s.hide(st.content)), 0o644)
	case st.command == "":
		return s.stopNode()
	case startsNode.MatchString(st.command) && st.exit == 0:
		return s.startNode(st.command)
	case startsOne.MatchString(st.command):
		return s.startHandler(st)
	}
	command := st.command
	if st.interrupt {
		command = "exec " + command // the command alone gets the interrupt, not a shell that would die of it
	}
	p := s.start(command)
	if st.interrupt {
		s.waitFor(p, st)
		p.signal(syscall.SIGINT)
	}
	exit, err := p.wait()
	got := s.show(p.out.String())
	switch {
	case err != nil:
		return fmt.Errorf("%w; it said\n%s", err, got)
	case exit != st.exit:
		return fmt.Errorf("exits with %d, not %d; it said\n%s", exit, st.exit, got)
	case !st.matches(got):
		return fmt.Errorf("the page shows\n%s\n\nit said\n%s", strings.Join(st.output, "\n"), got)
	}
	return nil
}

// waitFor waits until a command has said what the page shows, or ended.
func (s *session) waitFor(p *process, st step) {
	late := time.NewTimer(patience)
	defer late.Stop()
	for !st.matches(s.show(p.out.String())) {
		select {
		case <-p.out.grown:
		case <-p.ended:
			return
		case <-late.C:
			return
		}
	}
}

// readyLine is what a node logs when it serves.
var readyLine = regexp.MustCompile(`"msg":"ready"|msg=ready`)

// startNode starts the page's node and waits until it serves.
func (s *session) startNode(command string) error {
	if s.node != nil {
		return errors.New("a node runs already: the page must interrupt it first")
	}
	s.node = s.start("exec " + command)
	late := time.NewTimer(patience)
	defer late.Stop()
	for !readyLine.MatchString(s.node.out.String()) {
		select {
		case <-s.node.out.grown:
		case <-s.node.ended:
			return fmt.Errorf("the node ended: %v; it said\n%s", s.node.err, s.node.out)
		case <-late.C:
			return fmt.Errorf("the node is not ready; it said\n%s", s.node.out)
		}
	}
	return nil
}

// startHandler starts a handler, which runs until the page's end, and waits until it has said what the page shows.
func (s *session) startHandler(st step) error {
	p := s.start("exec " + st.command)
	s.t.Cleanup(func() {
		p.signal(syscall.SIGINT)
		if exit, err := p.wait(); err != nil || exit != 0 {
			s.t.Errorf("the handler ended with %d, %v; it said\n%s", exit, err, p.out)
		}
	})
	s.waitFor(p, st)
	if !st.matches(s.show(p.out.String())) {
		return fmt.Errorf("the handler said\n%s", p.out)
	}
	return nil
}

// stopNode interrupts the node, as Ctrl-C does, and waits for its end.
func (s *session) stopNode() error {
	if s.node == nil {
		return nil
	}
	node := s.node
	s.node = nil
	node.signal(syscall.SIGINT)
	if exit, err := node.wait(); err != nil || exit != 0 {
		return fmt.Errorf("the node ended with %d, %v; it said\n%s", exit, err, node.out)
	}
	return nil
}
