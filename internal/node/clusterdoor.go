package node

import (
	"context"
	"time"

	"github.com/gesta-db/gesta/internal/cluster"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/meta"
	"github.com/gesta-db/gesta/internal/replica"
)

// silentAfter is how long nothing may be heard of a node that tells of itself once a second.
const silentAfter = 4 * time.Second

// clusterDoor gives the gateway the host in its words.
type clusterDoor struct {
	host   *cluster.Host
	factor int
	// about is what only the house knows of this node: its own health is told to the others, and here read fresh.
	about func() cluster.Health
}

// Nodes tells of every member.
func (c clusterDoor) Nodes() []gateway.ClusterNode {
	c.host.Health(c.about()) // a node without peers tells nobody else
	heard := c.host.Nodes()
	told := leadersWord(heard)
	nodes := make([]gateway.ClusterNode, len(heard))
	for i, n := range heard {
		nodes[i] = nodeOf(n, told)
	}
	return nodes
}

// word is what a group's leader last told of it.
type word struct {
	applied  uint64
	learners map[string]bool // by their nodes
}

// leadersWord gives what the leaders told, by the number of the group.
func leadersWord(nodes []cluster.Node) map[uint32]word {
	told := map[uint32]word{}
	for _, n := range nodes {
		for _, s := range n.Health.Shards {
			if s.Role != replica.Leader.String() || s.Applied < told[s.Shard].applied {
				continue
			}
			w := word{s.Applied, map[string]bool{}}
			for _, r := range s.Replicas {
				w.learners[r.Node] = r.Learner
			}
			told[s.Shard] = w
		}
	}
	return told
}

func nodeOf(n cluster.Node, told map[uint32]word) gateway.ClusterNode {
	m, h := n.Member, n.Health
	out := gateway.ClusterNode{
		Node: m.Node, Zone: m.Zone, Version: m.Version, GRPC: m.GRPC, HTTP: m.HTTP, Peer: m.Peer, State: stateOf(n), Reasons: h.Reasons,
		Joined: m.Joined, Started: h.Started, Heard: n.HeardAt, Connected: n.Link.Connected, RoundTrip: n.Link.RoundTrip, ClockOffset: n.Link.ClockOffset,
		Disk: gateway.Disk(h.Disk), MemoryBytes: h.Memory,
	}
	if n.Self {
		out.Heard, out.Connected = time.Now(), true
	}
	for _, s := range h.Shards {
		w, role := told[s.Shard], s.Role
		if w.learners[m.Node] {
			role = "learner"
		}
		out.Replicas = append(out.Replicas, gateway.ClusterReplica{
			Shard: s.Shard, Role: role, Term: s.Term, Applied: s.Applied, Lag: max(w.applied, s.Applied) - s.Applied, Stopped: s.Stopped, Leader: s.Leader,
		})
	}
	return out
}

func stateOf(n cluster.Node) string {
	switch {
	case !n.Self && (!n.Link.Connected || time.Since(n.HeardAt) > silentAfter):
		return gateway.NodeSilent
	case n.Member.Stopping:
		return gateway.NodeStopping
	case n.Member.Draining:
		return gateway.NodeDraining
	case !n.Health.Ready:
		return gateway.NodeNotReady
	}
	return gateway.NodeReady
}

// Feature is the level that the cluster follows.
func (c clusterDoor) Feature() uint32 { return c.host.Level() }

// Remove takes a node out.
func (c clusterDoor) Remove(ctx context.Context, node string) error { return c.host.Remove(ctx, node) }

// Drain lets a node lead nothing, or ends that.
func (c clusterDoor) Drain(ctx context.Context, node string, on bool) error {
	return c.host.DrainNode(ctx, node, on)
}

// Transfer lets a node lead a shard.
func (c clusterDoor) Transfer(ctx context.Context, number uint32, node string) error {
	return c.host.TransferShard(ctx, number, node)
}

// Shards lists them.
func (c clusterDoor) Shards() []gateway.ShardPlace {
	leaders := map[uint32]string{}
	for _, n := range c.Nodes() {
		for _, r := range n.Replicas {
			if r.Role == replica.Leader.String() && n.State != gateway.NodeSilent {
				leaders[r.Shard] = n.Node
			}
		}
	}
	var places []gateway.ShardPlace
	for _, s := range c.host.Meta().Shards() {
		places = append(places, c.placeOf(s, leaders[s.Number]))
	}
	return places
}

func (c clusterDoor) placeOf(s meta.Shard, leader string) gateway.ShardPlace {
	p := gateway.ShardPlace{Shard: s.Number, Factor: s.Factor, Leader: leader, Preferred: c.host.Name(s.Leader), Created: s.Created}
	for _, id := range s.Replicas {
		p.Nodes = append(p.Nodes, c.host.Name(id))
	}
	return p
}

// AddShard makes one more.
func (c clusterDoor) AddShard(ctx context.Context, factor int) (gateway.ShardPlace, error) {
	if factor == 0 {
		factor = c.factor
	}
	s, err := c.host.AddShard(ctx, factor)
	if err != nil {
		return gateway.ShardPlace{}, err
	}
	return c.placeOf(s, ""), nil
}
