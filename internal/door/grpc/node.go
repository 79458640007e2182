package grpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/gateway"
)

// nodeServer is the service Node.
type nodeServer struct {
	gestav1.UnimplementedNodeServer
	door *Door
}

func (n nodeServer) Status(ctx context.Context, _ *gestav1.StatusRequest) (*gestav1.StatusResponse, error) {
	who, _ := n.door.callerOf(ctx)
	s, err := n.door.gate.Status(who)
	if err != nil {
		return nil, err
	}
	m := &gestav1.StatusResponse{
		NodeId: s.NodeID, ClusterId: s.ClusterID, Version: s.Version, Uptime: durationpb.New(s.Uptime),
		Ready: s.Ready, Reasons: s.Reasons, DiskFreeBytes: s.Disk.Free, DiskFloorBytes: s.Disk.Floor, Topics: uint32(s.Topics),
	}
	for _, shard := range s.Shards {
		m.Shards = append(m.Shards, shardMessage(shard))
	}
	return m, nil
}

func shardMessage(s gateway.ShardStatus) *gestav1.ShardStatus {
	return &gestav1.ShardStatus{
		Shard: s.Shard, History: s.History, Role: s.Role, Leader: s.Leader, Term: s.Term,
		LastIndex: s.LastIndex, CommitIndex: s.CommitIndex, AppliedIndex: s.AppliedIndex, LastOffset: s.LastOffset,
		Segments: s.Segments, UnsealedSegments: s.UnsealedSegments, LogBytes: s.LogBytes, IndexBytes: s.IndexBytes,
	}
}

// recordedTime is nil for a stream without events.
func recordedTime(nanos int64) *timestamppb.Timestamp {
	if nanos == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(0, nanos))
}
