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

// Server is `gesta serve` on ports of loopback.
type Server struct {
	*process.Server
	Binary     string
	GRPC, HTTP string        // addresses
	Took       time.Duration // from the start of the process until it said that it is ready to serve
	Loading    int           // lines of progress that it logged before that
}

// startTime is how long it may take until it is ready.
const startTime = 2 * time.Minute

// Start serves the folder gesta in dir.
func Start(ctx context.Context, binary, dir string, more ...string) (*Server, error) {
	grpc, err := address()
	if err != nil {
		return nil, err
	}
	http, err := address()
	if err != nil {
		return nil, err
	}
	s := &Server{Binary: binary, GRPC: grpc, HTTP: http}
	return s, s.start(ctx, dir, more)
}

// address is one of loopback that nobody listens on.
func address() (string, error) {
	port, err := process.FreePort()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}

func (s *Server) start(ctx context.Context, dir string, more []string) (err error) {
	loading := make(chan struct{}, 1000)
	began := time.Now()
	s.Server, err = process.Start(process.Spec{Path: s.Binary, Dir: dir, Line: progress(loading), Args: append([]string{
		"serve", "--data", filepath.Join(dir, "gesta"), "--grpc", s.GRPC, "--http", s.HTTP, "--log-format", "json", "--log-level", "info",
	}, more...)})
	if err != nil {
		return err
	}
	err = s.ready(ctx)
	s.Took, s.Loading = time.Since(began), len(loading)
	if err != nil {
		s.Stop()
	}
	return err
}

// ready asks until the server answers that it serves.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("gesta serve was not ready within %v", startTime))
	defer cancel()
	for {
		if s.answers(ctx, "/ready") {
			return nil
		}
		select {
		case <-s.Ended():
			return s.Failure()
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// progress counts the log lines that tell how far it is with opening its log.
func progress(loading chan<- struct{}) func(string) {
	return func(line string) {
		var l struct{ Msg string }
		if json.Unmarshal([]byte(line), &l) != nil || l.Msg != "loading the index" {
			return
		}
		select {
		case loading <- struct{}{}:
		default: // enough of them
		}
	}
}

// Bench starts `gesta bench` with the arguments; Wait gives what it printed.
func (s *Server) Bench(ctx context.Context, args ...string) (*Client, error) {
	return Bench(ctx, s.Binary, s.GRPC, args...)
}

// Bench is the same for several servers, whose addresses have commas between.
func Bench(ctx context.Context, binary, addrs string, args ...string) (*Client, error) {
	return run(ctx, binary, append(append([]string{"bench"}, args...), "--addr", addrs, "-o", "json"))
}

// Do runs any command of the binary against the server and gives what it printed.
func (s *Server) Do(ctx context.Context, args ...string) (json.RawMessage, error) {
	c, err := run(ctx, s.Binary, append(args, "--addr", s.GRPC, "-o", "json"))
	if err != nil {
		return nil, err
	}
	return c.Wait()
}

// Has tells whether the binary knows a command, and a flag of it.
func Has(ctx context.Context, binary, flag string, command ...string) bool {
	out, err := exec.CommandContext(ctx, binary, append(command, "--help")...).Output()
	return err == nil && strings.Contains(string(out), flag)
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
	raw, err := s.Do(ctx, "topics", "describe", topic)
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

// Stop ends it before its time; what it printed is lost.
func (c *Client) Stop() {
	c.cmd.Process.Signal(syscall.SIGTERM) // has ended already when it fails
	c.cmd.Wait()
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

// Metrics are the server's, each with its labels, and summed over them without.
func (s *Server) Metrics(ctx context.Context) (map[string]float64, error) {
	text, err := s.get(ctx, "/metrics")
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		base, _, _ := strings.Cut(name, "{")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			all[base] += n
			if name != base {
				all[name] = n
			}
		}
	}
	return all, err
}

// Writes reads them from the server's metrics.
func (s *Server) Writes(ctx context.Context) (Writes, error) {
	m, err := s.Metrics(ctx)
	return Writes{m["gesta_log_write_seconds_count"], m["gesta_log_write_seconds_sum"]}, err
}

// answers tells whether a page is answered with 200.
func (s *Server) answers(ctx context.Context, path string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTP+path, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
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
