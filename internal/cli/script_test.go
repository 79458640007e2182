package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/examples/bank/account"
	"github.com/gesta-db/gesta/internal/node"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"gesta": func() { os.Exit(Main(os.Args[1:], Process("v0.0.0-test"))) },
	})
}

// TestScripts runs the real command, each script against a server of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("COLUMNS", "80")
			env.Setenv("GESTA_ADDR", "127.0.0.1:1") // nothing listens there: a script starts its own
			env.Values[serverKey{}] = &runningServer{}
			env.Values[terminalKey{}] = &terminal{}
			env.Setenv("LONG_TOPIC", strings.Repeat("t", 129))
			env.Setenv("LONG_KEY", strings.Repeat("k", 1025))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    scriptExits,
			"server":   scriptServer,
			"bytes":    scriptBytes,
			"handler":  scriptHandler,
			"freeport": scriptFreePort,
			"ready":    scriptReady,
			"flip":     scriptFlip,
			"cluster":  scriptCluster,
			"type":     scriptType,
		},
		RequireExplicitExec: true,
	})
}

// scriptExits is "exits CODE COMMAND…": the command must end with that exit code.
func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var ended *exec.ExitError
		if !errors.As(err, &ended) {
			ts.Fatalf("%v", err)
		}
		got = ended.ExitCode()
	}
	if got != want {
		ts.Fatalf("the exit code is %d, not %d", got, want)
	}
}

// scriptBytes is "bytes CODE COMMAND…": exits, with a byte that is no UTF-8 for each % in the command.
func scriptBytes(ts *testscript.TestScript, neg bool, args []string) {
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "%", "\xff")
	}
	scriptExits(ts, neg, args)
}

// testNode is a node as gesta serve would run it, on free ports and with small segments, which are quick to fill with zeros.
func testNode(dir string) (*node.Node, error) {
	c := node.DefaultConfig()
	c.Data, c.GRPC, c.HTTP = dir, "127.0.0.1:0", "127.0.0.1:0"
	c.Limits.CommitBytes, c.Limits.CommitEvents, c.Limits.SegmentBytes = 2<<20, 256, 16<<20
	return node.Start(context.Background(), c, node.WithVersion("v0.0.0-test"))
}

// scriptServer is "server": a node on the folder gesta-data, which GESTA_ADDR names from then on, and HTTP_ADDR beside it.
// "! server" stops it.
func scriptServer(ts *testscript.TestScript, stop bool, _ []string) {
	running := ts.Value(serverKey{}).(*runningServer)
	if stop {
		running.stop()
		return
	}
	n, err := testNode(ts.MkAbs("gesta-data"))
	ts.Check(err)
	running.stop = func() { ts.Check(n.Close(context.Background())) }
	ts.Defer(running.stop)
	ts.Setenv("GESTA_ADDR", n.Addr())
	ts.Setenv("HTTP_ADDR", n.HTTPAddr())
}

type (
	serverKey     struct{}
	runningServer struct{ stop func() }
)

// scriptHandler is "handler": serves accounts from then on.
func scriptHandler(ts *testscript.TestScript, _ bool, _ []string) {
	c, err := client.New(client.Options{Addrs: []string{ts.Getenv("GESTA_ADDR")}})
	ts.Check(err)
	ctx, stop := context.WithCancel(context.Background())
	attached, served := make(chan string, 1), make(chan error, 1)
	go func() {
		served <- c.Serve(ctx, client.Service{Name: "bank", Kinds: []client.Kind{account.Entity}, OnAttach: func(node string) { attached <- node }})
	}()
	ts.Defer(func() {
		stop()
		ts.Check(<-served)
		ts.Check(c.Close())
	})
	<-attached
}

// scriptFreePort is "freeport NAME…": each variable names an address where nothing listens.
func scriptFreePort(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Setenv(name, l.Addr().String())
		ts.Check(l.Close())
	}
}

// scriptReady is "ready ADDR": waits until the server behind the HTTP address takes appends.
func scriptReady(ts *testscript.TestScript, _ bool, args []string) {
	patience, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond) // another process: nothing here could tell
	defer again.Stop()
	for !isReady(patience, args[0]) {
		select {
		case <-again.C:
		case <-patience.Done():
			ts.Fatalf("%s is not ready", args[0])
		}
	}
}

func isReady(ctx context.Context, addr string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/ready", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// scriptFlip is "flip FILE OFFSET": one bit of the file is turned.
func scriptFlip(ts *testscript.TestScript, _ bool, args []string) {
	at, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	ts.Check(err)
	b[0] ^= 1
	_, err = f.WriteAt(b[:], at)
	ts.Check(err)
}

// terminal is one in which gesta dev runs.
type (
	terminalKey struct{}
	terminal    struct {
		keys  io.Writer
		lines *bufio.Scanner
	}
)

// scriptCluster is "cluster": gesta dev with three nodes, which GESTA_ADDR names from then on.
func scriptCluster(ts *testscript.TestScript, _ bool, _ []string) {
	found, err := exec.LookPath("gesta")
	ts.Check(err)
	cmd := exec.Command(found, "dev", "-q", "--data", ts.MkAbs("dev"), "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--peer", "127.0.0.1:0")
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Env = append(cmd.Env, "GESTA_LIMITS_COMMIT_BYTES=2MiB", "GESTA_LIMITS_COMMIT_EVENTS=256", "GESTA_LIMITS_SEGMENT_BYTES=16MiB")
	keys, err := cmd.StdinPipe()
	ts.Check(err)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	t := ts.Value(terminalKey{}).(*terminal)
	t.keys, t.lines = keys, bufio.NewScanner(out)
	ts.Defer(func() {
		_, _ = io.WriteString(keys, "quit\n") // it may have ended
		_ = keys.Close()
		_, _ = io.Copy(io.Discard, out)
		ts.Check(cmd.Wait())
	})
	var addrs []string
	t.until(ts, "nodes are ready", func(line string) {
		if _, rest, ok := strings.Cut(line, ": gRPC "); ok {
			addr, _, _ := strings.Cut(rest, ",")
			addrs = append(addrs, addr)
		}
	})
	ts.Setenv("GESTA_ADDR", strings.Join(addrs, ","))
}

// until reads lines up to one with the text.
func (t *terminal) until(ts *testscript.TestScript, text string, each func(line string)) {
	for t.lines.Scan() {
		each(t.lines.Text())
		if strings.Contains(t.lines.Text(), text) {
			return
		}
	}
	ts.Fatalf("gesta dev ended before it said %q", text)
}

// scriptType is "type kill|stop|start N": it is typed, and done when the next command runs.
func scriptType(ts *testscript.TestScript, _ bool, args []string) {
	t := ts.Value(terminalKey{}).(*terminal)
	_, err := io.WriteString(t.keys, strings.Join(args, " ")+"\n")
	ts.Check(err)
	says := map[string]string{"kill": "was killed", "stop": "has stopped", "start": "is ready again"}
	t.until(ts, "n"+args[1]+" "+says[args[0]], func(string) {})
}
