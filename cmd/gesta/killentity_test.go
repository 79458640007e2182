package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gesta-db/gesta/client"
)

// handlerAddr makes this test's binary a handler of accounts, at the server of that address.
const handlerAddr = "GESTA_TEST_HANDLER"

// account is the state of an entity in this test.
type account struct{ Balance, Moves int }

// move is its one command and its one event. Before is what the handler knew when it decided.
type move struct{ By, Before int }

func accounts() *client.Entity[account, move, move] {
	return &client.Entity[account, move, move]{
		Kind:     "accounts",
		Commands: client.Commands[move]{"move": move{}},
		Events:   client.Events[move]{"moved": {1: move{}}},
		Decide: func(s account, m move, _ *client.About) (client.Decision[move], error) {
			if s.Balance+m.By < 0 {
				return client.Decision[move]{}, client.Reject("insufficient", "there is too little")
			}
			return client.Decision[move]{Events: []move{{By: m.By, Before: s.Balance}}, Reply: s.Balance + m.By}, nil
		},
		Fold:          func(s account, m move) account { return account{s.Balance + m.By, s.Moves + 1} },
		SnapshotEvery: 10,
		CheckReplay:   true,
	}
}

func TestMain(m *testing.M) {
	if addr := os.Getenv(handlerAddr); addr != "" {
		serveAccounts(addr)
		return
	}
	os.Exit(m.Run())
}

func serveAccounts(addr string) {
	c, err := client.New(client.Options{Addrs: []string{addr}})
	if err != nil {
		panic(err)
	}
	if err := c.Serve(context.Background(), client.Service{Name: "bank", Kinds: []client.Kind{accounts()}}); err != nil {
		panic(err)
	}
}

// TestKilledHandlersAndServers kills the handler, the server or both under load, again and again, while callers retry until they have
// an answer. In the end every command had at most one effect, every answer is true of the log, and the states are what it folds to.
func TestKilledHandlersAndServers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a signal that a process cannot catch")
	}
	w := &killing{t: t, bin: build(t), data: filepath.Join(t.TempDir(), "data"), addr: freeAddr(t), answers: map[string]answered{}}
	w.startServer()
	w.startHandler()
	stop := w.callers()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	for range entityRounds {
		<-time.After(time.Duration(50+rng.IntN(250)) * time.Millisecond)
		what := rng.IntN(3)
		if what != 0 {
			w.stopHandler()
		}
		if what != 1 {
			w.server.end(t, os.Kill)
			w.startServer()
		}
		if what != 0 {
			w.startHandler()
		}
	}
	stop()
	w.verify()
	w.stopHandler()
	w.server.end(t, os.Interrupt)
	if out, err := exec.Command(w.bin, "check", w.data).CombinedOutput(); err != nil {
		t.Fatalf("gesta check: %v\n%s", err, out)
	}
}

// entityRounds is how often something is killed.
const entityRounds = 8

// answered is what a caller was told.
type answered struct {
	key      string
	rejected bool
	revision uint64
	balance  int
}

type killing struct {
	t       *testing.T
	bin     string
	data    string
	addr    string
	server  *server
	handler *exec.Cmd

	mu      sync.Mutex
	answers map[string]answered
	again   int
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

func (w *killing) startServer() {
	w.t.Helper()
	w.server = serve(w.t, w.bin, w.data, "--grpc", w.addr)
}

func (w *killing) startHandler() {
	w.t.Helper()
	w.handler = exec.Command(os.Args[0])
	w.handler.Env = append(os.Environ(), handlerAddr+"="+w.addr)
	if err := w.handler.Start(); err != nil {
		w.t.Fatal(err)
	}
	h := w.handler
	w.t.Cleanup(func() { _ = h.Process.Kill() })
}

func (w *killing) stopHandler() {
	_ = w.handler.Process.Kill()
	_ = w.handler.Wait() // it was killed: its error says so
}

// callers send commands, each until it has its answer, until stop is called.
func (w *killing) callers() (stop func()) {
	c, err := client.New(client.Options{Addrs: []string{w.addr}})
	if err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	var group sync.WaitGroup
	for caller := range 16 {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(caller), 3))
			for n := 0; ; n++ {
				select {
				case <-ended:
					return
				default:
				}
				w.send(c, fmt.Sprint("account-", rng.IntN(8)), fmt.Sprintf("%d-%d", caller, n), rng.IntN(21)-10)
			}
		})
	}
	return func() {
		close(ended)
		group.Wait()
		c.Close()
	}
}

