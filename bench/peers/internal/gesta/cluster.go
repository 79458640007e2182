package gesta

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Cluster is some nodes of `gesta serve` on one machine.
type Cluster struct {
	Nodes []*Server
	dir   string
	peers []string // where each listens to the others
}

// StartCluster starts nodes that found a cluster together, and waits until they have a leader.
func StartCluster(ctx context.Context, binary, dir string, nodes int) (*Cluster, error) {
	c := &Cluster{dir: dir}
	var members []string
	for i := range nodes {
		if err := c.plan(binary); err != nil {
			return nil, err
		}
		members = append(members, fmt.Sprintf("n%d=%s", i+1, c.peers[i]))
	}
	// They become ready together, so they are started together.
	started := make(chan error, nodes)
	for i := range nodes {
		go func() { started <- c.start(ctx, i, "--initial-members", strings.Join(members, ",")) }()
	}
	var err error
	for range nodes {
		err = errors.Join(err, <-started)
	}
	if err == nil {
		_, err = c.Leader(ctx)
	}
	if err != nil {
		c.Stop()
	}
	return c, err
}

func (c *Cluster) plan(binary string) error {
	s := &Server{Binary: binary}
	var peer string
	for _, addr := range []*string{&s.GRPC, &s.HTTP, &peer} {
		var err error
		if *addr, err = address(); err != nil {
			return err
		}
	}
	c.Nodes, c.peers = append(c.Nodes, s), append(c.peers, peer)
	return nil
}

func (c *Cluster) start(ctx context.Context, i int, more ...string) error {
	dir := filepath.Join(c.dir, fmt.Sprintf("n%d", i+1))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return c.Nodes[i].start(ctx, dir, append([]string{"--node-id", fmt.Sprintf("n%d", i+1), "--peer-listen", c.peers[i]}, more...))
}

// Restart starts a node that has ended again.
func (c *Cluster) Restart(ctx context.Context, i int) error { return c.start(ctx, i) }

// Join starts one more node, which joins the others.
func (c *Cluster) Join(ctx context.Context, binary string) (*Server, error) {
	others := strings.Join(c.peers, ",")
	if err := c.plan(binary); err != nil {
		return nil, err
	}
	i := len(c.Nodes) - 1
	return c.Nodes[i], c.start(ctx, i, "--join", others)
}

// Addrs are the addresses of all, with commas between.
func (c *Cluster) Addrs() string {
	var all []string
	for _, n := range c.Nodes {
		all = append(all, n.GRPC)
	}
	return strings.Join(all, ",")
}

// Pids are the process ids of all.
func (c *Cluster) Pids() []int {
	var all []int
	for _, n := range c.Nodes {
		all = append(all, n.Pid())
	}
	return all
}

// Leader waits until one of the nodes leads shard 1, and gives its place.
func (c *Cluster) Leader(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("no node led the shard within %v", startTime))
	defer cancel()
	for {
		for i, n := range c.Nodes {
			if m, err := n.Metrics(ctx); err == nil && m[`gesta_shard_leader{shard="1"}`] > 0 {
				return i, nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop ends them all, each asked at once.
func (c *Cluster) Stop() {
	done := make(chan struct{})
	for _, n := range c.Nodes {
		go func() {
			if n.Server != nil {
				n.Stop()
			}
			done <- struct{}{}
		}()
	}
	for range c.Nodes {
		<-done
	}
}
