// Package fleet runs the nodes of one cluster as processes of this machine, to try it and to measure it: nodes can be stopped well,
// killed and started again.
//
// Each node has a folder of its own below one, and ports of its own, which are written down there: a cluster that is started again has
// the addresses it had. The nodes are processes of the same binary, in process groups of their own, so that an interrupt typed at the
// terminal reaches them only through their fleet, once.
//
// It promises that Close leaves no process behind; a fleet that is itself killed leaves its nodes running.
package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gesta-db/gesta/client"
)

// Options is what a fleet is made of.
type Options struct {
	Program string   // the binary
	Args    []string // more flags of gesta serve, for every node
	Dir     string   // below it each node has a folder
	Nodes   int
	// GRPC, HTTP and Peer are where the first node listens; the others listen at the next ports. Used when Dir is new; a port 0 lets
	// the system choose all.
	GRPC, HTTP, Peer string
	// Log gives where a node's log goes; nil: nowhere.
	Log func(node string) io.Writer
	// Ended, which may be nil, is told of a node that ended although nobody asked for it.
	Ended func(node string, err error)
}

// Node is one process.
type Node struct {
	ID   string `json:"id"`
	GRPC string `json:"grpc"`
	HTTP string `json:"http"`
	Peer string `json:"peer"`

	process *exec.Cmd     // nil: it does not run
	ended   chan struct{} // closed when the process is gone
	wanted  bool          // it runs because it should; false: its end was asked for
}

// Fleet is the nodes.
type Fleet struct {
	o     Options
	mu    sync.Mutex
	nodes []*Node
}

// portsFile keeps the addresses.
const portsFile = "nodes.json"

// New prepares a fleet, or finds the one that is in the folder; it starts nothing.
func New(o Options) (*Fleet, error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	f := &Fleet{o: o}
	text, err := os.ReadFile(filepath.Join(o.Dir, portsFile))
	switch {
	case err == nil:
		err = json.Unmarshal(text, &f.nodes)
	case os.IsNotExist(err):
		err = f.found()
	}
	if err == nil && len(f.nodes) != o.Nodes {
		err = fmt.Errorf("%s holds a cluster of %d nodes, not %d: take another folder, or delete it", o.Dir, len(f.nodes), o.Nodes)
	}
	return f, err
}

func (f *Fleet) found() error {
	for i := range f.o.Nodes {
		n := &Node{ID: "n" + strconv.Itoa(i+1)}
		for _, a := range []struct {
			to    *string
			first string
		}{{&n.GRPC, f.o.GRPC}, {&n.HTTP, f.o.HTTP}, {&n.Peer, f.o.Peer}} {
			addr, err := addrOf(a.first, i)
			if err != nil {
				return err
			}
			*a.to = addr
		}
		f.nodes = append(f.nodes, n)
	}
	text, err := json.Marshal(f.nodes)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(f.o.Dir, portsFile), append(text, '\n'), 0o644)
}

