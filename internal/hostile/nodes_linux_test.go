package hostile

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gesta-db/gesta/client"
)

// Where every node listens, in its own namespace.
const (
	grpcPort = 7070
	httpPort = 7080
	peerPort = 7090
)

// ready is how long nodes may take until they say that they serve; heal how long a cluster may take that has all it needs again.
const (
	ready = 30 * time.Second
	heal  = 10 * time.Second
)

var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gesta-hostile-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "gesta")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/gesta").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

// binary builds what is tested, once.
func binary(t *testing.T) string {
	t.Helper()
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// cluster is three nodes, or what is left of them.
type cluster struct {
	t     *testing.T
	wire  *wire
	nodes []*node
}

// node is a place for a process: its namespaces, its address, its folder.
type node struct {
	t      *testing.T
	number int
	name   string
	ip     string
	holder int // the process that holds the namespaces
	data   string
	flags  []string
	init   string
	log    lines

	cmd  *exec.Cmd
	done chan struct{}
	up   chan struct{}
}

// lines is a log that may be read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(s)
	l.text.WriteByte('\n')
}

func (l *lines) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.text.String()
	return s[max(0, len(s)-n):]
}

// needs skips the test where the world cannot be built.
func needs(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: namespaces for nodes need root")
	}
	for _, program := range []string{"ip", "unshare", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: the program %s is not there", program)
		}
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIPPED: no TUN devices: %v", err)
	}
	_ = f.Close()
	if out, err := exec.Command("unshare", "--net", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no namespaces: %v: %s", err, out)
	}
}

// newCluster makes the world and starts three nodes in it.
func newCluster(t *testing.T, flags ...string) *cluster {
	t.Helper()
	c := place(t, flags...)
	c.start(c.nodes...)
	return c
}

// place makes the world with three places for nodes.
func place(t *testing.T, flags ...string) *cluster {
	t.Helper()
	needs(t)
	binary(t)
	c := &cluster{t: t}
	dir := t.TempDir()
	var holders []int
	for number := 1; number < ports; number++ {
		n := &node{t: t, number: number, name: fmt.Sprint("n", number), holder: hold(t), flags: flags}
		n.data = filepath.Join(dir, n.name)
		if err := os.Mkdir(n.data, 0o700); err != nil {
			t.Fatal(err)
		}
		holders = append(holders, n.holder)
		c.nodes = append(c.nodes, n)
	}
	c.wire = newWire(t, holders)
	var list []string
	for _, n := range c.nodes {
		n.ip = fmt.Sprintf("%s.%d", c.wire.net, n.number)
		list = append(list, fmt.Sprintf("%s=%s:%d", n.name, n.ip, peerPort))
	}
	for _, n := range c.nodes {
		n.init = strings.Join(list, ",")
	}
	t.Cleanup(func() { c.end() })
	return c
}

