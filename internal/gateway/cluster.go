package gateway

import (
	"context"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

// Cluster is what the gateway needs of the nodes' cluster.
type Cluster interface {
	// Nodes tells of every member what was last heard of it.
	Nodes() []ClusterNode
	// Feature is the feature level that the cluster follows.
	Feature() uint32
	// Remove takes a node out for good. Unknown: not_found; where the rest could not decide without it: conflict.
	Remove(ctx context.Context, node string) error
	// Drain lets a node lead nothing and get no new replica, or ends that.
	Drain(ctx context.Context, node string, on bool) error
	// Transfer lets a node lead a shard; 0 is the meta group.
	Transfer(ctx context.Context, shard uint32, node string) error
	Shards() []ShardPlace
	// AddShard makes one more shard; factor 0 is the node's setting.
	AddShard(ctx context.Context, factor int) (ShardPlace, error)
}

// The states of a node.
const (
	NodeReady    = "ready"
	NodeNotReady = "not_ready"
	NodeDraining = "draining"
	NodeStopping = "stopping"
	NodeSilent   = "silent" // nothing was heard of it for some seconds
)

// ClusterNode is a member of the cluster.
type ClusterNode struct {
	Node, Zone, Version string
	GRPC, HTTP, Peer    string // addresses
	State               string
	Reasons             []string // why it is not ready
	// Started is zero when it is not known; Heard when nothing was heard of it yet, and now for the node that answers.
	Joined, Started, Heard time.Time
	Connected              bool
	RoundTrip, ClockOffset time.Duration
	Disk                   Disk
	MemoryBytes            uint64
	Replicas               []ClusterReplica
}

// ClusterReplica is a replica on a node, as that node told; shard 0 is the meta group.
type ClusterReplica struct {
	Shard              uint32
	Role               string // leader, follower, candidate or learner
	Term, Applied, Lag uint64
	Stopped            string
	Leader             string // the node that it takes for its group's leader
}

// ShardPlace is where the replicas of a shard are to be.
type ShardPlace struct {
	Shard uint32
	// Factor is how many replicas it is to have once there are nodes enough.
	Factor int
	// Leader is who leads it, when known; Preferred who is to lead.
	Leader, Preferred string
	Nodes             []string
	Created           time.Time
}

// ClusterInfo is the cluster as this node sees it.
type ClusterInfo struct {
	ClusterID, NodeID string
	Feature           uint32
	Nodes             []ClusterNode
}

// inspectCluster admits a question about the cluster.
func (g *Gateway) inspectCluster(who Caller) error {
	if err := g.auth.Authorize(who, ActInspect, nil); err != nil {
		return err
	}
	return g.hasCluster()
}

func (g *Gateway) hasCluster() error {
	if g.cluster == nil {
		return errs.New(errs.Unsupported, "this server has no cluster")
	}
	return nil
}

// changeCluster admits a change of the cluster. A node that drains still takes it: it may be about the drain.
func (g *Gateway) changeCluster(who Caller) error {
	if err := g.auth.Authorize(who, ActManage, nil); err != nil {
		return err
	}
	return g.hasCluster()
}

// ClusterStatus tells about all nodes.
func (g *Gateway) ClusterStatus(who Caller) (ClusterInfo, error) {
	if err := g.inspectCluster(who); err != nil {
		return ClusterInfo{}, err
	}
	return ClusterInfo{ClusterID: g.identity.ClusterID, NodeID: g.identity.NodeID, Feature: g.cluster.Feature(), Nodes: g.cluster.Nodes()}, nil
}

// ClusterNode tells about one node.
func (g *Gateway) ClusterNode(who Caller, name string) (ClusterNode, error) {
	if err := g.inspectCluster(who); err != nil {
		return ClusterNode{}, err
	}
	for _, n := range g.cluster.Nodes() {
		if n.Node == name {
			return n, nil
		}
	}
	return ClusterNode{}, errs.New(errs.NotFound, "there is no node %s in the cluster", name).With("node", name)
}

// RemoveNode takes a node out of the cluster for good.
func (g *Gateway) RemoveNode(ctx context.Context, who Caller, node string) error {
	if err := g.changeNode(who, node); err != nil {
		return err
	}
	return g.cluster.Remove(ctx, node)
}

// DrainNode lets a node lead nothing and get no new replica, or ends that.
func (g *Gateway) DrainNode(ctx context.Context, who Caller, node string, on bool) error {
	if err := g.changeNode(who, node); err != nil {
		return err
	}
	return g.cluster.Drain(ctx, node, on)
}

// TransferShard lets a node lead a shard.
func (g *Gateway) TransferShard(ctx context.Context, who Caller, shard uint32, node string) error {
	if err := g.changeNode(who, node); err != nil {
		return err
	}
	return g.cluster.Transfer(ctx, shard, node)
}

func (g *Gateway) changeNode(who Caller, node string) error {
	if err := g.changeCluster(who); err != nil {
		return err
	}
	if node == "" {
		return errs.New(errs.Invalid, "name the node").With("field", "node_id")
	}
	return nil
}

// ShardPlaces lists the shards by their numbers.
func (g *Gateway) ShardPlaces(who Caller) ([]ShardPlace, error) {
	if err := g.inspectCluster(who); err != nil {
		return nil, err
	}
	return g.cluster.Shards(), nil
}

// AddShard makes one more shard.
func (g *Gateway) AddShard(ctx context.Context, who Caller, factor uint32) (ShardPlace, error) {
	if err := g.changeCluster(who); err != nil {
		return ShardPlace{}, err
	}
	switch factor {
	case 0, 1, 3, 5:
		return g.cluster.AddShard(ctx, int(factor))
	}
	return ShardPlace{}, errs.New(errs.Invalid, "factor is %d; it must be 1, 3 or 5: an even number tolerates no more failures than the odd one below it", factor).With("field", "factor")
}
