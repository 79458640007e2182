package gatewaytest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

// Cluster is one of nodes that do not exist.
type Cluster struct {
	mu     sync.Mutex
	nodes  []gateway.ClusterNode
	shards []gateway.ShardPlace
}

// NewCluster gives one of the named nodes; the first leads shard 1.
func NewCluster(names ...string) *Cluster {
	c := &Cluster{shards: []gateway.ShardPlace{{Shard: 1, Factor: 3, Leader: names[0], Preferred: names[0], Nodes: names, Created: time.Unix(1, 0)}}}
	for i, name := range names {
		role := "follower"
		if i == 0 {
			role = "leader"
		}
		c.nodes = append(c.nodes, gateway.ClusterNode{
			Node: name, Zone: "z" + name, Version: "v1.2.3", GRPC: name + ":7070", HTTP: name + ":7080", Peer: name + ":7090", State: gateway.NodeReady,
			Joined: time.Unix(1, 0), Started: time.Unix(2, 0), Heard: time.Unix(3, 0), Connected: true, RoundTrip: time.Millisecond, ClockOffset: -time.Microsecond,
			Disk: gateway.Disk{Free: 100, Floor: 10}, MemoryBytes: 5, Replicas: []gateway.ClusterReplica{{Shard: 1, Role: role, Term: 2, Applied: 9, Lag: uint64(i)}},
		})
	}
	return c
}

// Nodes lists them.
func (c *Cluster) Nodes() []gateway.ClusterNode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.nodes)
}

// Feature is 1.
func (c *Cluster) Feature() uint32 { return 1 }

func (c *Cluster) find(node string) (int, error) {
	i := slices.IndexFunc(c.nodes, func(n gateway.ClusterNode) bool { return n.Node == node })
	if i < 0 {
		return 0, errs.New(errs.NotFound, "there is no node %s in the cluster", node).With("node", node)
	}
	return i, nil
}

// Remove takes a node out, except the last.
func (c *Cluster) Remove(_ context.Context, node string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, err := c.find(node)
	if err != nil {
		return err
	}
	if len(c.nodes) == 1 {
		return errs.New(errs.Conflict, "node %s is the only one of the cluster: stop it instead", node).With("node", node)
	}
	c.nodes = slices.Delete(c.nodes, i, i+1)
	return nil
}

// Drain changes a node's state.
func (c *Cluster) Drain(_ context.Context, node string, on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, err := c.find(node)
	if err != nil {
		return err
	}
	c.nodes[i].State = gateway.NodeReady
	if on {
		c.nodes[i].State = gateway.NodeDraining
	}
	return nil
}

// Transfer lets a node lead a shard.
func (c *Cluster) Transfer(_ context.Context, shard uint32, node string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.find(node); err != nil {
		return err
	}
	for i := range c.shards {
		if c.shards[i].Shard == shard {
			c.shards[i].Leader, c.shards[i].Preferred = node, node
			return nil
		}
	}
	return errs.New(errs.NotFound, "there is no shard %d", shard).With("field", "shard")
}

// Shards lists them.
func (c *Cluster) Shards() []gateway.ShardPlace {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.shards)
}

// AddShard makes one on the first nodes.
func (c *Cluster) AddShard(_ context.Context, factor int) (gateway.ShardPlace, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if factor == 0 {
		factor = 3
	}
	s := gateway.ShardPlace{Shard: uint32(len(c.shards) + 1), Factor: factor, Created: time.Unix(4, 0)}
	for _, n := range c.nodes[:min(factor, len(c.nodes))] {
		s.Nodes = append(s.Nodes, n.Node)
	}
	c.shards = append(c.shards, s)
	return s, nil
}