// send sends one command again and again, with the same id, until it is answered.
func (w *killing) send(c *client.Client, key, id string, by int) {
	payload, err := client.PayloadOf(move{By: by})
	if err != nil {
		w.t.Error(err)
		return
	}
	for until := time.Now().Add(time.Minute); time.Now().Before(until); {
		ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Second)
		o, err := c.Execute(ctx, client.Command{Kind: "accounts", Key: key, Name: "move", ID: id, Payload: payload})
		cancel()
		a := answered{key: key, rejected: client.CodeOf(err) == client.CodeRejected, revision: o.Revision}
		if err == nil {
			err = json.Unmarshal(o.Reply.Data, &a.balance)
		}
		w.mu.Lock()
		if err == nil || a.rejected {
			w.answers[id] = a
			w.mu.Unlock()
			return
		}
		w.again++
		w.mu.Unlock()
	}
	w.t.Errorf("command %s has no answer after a minute", id)
}

// verify holds the log against what was answered, and the states against the log.
func (w *killing) verify() {
	t := w.t
	c, err := client.New(client.Options{Addrs: []string{w.addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	states := w.fold(c)
	rejected := 0
	for id, a := range w.answers {
		if a.rejected {
			rejected++
		} else if !a.found(states) {
			t.Errorf("command %s was answered %+v, which is not in the log", id, a)
		}
	}
	for key, s := range states {
		state, revision, err := accounts().State(t.Context(), c, key)
		if err != nil || state != s.account || revision != uint64(len(s.after)) {
			t.Errorf("%s is told as %+v at %d (%v), and the log folds to %+v at %d", key, state, revision, err, s.account, len(s.after))
		}
	}
	if len(w.answers) < 100 || rejected == 0 {
		t.Fatalf("only %d commands were answered, %d rejected: the test tested nothing", len(w.answers), rejected)
	}
	t.Logf("%d rounds: %d commands answered, %d of them rejected, %d tries failed", entityRounds, len(w.answers), rejected, w.again)
}

// folded is an account as the log tells it, with the balance after each revision.
type folded struct {
	account
	after []int
}

func (a *answered) found(states map[string]*folded) bool {
	s := states[a.key]
	return s != nil && a.revision > 0 && a.revision <= uint64(len(s.after)) && s.after[a.revision-1] == a.balance
}

// fold reads all accounts, and holds each event against the one before it.
func (w *killing) fold(c *client.Client) map[string]*folded {
	t := w.t
	states, effects := map[string]*folded{}, map[string]bool{}
	r := c.Read(t.Context(), client.TopicScope("accounts"), client.ReadOptions{})
	defer r.Close()
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return states
		}
		if err != nil {
			t.Fatal(err)
		}
		s := states[e.Key]
		if s == nil {
			s = &folded{}
			states[e.Key] = s
		}
		var m move
		if err := json.Unmarshal(e.Data, &m); err != nil {
			t.Fatal(err)
		}
		id := e.Metadata["causation_id"]
		a, known := w.answers[id]
		switch {
		case effects[id]:
			t.Errorf("command %s has two effects", id)
		case m.Before != s.Balance:
			t.Errorf("command %s was decided on a balance of %d where it was %d", id, m.Before, s.Balance)
		case known && (a.rejected || a.key != e.Key || a.revision != e.Revision):
			t.Errorf("command %s was answered %+v and is at revision %d", id, a, e.Revision)
		}
		effects[id] = true
		s.account = account{s.Balance + m.By, s.Moves + 1}
		s.after = append(s.after, s.Balance)
	}
}