// addrOf is the address i after the first.
func addrOf(first string, i int) (string, error) {
	host, port, err := net.SplitHostPort(first)
	if err != nil {
		return "", fmt.Errorf("%q is not HOST:PORT", first)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return "", fmt.Errorf("%q has no port", first)
	}
	if n > 0 {
		return net.JoinHostPort(host, strconv.Itoa(n+i)), nil
	}
	l, err := net.Listen("tcp", first)
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Nodes lists the nodes.
func (f *Fleet) Nodes() []*Node { return f.nodes }

// Find gives a node by its id or its number.
func (f *Fleet) Find(name string) (*Node, error) {
	for _, n := range f.nodes {
		if n.ID == name || n.ID == "n"+name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("there is no node %q: they are 1 to %d", name, len(f.nodes))
}

// Addrs are the nodes' addresses for clients, those that run first.
func (f *Fleet) Addrs() (addrs []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, run := range []bool{true, false} {
		for _, n := range f.nodes {
			if (n.process != nil) == run {
				addrs = append(addrs, n.GRPC)
			}
		}
	}
	return addrs
}

// StartAll starts every node and waits until all are ready.
func (f *Fleet) StartAll(ctx context.Context) error {
	for _, n := range f.nodes {
		if err := f.Start(n); err != nil {
			return err
		}
	}
	if err := f.Ready(ctx, f.nodes...); err != nil {
		return err
	}
	return f.Settled(ctx)
}

// Running tells whether a node's process is there.
func (f *Fleet) Running(n *Node) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return n.process != nil
}

// Start starts a node's process.
func (f *Fleet) Start(n *Node) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n.process != nil {
		return fmt.Errorf("%s runs already", n.ID)
	}
	var list []string
	for _, o := range f.nodes {
		list = append(list, o.ID+"="+o.Peer)
	}
	args := append([]string{"serve", "--data", filepath.Join(f.o.Dir, n.ID), "--node-id", n.ID, "--grpc", n.GRPC, "--http", n.HTTP,
		"--peer-listen", n.Peer, "--initial-members", strings.Join(list, ",")}, f.o.Args...)
	cmd := exec.Command(f.o.Program, args...)
	cmd.SysProcAttr = apart()
	if f.o.Log != nil {
		cmd.Stdout = f.o.Log(n.ID)
		cmd.Stderr = cmd.Stdout
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	n.process, n.ended, n.wanted = cmd, make(chan struct{}), true
	go f.wait(n, cmd, n.ended)
	return nil
}

func (f *Fleet) wait(n *Node, cmd *exec.Cmd, ended chan struct{}) {
	err := cmd.Wait()
	f.mu.Lock()
	n.process = nil
	unasked := n.wanted
	f.mu.Unlock()
	if unasked && f.o.Ended != nil {
		if err == nil {
			err = errors.New("exit status 0")
		}
		f.o.Ended(n.ID, err)
	}
	close(ended)
}

// Kill ends a node's process at once, as a crash does, and waits until it is gone.
func (f *Fleet) Kill(n *Node) error { return f.end(n, os.Kill) }

// Stop lets a node drain and stop, and waits until it is gone.
func (f *Fleet) Stop(n *Node) error { return f.end(n, polite) }

func (f *Fleet) end(n *Node, sig os.Signal) error {
	f.mu.Lock()
	cmd, ended := n.process, n.ended
	n.wanted = false
	f.mu.Unlock()
	if cmd == nil {
		return fmt.Errorf("%s does not run", n.ID)
	}
	if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-ended
	return nil
}

// readyAgain is how often a node is asked whether it is ready.
const readyAgain = 20 * time.Millisecond

// Ready waits until nodes are ready, or ctx or one of them ends.
func (f *Fleet) Ready(ctx context.Context, nodes ...*Node) error {
	for _, n := range nodes {
		if err := f.ready(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) ready(ctx context.Context, n *Node) error {
	c, err := client.New(client.Options{Addrs: []string{n.GRPC}, Timeout: time.Second})
	if err != nil {
		return err
	}
	defer c.Close()
	tick := time.NewTicker(readyAgain)
	defer tick.Stop()
	for {
		if s, err := c.Status(ctx); err == nil && s.Ready && s.NodeID == n.ID {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", n.ID, ctx.Err())
		case <-tick.C:
		}
		if !f.Running(n) {
			return fmt.Errorf("%s ended before it was ready: its log says why", n.ID)
		}
	}
}

// Settled waits until each node that runs has heard of all that run that they are ready.
func (f *Fleet) Settled(ctx context.Context) error {
	tick := time.NewTicker(readyAgain)
	defer tick.Stop()
	for _, n := range f.nodes {
		for f.Running(n) && !f.hears(ctx, n) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s does not hear of all others: %w", n.ID, ctx.Err())
			case <-tick.C:
			}
		}
	}
	return nil
}

// hears tells whether a node knows of all that run that they are ready.
func (f *Fleet) hears(ctx context.Context, n *Node) bool {
	c, err := client.New(client.Options{Addrs: []string{n.GRPC}, Timeout: time.Second})
	if err != nil {
		return false
	}
	defer c.Close()
	s, err := c.Cluster(ctx)
	ready := map[string]bool{}
	for _, m := range s.Nodes {
		ready[m.NodeID] = m.State == "ready" || m.State == "draining"
	}
	for _, o := range f.nodes {
		if f.Running(o) && !ready[o.ID] && f.member(s, o) {
			return false
		}
	}
	return err == nil
}

// member tells whether a node is one of the cluster: it may have been removed. Before any has described itself, all are.
func (f *Fleet) member(s client.ClusterStatus, n *Node) bool {
	for _, m := range s.Nodes {
		if m.NodeID == n.ID {
			return true
		}
	}
	return len(s.Nodes) < len(f.nodes)
}

// Close stops all nodes.
func (f *Fleet) Close() {
	var ending sync.WaitGroup
	for _, n := range f.nodes {
		ending.Go(func() { _ = f.Stop(n) }) // one that does not run is stopped
	}
	ending.Wait()
}
