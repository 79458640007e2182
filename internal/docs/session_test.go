//go:build unix

package docs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	grpc, http string // ports, in place of 7070 and 7080; the next ones stand for 7071 and so on
	peer       string // in place of 7090
	node       *process
	dev        *process // gesta dev, and what is typed there
	keys       io.WriteCloser
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
	s := &session{t: t, dir: t.TempDir(), grpc: freePorts(t), http: freePorts(t), peer: freePorts(t)}
	if err := os.Symlink(programs, filepath.Join(s.dir, "bin")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stopNode(); s.stopDev() })
	return s
}

// nodePorts is how many nodes a page may have.
const nodePorts = 4

// lastPort is the highest of those that freePorts has given. They are below those that systems choose from, so that nobody else is
// given one while a page runs.
var lastPort = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(int64(12_000 + os.Getpid()%4_000*nodePorts))
	return &n
}()

// freePorts finds ports in a row that are free, and gives the first.
func freePorts(t *testing.T) string {
	t.Helper()
	for range 100 {
		if first := int(lastPort.Add(nodePorts)); inARow(first) {
			return strconv.Itoa(first)
		}
	}
	t.Fatal("no ports in a row are free")
	return ""
}

func inARow(first int) bool {
	for i := range nodePorts {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(first+i))
		if err != nil {
			return false
		}
		defer l.Close()
	}
	return true
}

// environ keeps what the machine has set for gesta out, and the segments small: they are quick to fill with zeros.
func (s *session) environ() []string {
	env := []string{
		"PATH=" + filepath.Join(s.dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + s.dir, "COLUMNS=100", "NO_COLOR=1",
		"GESTA_ADDR=127.0.0.1:" + s.grpc, "GESTA_GRPC=127.0.0.1:" + s.grpc, "GESTA_HTTP=127.0.0.1:" + s.http,
		"GESTA_DEV_GRPC=127.0.0.1:" + s.grpc, "GESTA_DEV_HTTP=127.0.0.1:" + s.http, "GESTA_DEV_PEER=127.0.0.1:" + s.peer,
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
	usualPort  = regexp.MustCompile(`\b(127\.0\.0\.1|0\.0\.0\.0|localhost|):(70[789][0-3])\b`)
	goRun      = regexp.MustCompile(`\bgo run \./examples/(\w+)`)
	startsDev  = regexp.MustCompile(`^(bin/)?gesta dev\b`)
	startsNode = regexp.MustCompile(`^(bin/)?gesta serve\b`)
	startsOne  = regexp.MustCompile(`^go run \./examples/\w+ serve\b`)
)

// hide puts the page's ports in place of the usual ones, show does the opposite.
func (s *session) hide(text string) string {
	text = goRun.ReplaceAllString(text, "bin/$1")
	return usualPort.ReplaceAllStringFunc(text, func(m string) string {
		host, port, _ := strings.Cut(m, ":")
		first := map[byte]string{'7': s.grpc, '8': s.http, '9': s.peer}[port[2]]
		return host + ":" + after(first, int(port[3]-'0'))
	})
}

func (s *session) show(text string) string {
	var pairs []string
	for i := range nodePorts {
		pairs = append(pairs, ":"+after(s.grpc, i), fmt.Sprint(":", 7070+i), ":"+after(s.http, i), fmt.Sprint(":", 7080+i), ":"+after(s.peer, i), fmt.Sprint(":", 7090+i))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// after is the port i after the first.
func after(first string, i int) string {
	n, _ := strconv.Atoi(first) // it was made of a number
	return strconv.Itoa(n + i)
}

func (s *session) start(command string) *process { return s.startWith(command, nil) }

func (s *session) startWith(command string, in io.Reader) *process {
	s.t.Helper()
	p := &process{cmd: exec.Command("sh", "-c", s.hide(command)), out: &transcript{grown: make(chan struct{}, 1)}, ended: make(chan struct{})}
	p.cmd.Stdin = in
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
	case st.typed != "":
		return s.typeIn(st.typed)
	case st.command == "" && s.node == nil:
		return s.stopDev()
	case st.command == "":
		return s.stopNode()
	case startsDev.MatchString(st.command):
		return s.startDev(st.command)
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

// devSays is what gesta dev answers to what is typed, and when its nodes serve.
var devSays = regexp.MustCompile(`(?m)^(n\d (was killed|has stopped|is ready again)|\d nodes are ready)`)

// startDev starts the page's cluster and waits until it serves.
func (s *session) startDev(command string) error {
	if s.dev != nil {
		return errors.New("a cluster runs already: the page must interrupt it first")
	}
	in, keys, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	s.keys = keys
	s.dev = s.startWith("exec "+command, in)
	return s.devAnswers(1)
}

// typeIn types a line and waits until it is done.
func (s *session) typeIn(line string) error {
	if s.dev == nil {
		return errors.New("no cluster runs: the page must start one with gesta dev first")
	}
	before := len(devSays.FindAllString(s.dev.out.String(), -1))
	if _, err := io.WriteString(s.keys, line+"\n"); err != nil {
		return err
	}
	return s.devAnswers(before + 1)
}

func (s *session) devAnswers(n int) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	for len(devSays.FindAllString(s.dev.out.String(), -1)) < n {
		select {
		case <-s.dev.out.grown:
		case <-s.dev.ended:
			return fmt.Errorf("gesta dev ended: %v; it said\n%s", s.dev.err, s.dev.out)
		case <-late.C:
			return fmt.Errorf("gesta dev has not done it; it said\n%s", s.dev.out)
		}
	}
	return nil
}

// stopDev interrupts the cluster.
func (s *session) stopDev() error {
	if s.dev == nil {
		return nil
	}
	dev := s.dev
	s.dev = nil
	defer s.keys.Close()
	dev.signal(syscall.SIGINT)
	if exit, err := dev.wait(); err != nil || exit != 0 {
		return fmt.Errorf("gesta dev ended with %d, %v; it said\n%s", exit, err, dev.out)
	}
	return nil
}

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
