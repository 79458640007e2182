package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gesta-db/gesta/client"
)

// killRounds is how often the server is killed: enough to meet every moment of a batch, few enough for every test run.
const killRounds = 12

// TestKilledServerKeepsWhatItAcknowledged kills the real binary under load, again and again, on one data folder. In the end every
// acknowledged event is where its caller was told, once, in the order in which each caller sent them; and the folder is sound.
func TestKilledServerKeepsWhatItAcknowledged(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a signal that a process cannot catch")
	}
	bin := build(t)
	data := filepath.Join(t.TempDir(), "data")
	acked := map[string]ack{}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for round := range killRounds {
		s := serve(t, bin, data)
		load(t, s, round, acked, time.Duration(50+rng.IntN(250))*time.Millisecond)
	}
	s := serve(t, bin, data)
	verify(t, s.addr, acked)
	s.end(t, os.Interrupt)
	if out, err := exec.Command(bin, "check", data).CombinedOutput(); err != nil {
		t.Fatalf("gesta check: %v\n%s", err, out)
	}
}

// ack is where an event was acknowledged.
type ack struct {
	key              string
	revision, offset uint64
}

func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "gesta")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// server is a running gesta serve.
type server struct {
	cmd  *exec.Cmd
	addr string // gRPC's
	http string
	log  *strings.Builder
	done chan struct{}
}

// serve starts the server and waits until it says that it is ready.
func serve(t *testing.T, bin, data string, more ...string) *server {
	t.Helper()
	args := append([]string{"serve", "--data", data, "--http", "127.0.0.1:0", "--log-format", "json"}, more...)
	if len(more) == 0 {
		args = append(args, "--grpc", "127.0.0.1:0")
	}
	s := &server{cmd: exec.Command(bin, args...), log: &strings.Builder{}, done: make(chan struct{})}
	out, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); <-s.done })
	ready := make(chan [2]string, 1)
	go s.follow(out, ready)
	select {
	case at := <-ready:
		s.addr, s.http = at[0], at[1]
	case <-s.done:
		t.Fatalf("the server ended:\n%s", s.log)
	case <-time.After(30 * time.Second):
		t.Fatalf("the server is not ready:\n%s", s.log)
	}
	return s
}

// follow reads the server's log; the line that says ready has the addresses.
func (s *server) follow(out io.Reader, ready chan<- [2]string) {
	defer close(s.done)
	defer s.cmd.Wait()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var line struct{ Msg, GRPC, HTTP string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			ready <- [2]string{line.GRPC, line.HTTP}
		}
		s.log.WriteString(lines.Text() + "\n")
	}
}

func (s *server) end(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.done:
	case <-time.After(30 * time.Second):
		t.Fatalf("the server does not end:\n%s", s.log)
	}
}

// load appends from many callers until the server is killed, and notes what was acknowledged. A call that ends with an error
// counts for nothing: it may have been written.
func load(t *testing.T, s *server, round int, acked map[string]ack, until time.Duration) {
	t.Helper()
	c, err := client.New(client.Options{Addrs: []string{s.addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var callers sync.WaitGroup
	for caller := range 16 {
		callers.Go(func() {
			key := fmt.Sprintf("caller-%d", caller)
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("%d-%d-%d", round, caller, n)
				res, err := c.Append(ctx, client.Append{Topic: "kill", Key: key, Events: []client.Event{{ID: id, Type: "Acknowledged", Data: []byte(`{}`)}}})
				if err != nil {
					return
				}
				mu.Lock()
				acked[id] = ack{key: key, revision: res.Streams[0].LastRevision, offset: res.Streams[0].LastOffset}
				mu.Unlock()
			}
		})
	}
	<-time.After(until)
	s.end(t, os.Kill)
	cancel()
	callers.Wait()
}

// verify reads everything back.
func verify(t *testing.T, addr string, acked map[string]ack) {
	t.Helper()
	c, err := client.New(client.Options{Addrs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	seen := map[string]bool{}
	revisions := map[string]uint64{}
	offset := uint64(0)
	r := c.Read(t.Context(), client.ShardScope(1), client.ReadOptions{})
	defer r.Close()
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		offset++
		revisions[e.Key]++
		if e.Offset != offset || e.Revision != revisions[e.Key] {
			t.Fatalf("event %s has offset %d and revision %d; %d and %d were due", e.ID, e.Offset, e.Revision, offset, revisions[e.Key])
		}
		if seen[e.ID] {
			t.Fatalf("event %s is there twice", e.ID)
		}
		seen[e.ID] = true
		if a, ok := acked[e.ID]; ok && (a.key != e.Key || a.revision != e.Revision || a.offset != e.Offset) {
			t.Fatalf("event %s was acknowledged as %+v and is at revision %d, offset %d", e.ID, a, e.Revision, e.Offset)
		}
	}
	for id, a := range acked {
		if !seen[id] {
			t.Fatalf("event %s was acknowledged as %+v and is lost", id, a)
		}
	}
	if len(acked) < killRounds {
		t.Fatalf("only %d events were acknowledged: the test tested nothing", len(acked))
	}
	t.Logf("%d rounds: %d acknowledged, %d in the log", killRounds, len(acked), len(seen))
}
