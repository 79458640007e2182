package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

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
			env.Setenv("LONG_TOPIC", strings.Repeat("t", 129))
			env.Setenv("LONG_KEY", strings.Repeat("k", 1025))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  scriptExits,
			"server": scriptServer,
			"bytes":  scriptBytes,
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

// startTestNode runs a node as gesta serve would, on free ports.
func startTestNode(dir string) (addr string, stop func(), err error) {
	c := node.DefaultConfig()
	c.Data, c.GRPC, c.HTTP = dir, "127.0.0.1:0", "127.0.0.1:0"
	n, err := node.Start(context.Background(), c, node.WithVersion("v0.0.0-test"))
	if err != nil {
		return "", nil, err
	}
	return n.Addr(), func() { _ = n.Close(context.Background()) }, nil
}

// scriptServer is "server": a node, which GESTA_ADDR names from then on.
func scriptServer(ts *testscript.TestScript, _ bool, _ []string) {
	addr, stop, err := startTestNode(ts.MkAbs("gesta-data"))
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv("GESTA_ADDR", addr)
}
