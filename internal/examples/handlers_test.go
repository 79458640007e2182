//go:build unix

package examples

import (
	"context"
	"encoding/json"
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

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/client/conformance"
)

const root = "../.."

// language is how an example is installed and run; the folder is where it is installed.
type language struct {
	name    string
	needs   []string
	install func(folder string) *exec.Cmd
	handler func(folder string) *exec.Cmd
	tests   func(folder string) *exec.Cmd
}

func languages() []language {
	return []language{
		{
			name: "python", needs: []string{"python3"},
			install: func(folder string) *exec.Cmd { return exec.Command("sh", root+"/examples/python/install.sh", folder) },
			handler: func(folder string) *exec.Cmd {
				return withEnv(exec.Command(folder+"/venv/bin/python", root+"/examples/python/handler.py"), "PYTHONPATH="+folder+"/stubs", "PYTHONDONTWRITEBYTECODE=1")
			},
			tests: func(folder string) *exec.Cmd {
				c := exec.Command(folder+"/venv/bin/python", "-m", "unittest", "-q", "test_account")
				c.Dir = root + "/examples/python"
				return withEnv(c, "PYTHONDONTWRITEBYTECODE=1")
			},
		},
		{
			name: "typescript", needs: []string{"node", "npm"},
			install: func(folder string) *exec.Cmd {
				return exec.Command("sh", root+"/examples/typescript/install.sh", folder)
			},
			handler: func(folder string) *exec.Cmd {
				return withEnv(exec.Command("node", folder+"/out/src/handler.js"), "GESTA_PROTO="+folder+"/proto")
			},
			tests: func(folder string) *exec.Cmd { return exec.Command("node", "--test", folder+"/out/src") },
		},
	}
}

func withEnv(c *exec.Cmd, env ...string) *exec.Cmd {
	c.Env = append(os.Environ(), env...)
	return c
}

func TestHandlers(t *testing.T) {
	for _, l := range languages() {
		t.Run(l.name, func(t *testing.T) {
			folder := l.installed(t)
			t.Run("own tests", func(t *testing.T) {
				if out, err := l.tests(folder).CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			})
			t.Run("conformance", func(t *testing.T) { l.conforms(t, folder) })
			t.Run("server", func(t *testing.T) { l.serves(t, folder) })
		})
	}
}

// installed installs what the example needs, or skips the test.
func (l language) installed(t *testing.T) string {
	t.Helper()
	for _, tool := range l.needs {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("this machine has no " + tool)
		}
	}
	cache := os.Getenv("EXAMPLES_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Skip("there is no cache folder to install into: set EXAMPLES_CACHE: ", err)
		}
		cache = filepath.Join(user, "gesta", "examples")
	}
	folder := filepath.Join(cache, l.name)
	began := time.Now()
	if out, err := l.install(folder).CombinedOutput(); err != nil {
		t.Skipf("what the %s handler needs cannot be installed into %s: %v\n%s", l.name, folder, err, out)
	}
	t.Logf("installed in %s (%v)", folder, time.Since(began).Round(time.Millisecond))
	return folder
}

// start runs a handler until the test ends, which interrupts it: it must then end by itself.
func (l language) start(t *testing.T, folder, addr string) {
	t.Helper()
	cmd := l.handler(folder)
	cmd.Env = append(cmd.Env, "GESTA_ADDR="+addr)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.NewTimer(15 * time.Second)
		defer late.Stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the handler ended with %v", err)
			}
		case <-late.C:
			t.Error("the handler does not end when it is asked to")
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("the handler said:\n%s", out.String())
		}
	})
}

func (l language) conforms(t *testing.T, folder string) {
	server, err := conformance.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	l.start(t, folder, server.Addr())
	scripts, err := conformance.Scripts()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts {
		if err := server.Play(t.Context(), s); err != nil {
			t.Fatal(err) // what comes after it would be about another attachment
		}
	}
}

// serves has the handler decide for a real server.
func (l language) serves(t *testing.T, folder string) {
	addr := startServer(t)
	c, err := client.New(client.Options{Addrs: []string{addr}, Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	l.start(t, folder, addr)
	ask := func(command, data, id string) (client.Outcome, error) {
		return c.Execute(t.Context(), client.Command{Kind: "account", Key: "ann", Name: command, ID: id, Payload: client.Payload{Data: []byte(data)}})
	}
	type summary struct{ Balance, Available int }
	for _, s := range []struct {
		command, data, id string
		want              summary
	}{
		{"Open", `{"owner":"Ann","limit":100}`, "", summary{0, 100}},
		{"Deposit", `{"amount":50}`, "d-1", summary{50, 150}},
		{"Hold", `{"id":"h","amount":30}`, "", summary{50, 120}},
		{"Deposit", `{"amount":50}`, "d-1", summary{50, 150}},
		{"Capture", `{"id":"h"}`, "", summary{20, 120}},
	} {
		out, err := ask(s.command, s.data, s.id)
		var got summary
		if err == nil {
			err = out.Reply.Into(&got)
		}
		if err != nil || got != s.want {
			t.Fatalf("%s %s: %+v %v", s.command, s.data, got, err)
		}
	}
	_, err = ask("Withdraw", `{"amount":121}`, "")
	if no := client.RejectionOf(err); no == nil || no.Code != "insufficient_funds" || no.Details["available"] != "120" {
		t.Errorf("%v", err)
	}
	then, err := c.State(t.Context(), "account", "ann", client.AtRevision(3))
	var state struct {
		Balance int
		Holds   map[string]int
	}
	if err == nil {
		err = json.Unmarshal(then.Data, &state)
	}
	if err != nil || state.Balance != 50 || state.Holds["h"] != 30 {
		t.Errorf("%+v %v", state, err)
	}
}

// startServer runs the real binary on a fresh folder until the test ends.
func startServer(t *testing.T) (addr string) {
	t.Helper()
	binary := build(t)
	grpc, http := freeAddr(t), freeAddr(t)
	cmd := withEnv(exec.Command(binary, "serve", "--data", filepath.Join(t.TempDir(), "data")),
		"GESTA_GRPC="+grpc, "GESTA_HTTP="+http, "GESTA_LIMITS_COMMIT_BYTES=2MiB", "GESTA_LIMITS_COMMIT_EVENTS=256", "GESTA_LIMITS_SEGMENT_BYTES=16MiB")
	log := &readyLog{ready: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	select {
	case <-log.ready:
	case <-ctx.Done():
		t.Fatalf("the server is not ready; it said\n%s", log)
	}
	return grpc
}

// readyLog waits for the line with which a server says that it serves.
type readyLog struct {
	mu    sync.Mutex
	text  strings.Builder
	once  sync.Once
	ready chan struct{}
}

var readyLine = regexp.MustCompile(`"msg":"ready"|msg=ready`)

func (l *readyLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if readyLine.MatchString(l.text.String()) {
		l.once.Do(func() { close(l.ready) })
	}
	return len(b), nil
}

func (l *readyLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// build makes the binary, once for all tests.
func build(t *testing.T) string {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

var folder string

var built = sync.OnceValues(func() (string, error) {
	var err error
	if folder, err = os.MkdirTemp("", "gesta-examples-"); err != nil {
		return "", err
	}
	cmd := withEnv(exec.Command("go", "build", "-o", folder+"/gesta", "./cmd/gesta"), "CGO_ENABLED=0")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	return folder + "/gesta", cmd.Run()
})

func TestMain(m *testing.M) {
	code := m.Run()
	if folder != "" {
		os.RemoveAll(folder)
	}
	os.Exit(code)
}
