package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gesta-db/gesta/client"
)

// TestServerSentEventsGoOnOverRestarts follows a shard as a browser does, by its last id, over restarts of the real binary while
// callers append: clean ones, and one that nothing could prepare for. Every event comes once, in order, and every acknowledged one.
func TestServerSentEventsGoOnOverRestarts(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a signal that a process cannot catch")
	}
	bin := build(t)
	data := filepath.Join(t.TempDir(), "data")
	f := &follower{}
	acked := &tally{}
	for _, end := range []os.Signal{os.Interrupt, os.Kill, os.Interrupt} {
		s := serve(t, bin, data)
		stop := acked.appends(t, s.addr)
		f.follow(t, s, f.offset+200, end)
		stop()
	}
	s := serve(t, bin, data)
	last := endOf(t, s.addr)
	f.follow(t, s, last, os.Interrupt)
	if f.offset != last || acked.last > last || acked.n == 0 {
		t.Fatalf("followed up to %d of %d; %d were acknowledged, the last at %d", f.offset, last, acked.n, acked.last)
	}
	t.Logf("%d events over 3 restarts, %d acknowledged", f.offset, acked.n)
}

// tally is what was acknowledged.
type tally struct {
	mu   sync.Mutex
	n    int
	last uint64
}

// appends goes on from several callers until stop is called.
func (a *tally) appends(t *testing.T, addr string) (stop func()) {
	t.Helper()
	c, err := client.New(client.Options{Addrs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				res, err := c.Append(ctx, client.Append{Topic: "sse", Key: fmt.Sprint(caller), Events: []client.Event{{Type: "T", Data: []byte(`{}`)}}})
				if err != nil {
					return
				}
				a.mu.Lock()
				a.n++
				a.last = max(a.last, res.Streams[0].LastOffset)
				a.mu.Unlock()
			}
		})
	}
	return func() { cancel(); callers.Wait(); c.Close() }
}

// follower keeps what a browser's EventSource keeps: the last id.
type follower struct {
	lastID string
	offset uint64
}

// follow reads on from the last id. At an offset it gives the server a signal, and goes on until the stream and the server end.
func (f *follower) follow(t *testing.T, s *server, until uint64, signal os.Signal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.http+"/v1/shards/1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Accept", "text/event-stream")
	if f.lastID != "" {
		q.Header.Set("Last-Event-ID", f.lastID)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET: %s", resp.Status)
	}
	signalled := false
	lines, block := bufio.NewScanner(resp.Body), []string{}
	for lines.Scan() {
		if lines.Text() != "" {
			block = append(block, lines.Text())
			continue
		}
		f.dispatch(t, block)
		block = block[:0]
		if !signalled && f.offset >= until {
			signalled = true
			if err := s.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !signalled {
		t.Fatalf("the stream ended at offset %d: %v", f.offset, lines.Err())
	}
	select {
	case <-s.done:
	case <-ctx.Done():
		t.Fatalf("the server does not end:\n%s", s.log)
	}
}

// dispatch takes in one whole event; what a broken connection cut off never comes here.
func (f *follower) dispatch(t *testing.T, block []string) {
	t.Helper()
	name, data := "", ""
	for _, line := range block {
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "id":
			f.lastID = value
		case "event":
			name = value
		case "data":
			data = value
		}
	}
	if name != "" || data == "" {
		return
	}
	var e struct{ Offset uint64 }
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		t.Fatal(err)
	}
	if e.Offset != f.offset+1 {
		t.Fatalf("after the event at offset %d came the one at %d", f.offset, e.Offset)
	}
	f.offset = e.Offset
}

// endOf is the offset of the shard's newest event.
func endOf(t *testing.T, addr string) uint64 {
	t.Helper()
	c, err := client.New(client.Options{Addrs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := c.Read(t.Context(), client.ShardScope(1), client.ReadOptions{Backwards: true, Limit: 1})
	defer r.Close()
	e, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	return e.Offset
}
