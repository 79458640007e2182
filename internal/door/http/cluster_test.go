package http

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/limits"
)

func TestCluster(t *testing.T) {
	f := open(t)
	all := into[clusterInfo](t, f.do("GET", "/v1/cluster", ""))
	if all.ClusterID != "c1" || all.NodeID != "n1" || len(all.Nodes) != 3 || all.Nodes[1].GRPC != "n2:7070" || all.Nodes[0].Replicas[0].Role != "leader" {
		t.Fatalf("%+v", all)
	}
	one := into[clusterNode](t, f.do("GET", "/v1/cluster/nodes/n2", ""))
	if one.State != gateway.NodeReady || one.DiskFreeBytes != 100 || one.Heard == nil {
		t.Fatalf("%+v", one)
	}
	wantProblem(t, f.do("GET", "/v1/cluster/nodes/nope", ""), 404, "not_found", "")
	for _, c := range []struct {
		what, state string
	}{{"drain", gateway.NodeDraining}, {"undrain", gateway.NodeReady}} {
		if a := f.do("POST", "/v1/cluster/nodes/n2/"+c.what, ""); a.StatusCode != http.StatusNoContent {
			t.Fatalf("%s: %d %s", c.what, a.StatusCode, a.body)
		}
		if got := into[clusterNode](t, f.do("GET", "/v1/cluster/nodes/n2", "")); got.State != c.state {
			t.Errorf("after %s it is %s", c.what, got.State)
		}
		wantProblem(t, f.do("POST", "/v1/cluster/nodes/nope/"+c.what, ""), 404, "not_found", "")
	}
	for _, name := range []string{"n3", "n2"} {
		if a := f.do("DELETE", "/v1/cluster/nodes/"+name, ""); a.StatusCode != http.StatusNoContent {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
	wantProblem(t, f.do("DELETE", "/v1/cluster/nodes/n2", ""), 404, "not_found", "")
	wantProblem(t, f.do("DELETE", "/v1/cluster/nodes/n1", ""), 409, "conflict", "")
}

func TestShards(t *testing.T) {
	f := open(t)
	if a := f.post(t, "/v1/shards/1/transfer", `{"node_id":"n3"}`); a.StatusCode != http.StatusNoContent {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	made := into[shardPlace](t, f.post(t, "/v1/shards", `{"factor":1}`))
	if made.Shard != 2 || made.Factor != 1 || strings.Join(made.Nodes, ",") != "n1" {
		t.Errorf("%+v", made)
	}
	if again := into[shardPlace](t, f.post(t, "/v1/shards", `{}`)); again.Shard != 3 || again.Factor != 3 {
		t.Errorf("%+v", again)
	}
	list := into[shardPlaces](t, f.do("GET", "/v1/shards", ""))
	if len(list.Shards) != 3 || list.Shards[0].Leader != "n3" {
		t.Errorf("%+v", list)
	}
	wantProblem(t, f.post(t, "/v1/shards", `{"factor":2}`), 400, "invalid", "factor")
	wantProblem(t, f.post(t, "/v1/shards", `{"factors":3}`), 400, "invalid", "body")
	wantProblem(t, f.do("POST", "/v1/shards", `{}`), 415, "invalid", "Content-Type")
	wantProblem(t, f.post(t, "/v1/shards/9/transfer", `{"node_id":"n3"}`), 404, "not_found", "shard")
	wantProblem(t, f.post(t, "/v1/shards/1/transfer", `{}`), 400, "invalid", "node_id")
	wantProblem(t, f.post(t, "/v1/shards/x/transfer", `{"node_id":"n3"}`), 400, "invalid", "shard")
}

func TestClusterHeads(t *testing.T) {
	f := open(t)
	for path, status := range map[string]int{
		"/v1/cluster": 200, "/v1/cluster?x=1": 400, "/v1/cluster/nodes/n1": 200, "/v1/cluster/nodes/n1?x=1": 400, "/v1/cluster/nodes/nope": 404,
		"/v1/shards": 200, "/v1/shards?x=1": 400,
	} {
		if a := f.do("HEAD", path, ""); a.StatusCode != status {
			t.Errorf("HEAD %s: %d", path, a.StatusCode)
		}
	}
}

func TestWithoutClusterItIsUnsupported(t *testing.T) {
	f := open(t)
	l := limits.Default()
	f.door.Open(gateway.New(gateway.Options{Shards: gatewaytest.Only(f.shard), Topics: f.topics, Cursors: f.cursors, Limits: &l}))
	wantProblem(t, f.do("GET", "/v1/cluster", ""), 501, "unsupported", "")
	wantProblem(t, f.do("DELETE", "/v1/cluster/nodes/n1", ""), 501, "unsupported", "")
}
