package grpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/gateway"
)

// clusterServer is the service Cluster.
type clusterServer struct {
	gestav1.UnimplementedClusterServer
	door *Door
}

func (c clusterServer) Status(ctx context.Context, _ *gestav1.ClusterStatusRequest) (*gestav1.ClusterStatusResponse, error) {
	who, _ := c.door.callerOf(ctx)
	s, err := c.door.gate.ClusterStatus(who)
	if err != nil {
		return nil, err
	}
	m := &gestav1.ClusterStatusResponse{ClusterId: s.ClusterID, NodeId: s.NodeID, Feature: s.Feature}
	for _, n := range s.Nodes {
		m.Nodes = append(m.Nodes, nodeMessage(n))
	}
	return m, nil
}

func nodeMessage(n gateway.ClusterNode) *gestav1.ClusterNode {
	m := &gestav1.ClusterNode{
		NodeId: n.Node, Zone: n.Zone, Version: n.Version, GrpcAddress: n.GRPC, HttpAddress: n.HTTP, PeerAddress: n.Peer, State: n.State, Reasons: n.Reasons,
		Joined: momentOf(n.Joined), Started: momentOf(n.Started), Heard: momentOf(n.Heard), Connected: n.Connected,
		RoundTrip: durationpb.New(n.RoundTrip), ClockOffset: durationpb.New(n.ClockOffset),
		DiskFreeBytes: n.Disk.Free, DiskFloorBytes: n.Disk.Floor, MemoryBytes: n.MemoryBytes,
	}
	for _, r := range n.Replicas {
		m.Replicas = append(m.Replicas, &gestav1.ClusterReplica{Shard: r.Shard, Role: r.Role, Term: r.Term, AppliedIndex: r.Applied, LagEntries: r.Lag, Stopped: r.Stopped, Leader: r.Leader})
	}
	return m
}

// momentOf is nil for no moment.
func momentOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func (c clusterServer) Remove(ctx context.Context, q *gestav1.ClusterRemoveRequest) (*gestav1.ClusterRemoveResponse, error) {
	who, _ := c.door.callerOf(ctx)
	if err := c.door.gate.RemoveNode(ctx, who, q.GetNodeId()); err != nil {
		return nil, err
	}
	return &gestav1.ClusterRemoveResponse{}, nil
}

func (c clusterServer) Drain(ctx context.Context, q *gestav1.ClusterDrainRequest) (*gestav1.ClusterDrainResponse, error) {
	who, _ := c.door.callerOf(ctx)
	if err := c.door.gate.DrainNode(ctx, who, q.GetNodeId(), q.GetDraining()); err != nil {
		return nil, err
	}
	return &gestav1.ClusterDrainResponse{}, nil
}

func (c clusterServer) Transfer(ctx context.Context, q *gestav1.ClusterTransferRequest) (*gestav1.ClusterTransferResponse, error) {
	who, _ := c.door.callerOf(ctx)
	if err := c.door.gate.TransferShard(ctx, who, q.GetShard(), q.GetNodeId()); err != nil {
		return nil, err
	}
	return &gestav1.ClusterTransferResponse{}, nil
}

func (c clusterServer) ListShards(ctx context.Context, _ *gestav1.ListShardsRequest) (*gestav1.ListShardsResponse, error) {
	who, _ := c.door.callerOf(ctx)
	places, err := c.door.gate.ShardPlaces(who)
	if err != nil {
		return nil, err
	}
	list := &gestav1.ListShardsResponse{}
	for _, s := range places {
		list.Shards = append(list.Shards, placeMessage(s))
	}
	return list, nil
}

func (c clusterServer) AddShard(ctx context.Context, q *gestav1.AddShardRequest) (*gestav1.AddShardResponse, error) {
	who, _ := c.door.callerOf(ctx)
	s, err := c.door.gate.AddShard(ctx, who, q.GetFactor())
	if err != nil {
		return nil, err
	}
	return &gestav1.AddShardResponse{Shard: placeMessage(s)}, nil
}

func placeMessage(s gateway.ShardPlace) *gestav1.Shard {
	return &gestav1.Shard{
		Shard: s.Shard, Factor: uint32(s.Factor), Leader: s.Leader, PreferredLeader: s.Preferred, NodeIds: s.Nodes, Created: momentOf(s.Created),
	}
}
