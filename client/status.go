package client

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// Status is what a node says about itself.
type Status struct {
	Addr           string        `json:"addr"` // as the client knows the node
	NodeID         string        `json:"node_id"`
	ClusterID      string        `json:"cluster_id"`
	Version        string        `json:"version"`
	Uptime         time.Duration `json:"uptime_nanos"`
	Ready          bool          `json:"ready"`
	Reasons        []string      `json:"reasons,omitempty"` // why it is not ready
	DiskFreeBytes  uint64        `json:"disk_free_bytes"`
	DiskFloorBytes uint64        `json:"disk_floor_bytes"`
	Topics         uint32        `json:"topics"`
	Shards         []ShardStatus `json:"shards"`
}

// ShardStatus is one shard as that node sees it.
type ShardStatus struct {
	Shard            uint32 `json:"shard"`
	History          uint64 `json:"history"`
	Role             string `json:"role"`   // leader, follower or candidate
	Leader           string `json:"leader"` // node id, when known
	Term             uint64 `json:"term"`
	LastIndex        uint64 `json:"last_index"`
	CommitIndex      uint64 `json:"commit_index"`
	AppliedIndex     uint64 `json:"applied_index"`
	LastOffset       uint64 `json:"last_offset"` // of the newest event
	Segments         uint64 `json:"segments"`
	UnsealedSegments uint64 `json:"unsealed_segments"`
	LogBytes         uint64 `json:"log_bytes"`
	IndexBytes       uint64 `json:"index_bytes"`
}

// Status asks the node in use about itself.
func (c *Client) Status(ctx context.Context) (Status, error) {
	addr := ""
	m, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.StatusResponse, error) {
		addr = strings.TrimPrefix(conn.Target(), passthrough)
		return gestav1.NewNodeClient(conn).Status(ctx, &gestav1.StatusRequest{})
	})
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Addr: addr, NodeID: m.GetNodeId(), ClusterID: m.GetClusterId(), Version: m.GetVersion(), Uptime: m.GetUptime().AsDuration(),
		Ready: m.GetReady(), Reasons: m.GetReasons(), DiskFreeBytes: m.GetDiskFreeBytes(), DiskFloorBytes: m.GetDiskFloorBytes(),
		Topics: m.GetTopics(),
	}
	for _, h := range m.GetShards() {
		s.Shards = append(s.Shards, shardStatus(h))
	}
	return s, nil
}

func shardStatus(h *gestav1.ShardStatus) ShardStatus {
	return ShardStatus{
		Shard: h.GetShard(), History: h.GetHistory(), Role: h.GetRole(), Leader: h.GetLeader(), Term: h.GetTerm(),
		LastIndex: h.GetLastIndex(), CommitIndex: h.GetCommitIndex(), AppliedIndex: h.GetAppliedIndex(), LastOffset: h.GetLastOffset(),
		Segments: h.GetSegments(), UnsealedSegments: h.GetUnsealedSegments(), LogBytes: h.GetLogBytes(), IndexBytes: h.GetIndexBytes(),
	}
}
