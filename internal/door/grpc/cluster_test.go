package grpc

import (
	"testing"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

func TestClusterService(t *testing.T) {
	f := open(t)
	c := gestav1.NewClusterClient(f.conn)
	ctx := within(t)
	s, err := c.Status(ctx, &gestav1.ClusterStatusRequest{})
	if err != nil || s.GetClusterId() != "c1" || s.GetNodeId() != "n1" || len(s.GetNodes()) != 3 || s.GetNodes()[2].GetGrpcAddress() != "n3:7070" ||
		s.GetNodes()[1].GetReplicas()[0].GetLagEntries() != 1 || s.GetNodes()[1].GetHeard() == nil {
		t.Fatal(s, err)
	}
	if _, err := c.Drain(ctx, &gestav1.ClusterDrainRequest{NodeId: "n2", Draining: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Transfer(ctx, &gestav1.ClusterTransferRequest{Shard: 1, NodeId: "n3"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Remove(ctx, &gestav1.ClusterRemoveRequest{NodeId: "n1"}); err != nil {
		t.Fatal(err)
	}
	s, err = c.Status(ctx, &gestav1.ClusterStatusRequest{})
	if err != nil || len(s.GetNodes()) != 2 || s.GetNodes()[0].GetState() != gateway.NodeDraining {
		t.Fatal(s, err)
	}
	made, err := c.AddShard(ctx, &gestav1.AddShardRequest{Factor: 1})
	if err != nil || made.GetShard().GetShard() != 2 {
		t.Fatal(made, err)
	}
	list, err := c.ListShards(ctx, &gestav1.ListShardsRequest{})
	if err != nil || len(list.GetShards()) != 2 || list.GetShards()[0].GetLeader() != "n3" {
		t.Fatal(list, err)
	}
	_, err = c.Remove(ctx, &gestav1.ClusterRemoveRequest{NodeId: "nope"})
	wantCode(t, err, errs.NotFound, "node", "nope")
	_, err = c.Drain(ctx, &gestav1.ClusterDrainRequest{})
	wantCode(t, err, errs.Invalid, "field", "node_id")
	_, err = c.AddShard(ctx, &gestav1.AddShardRequest{Factor: 2})
	wantCode(t, err, errs.Invalid, "field", "factor")
}
