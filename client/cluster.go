package client

import (
	"context"
	"time"

	"google.golang.org/grpc"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// ClusterStatus is the cluster as one of its nodes sees it.
type ClusterStatus struct {
	ClusterID string        `json:"cluster_id"`
	NodeID    string        `json:"node_id"` // the node that answered
	Feature   uint32        `json:"feature"` // the feature level that the cluster follows
	Nodes     []ClusterNode `json:"nodes"`
}

// ClusterNode is a member of the cluster.
type ClusterNode struct {
	NodeID      string    `json:"node_id"`
	Zone        string    `json:"zone,omitempty"`
	Version     string    `json:"version"`
	GRPCAddress string    `json:"grpc_address"`
	HTTPAddress string    `json:"http_address"`
	PeerAddress string    `json:"peer_address,omitempty"`
	State       string    `json:"state"`             // ready, not_ready, draining, stopping or silent
	Reasons     []string  `json:"reasons,omitempty"` // why it is not ready
	Joined      time.Time `json:"joined"`
	Started     time.Time `json:"started"`
	// Heard is when it last told of itself; zero when it has not yet.
	Heard     time.Time `json:"heard"`
	Connected bool      `json:"connected"`
	// RoundTrip and ClockOffset are seen from the node that answered: positive when this one's clock is ahead.
	RoundTrip      time.Duration    `json:"round_trip_nanos"`
	ClockOffset    time.Duration    `json:"clock_offset_nanos"`
	DiskFreeBytes  uint64           `json:"disk_free_bytes"`
	DiskFloorBytes uint64           `json:"disk_floor_bytes"`
	MemoryBytes    uint64           `json:"memory_bytes"`
	Replicas       []ClusterReplica `json:"replicas"`
}

// ClusterReplica is a replica on a node, as that node told. Shard 0 is the meta group.
type ClusterReplica struct {
	Shard   uint32 `json:"shard"`
	Role    string `json:"role"` // leader, follower, candidate or learner
	Term    uint64 `json:"term"`
	Applied uint64 `json:"applied_index"`
	Lag     uint64 `json:"lag_entries"` // how many entries it was behind its leader
	Stopped string `json:"stopped,omitempty"`
	Leader  string `json:"leader,omitempty"` // the node that it takes for its group's leader
}

// Shard is a log of the cluster and where its replicas are to be.
type Shard struct {
	Shard           uint32    `json:"shard"`
	Factor          uint32    `json:"factor"` // replicas it is to have once there are nodes enough
	Leader          string    `json:"leader"` // the node that leads it; empty when it is not known
	PreferredLeader string    `json:"preferred_leader"`
	NodeIDs         []string  `json:"node_ids"`
	Created         time.Time `json:"created"`
}

// Cluster asks the node in use about all nodes of its cluster.
func (c *Client) Cluster(ctx context.Context) (ClusterStatus, error) {
	m, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.ClusterStatusResponse, error) {
		return gestav1.NewClusterClient(conn).Status(ctx, &gestav1.ClusterStatusRequest{})
	})
	if err != nil {
		return ClusterStatus{}, err
	}
	return clusterOf(m), nil
}

func clusterOf(m *gestav1.ClusterStatusResponse) ClusterStatus {
	s := ClusterStatus{ClusterID: m.GetClusterId(), NodeID: m.GetNodeId(), Feature: m.GetFeature()}
	for _, n := range m.GetNodes() {
		s.Nodes = append(s.Nodes, clusterNode(n))
	}
	return s
}

func clusterNode(m *gestav1.ClusterNode) ClusterNode {
	n := ClusterNode{
		NodeID: m.GetNodeId(), Zone: m.GetZone(), Version: m.GetVersion(), GRPCAddress: m.GetGrpcAddress(), HTTPAddress: m.GetHttpAddress(),
		PeerAddress: m.GetPeerAddress(), State: m.GetState(), Reasons: m.GetReasons(), Joined: timeOf(m.GetJoined()), Started: timeOf(m.GetStarted()),
		Heard: timeOf(m.GetHeard()), Connected: m.GetConnected(), RoundTrip: m.GetRoundTrip().AsDuration(), ClockOffset: m.GetClockOffset().AsDuration(),
		DiskFreeBytes: m.GetDiskFreeBytes(), DiskFloorBytes: m.GetDiskFloorBytes(), MemoryBytes: m.GetMemoryBytes(),
	}
	for _, r := range m.GetReplicas() {
		n.Replicas = append(n.Replicas, ClusterReplica{
			Shard: r.GetShard(), Role: r.GetRole(), Term: r.GetTerm(), Applied: r.GetAppliedIndex(), Lag: r.GetLagEntries(), Stopped: r.GetStopped(), Leader: r.GetLeader(),
		})
	}
	return n
}

// RemoveNode takes a node out of the cluster for good, alive or dead. Errors: CodeNotFound; CodeConflict where the rest of the
// cluster could not decide without it.
func (c *Client) RemoveNode(ctx context.Context, node string) error {
	_, err := unary(ctx, c, writing, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.ClusterRemoveResponse, error) {
		return gestav1.NewClusterClient(conn).Remove(ctx, &gestav1.ClusterRemoveRequest{NodeId: node})
	})
	return err
}

// DrainNode lets a node lead nothing and get no new replica; on false ends that. Errors: CodeNotFound.
func (c *Client) DrainNode(ctx context.Context, node string, on bool) error {
	_, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.ClusterDrainResponse, error) {
		return gestav1.NewClusterClient(conn).Drain(ctx, &gestav1.ClusterDrainRequest{NodeId: node, Draining: on})
	})
	return err
}

// TransferShard lets a node lead a shard; shard 0 is the meta group. It returns when that is asked for: see [Client.Cluster] for
// who leads. Errors: CodeNotFound, CodeInvalid when the node has no replica of the shard.
func (c *Client) TransferShard(ctx context.Context, shard uint32, node string) error {
	_, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.ClusterTransferResponse, error) {
		return gestav1.NewClusterClient(conn).Transfer(ctx, &gestav1.ClusterTransferRequest{Shard: shard, NodeId: node})
	})
	return err
}

// Shards lists the shards by their numbers.
func (c *Client) Shards(ctx context.Context) ([]Shard, error) {
	m, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.ListShardsResponse, error) {
		return gestav1.NewClusterClient(conn).ListShards(ctx, &gestav1.ListShardsRequest{})
	})
	if err != nil {
		return nil, err
	}
	var shards []Shard
	for _, s := range m.GetShards() {
		shards = append(shards, shardOf(s))
	}
	return shards, nil
}

// AddShard makes one more shard of so many replicas: 1, 3 or 5; 0 is what the node that answers was started with. Errors:
// CodeInvalid, CodeTooLarge when there are as many as there may be, CodeUnknownOutcome.
func (c *Client) AddShard(ctx context.Context, factor uint32) (Shard, error) {
	m, err := unary(ctx, c, writing, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.AddShardResponse, error) {
		return gestav1.NewClusterClient(conn).AddShard(ctx, &gestav1.AddShardRequest{Factor: factor})
	})
	if err != nil {
		return Shard{}, err
	}
	return shardOf(m.GetShard()), nil
}

func shardOf(m *gestav1.Shard) Shard {
	return Shard{
		Shard: m.GetShard(), Factor: m.GetFactor(), Leader: m.GetLeader(), PreferredLeader: m.GetPreferredLeader(), NodeIDs: m.GetNodeIds(), Created: timeOf(m.GetCreated()),
	}
}