// hold starts a process that holds new namespaces until the test's end, or that of the test's process.
func hold(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", "echo here; exec cat >/dev/null")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("unshare: %v", err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// within is a command in the node's namespaces.
func (n *node) within(name string, args ...string) *exec.Cmd {
	proc := fmt.Sprintf("/proc/%d/ns/", n.holder)
	return exec.Command("nsenter", append([]string{"--net=" + proc + "net", "--mount=" + proc + "mnt", name}, args...)...)
}

func (n *node) launch() {
	n.t.Helper()
	n.log.add("--- started")
	n.cmd = n.within(binary(n.t), append([]string{"serve", "--data", n.data, "--node-id", n.name, "--insecure", "--log-format", "json",
		"--grpc", fmt.Sprint(n.ip, ":", grpcPort), "--http", fmt.Sprint(n.ip, ":", httpPort), "--peer-listen", fmt.Sprint(n.ip, ":", peerPort),
		"--initial-members", n.init}, n.flags...)...)
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := n.cmd.StderrPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.done, n.up = make(chan struct{}), make(chan struct{})
	go n.follow(n.cmd, out, n.done, n.up)
}

// follow keeps the node's log, and tells when it is up and when it has ended.
func (n *node) follow(cmd *exec.Cmd, out io.Reader, done, up chan struct{}) {
	defer close(done)
	in := bufio.NewScanner(out)
	in.Buffer(nil, 1<<20)
	said := false
	for in.Scan() {
		var line struct{ Msg string }
		if json.Unmarshal(in.Bytes(), &line) == nil && line.Msg == "ready" && !said {
			said = true
			close(up)
		}
		n.log.add(in.Text())
	}
	n.log.add(fmt.Sprint("--- ended: ", cmd.Wait()))
}

// start starts nodes together and waits until each says that it is ready.
func (c *cluster) start(nodes ...*node) {
	c.t.Helper()
	for _, n := range nodes {
		n.launch()
	}
	for _, n := range nodes {
		select {
		case <-n.up:
		case <-n.done:
			c.t.Fatalf("%s ended:\n%s", n.name, n.log.tail(4000))
		case <-time.After(ready):
			c.t.Fatalf("%s is not ready after %v:\n%s", n.name, ready, n.log.tail(4000))
		}
	}
}

func (n *node) runs() bool {
	if n.done == nil {
		return false
	}
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

// signal sends a signal to the process; one that has ended gets none.
func (n *node) signal(s syscall.Signal) {
	n.t.Helper()
	if n.runs() {
		if err := n.cmd.Process.Signal(s); err != nil && n.runs() {
			n.t.Errorf("signal %v to %s: %v", s, n.name, err)
		}
	}
}

// kill ends a node without a word.
func (n *node) kill() {
	n.t.Helper()
	if n.runs() {
		n.signal(syscall.SIGKILL)
		<-n.done
	}
}

// stop ends a node as an operator does.
func (n *node) stop() {
	n.t.Helper()
	if !n.runs() {
		return
	}
	n.signal(syscall.SIGTERM)
	select {
	case <-n.done:
	case <-time.After(ready):
		n.t.Errorf("%s does not stop:\n%s", n.name, n.log.tail(4000))
		n.kill()
	}
}

// end kills what still runs; after a failure it shows the logs.
func (c *cluster) end() {
	for _, n := range c.nodes {
		n.kill()
		if c.t.Failed() {
			c.t.Logf("log of %s:\n%s", n.name, n.log.tail(8000))
		}
	}
}

func (n *node) addr() string { return fmt.Sprint(n.ip, ":", grpcPort) }

// addrs are all nodes' addresses, beginning with one.
func (c *cluster) addrs(first int) (all []string) {
	for i := range c.nodes {
		all = append(all, c.nodes[(first+i)%len(c.nodes)].addr())
	}
	return all
}

func dial(t *testing.T, addrs ...string) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{Addrs: addrs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// gauges reads one of a node's metrics; false when it does not answer.
func (n *node) gauge(name string) (v float64, ok bool) {
	h := http.Client{Timeout: 500 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := h.Get(fmt.Sprintf("http://%s:%d/metrics", n.ip, httpPort))
	if err != nil {
		return 0, false
	}
	defer res.Body.Close()
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if rest, found := strings.CutPrefix(in.Text(), name); found && (rest[0] == '{' || rest[0] == ' ') {
			_, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &v)
			return v, err == nil
		}
	}
	return 0, false
}

// leader waits until a node says that it leads shard 1, in the highest term of those who say so.
func (c *cluster) leader() *node {
	c.t.Helper()
	for end := time.Now().Add(heal); time.Now().Before(end); {
		var best *node
		most := 0.0
		for _, n := range c.nodes {
			if leads, ok := n.gauge("gesta_shard_leader"); ok && leads == 1 {
				if term, _ := n.gauge("gesta_shard_term"); term > most {
					best, most = n, term
				}
			}
		}
		if best != nil {
			return best
		}
	}
	c.t.Fatalf("no node leads shard 1 after %v", heal)
	return nil
}

// follower is a node that does not lead.
func (c *cluster) follower() *node {
	c.t.Helper()
	leader := c.leader()
	return c.nodes[leader.number%len(c.nodes)]
}
