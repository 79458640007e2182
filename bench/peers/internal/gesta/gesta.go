// Package gesta runs the product as its users do: the binary's serve, its bench, its HTTP.
package gesta

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gesta-db/gesta/bench/peers/internal/process"
)

// Server is `gesta serve` on free ports of loopback.
type Server struct {
	*process.Server
	Binary     string
	GRPC, HTTP string // addresses
}

// startTime is how long it may take until it is ready.
const startTime = 30 * time.Second

// Start serves a fresh data folder in dir.
func Start(ctx context.Context, binary, dir string) (*Server, error) {
	ready := make(chan Server, 1)
	p, err := process.Start(process.Spec{Path: binary, Dir: dir, Line: watch(ready), Args: []string{
		"serve", "--data", filepath.Join(dir, "gesta"), "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log-format", "json", "--log-level", "info",
	}})
	if err != nil {
		return nil, err
	}
	select {
	case s := <-ready:
		s.Server, s.Binary = p, binary
		return &s, nil
	case <-p.Ended():
		return nil, p.Failure()
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-time.After(startTime):
		err = fmt.Errorf("gesta serve was not ready within %v", startTime)
	}
	p.Stop()
	return nil, err
}

// watch finds the addresses in the log line that says that the server is ready.
func watch(ready chan<- Server) func(string) {
	return func(line string) {
		var l struct{ Msg, GRPC, HTTP string }
		if json.Unmarshal([]byte(line), &l) != nil || l.Msg != "ready" {
			return
		}
		select {
		case ready <- Server{GRPC: l.GRPC, HTTP: l.HTTP}:
		default: // said before
		}
	}
}

// Bench starts `gesta bench` with the arguments; Wait gives what it printed.
func (s *Server) Bench(ctx context.Context, args ...string) (*Client, error) {
	return run(ctx, s.Binary, append(append([]string{"bench"}, args...), "--addr", s.GRPC, "-o", "json"))
}

// Disk probes the disk of a folder.
func Disk(ctx context.Context, binary, dir string, d time.Duration) (json.RawMessage, error) {
	c, err := run(ctx, binary, []string{"bench", "disk", "--dir", dir, "--duration", d.String(), "-o", "json"})
	if err != nil {
		return nil, err
	}
	return c.Wait()
}

// Events counts the events of a topic, as `gesta topics describe` says.
func (s *Server) Events(ctx context.Context, topic string) (uint64, error) {
	c, err := run(ctx, s.Binary, []string{"topics", "describe", topic, "--addr", s.GRPC, "-o", "json"})
	if err != nil {
		return 0, err
	}
	raw, err := c.Wait()
	if err != nil {
		return 0, err
	}
	var t struct{ Events uint64 }
	return t.Events, json.Unmarshal(raw, &t)
}

// Version is what the binary says it is.
func Version(ctx context.Context, binary string) (string, error) {
	out, err := exec.CommandContext(ctx, binary, "version").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line), err
}

// Client is a command of the binary under way.
type Client struct {
	cmd      *exec.Cmd
	out, err bytes.Buffer
}

func run(ctx context.Context, binary string, args []string) (*Client, error) {
	c := &Client{cmd: exec.CommandContext(ctx, binary, args...)}
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = 10 * time.Second
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.err
	return c, c.cmd.Start()
}

// Pid is its process id.
func (c *Client) Pid() int { return c.cmd.Process.Pid }

// CPU is the processor time that it used; known once it has ended.
func (c *Client) CPU() time.Duration {
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
}

// Wait gives the one JSON object that it printed.
func (c *Client) Wait() (json.RawMessage, error) {
	if err := c.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(c.cmd.Args, " "), err, strings.TrimSpace(c.err.String()))
	}
	return json.RawMessage(bytes.TrimSpace(c.out.Bytes())), nil
}

// Writes are the writes to the log so far, each with its sync.
type Writes struct{ Count, Seconds float64 }

// Writes reads them from the server's metrics.
func (s *Server) Writes(ctx context.Context) (w Writes, err error) {
	text, err := s.get(ctx, "/metrics")
	if err != nil {
		return w, err
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		base, _, _ := strings.Cut(name, "{")
		n, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
		case base == "gesta_log_write_seconds_count":
			w.Count += n
		case base == "gesta_log_write_seconds_sum":
			w.Seconds += n
		}
	}
	return w, nil
}

func (s *Server) get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTP+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}
