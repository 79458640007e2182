package cli

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/gesta-db/gesta/client"
)

type clusterCmd struct {
	Status   clusterStatusCmd   `cmd:"" help:"Tell how the nodes of a cluster are."`
	Remove   clusterRemoveCmd   `cmd:"" help:"Take a node out of the cluster for good, alive or dead."`
	Drain    clusterDrainCmd    `cmd:"" help:"Let a node lead nothing and get no new replica."`
	Undrain  clusterUndrainCmd  `cmd:"" help:"End the draining of a node."`
	Transfer clusterTransferCmd `cmd:"" help:"Let a node lead a shard."`
}

// Help is the long form of gesta cluster --help.
func (clusterCmd) Help() string {
	return `Every node of the cluster answers, and takes every change. A change is written down when the command ends, and carried out within a
second or so: "gesta cluster status" shows how far it is. Nodes are added by starting them with --join.`
}

type clusterStatusCmd struct {
	remote `embed:""`
	output `embed:""`
}

type clusterRemoveCmd struct {
	remote `embed:""`
	output `embed:""`
	Node   string `arg:"" help:"The node's id."`
}

type clusterDrainCmd struct {
	remote `embed:""`
	output `embed:""`
	Node   string `arg:"" help:"The node's id."`
}

type clusterUndrainCmd struct {
	remote `embed:""`
	output `embed:""`
	Node   string `arg:"" help:"The node's id."`
}

type clusterTransferCmd struct {
	remote `embed:""`
	output `embed:""`
	Shard  uint32 `arg:"" help:"The shard's number; 0 is the meta group."`
	Node   string `arg:"" help:"The id of the node that is to lead it."`
}

func (c *clusterStatusCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	s, err := server.Cluster(a.ctx)
	if err != nil {
		return err
	}
	if c.json() {
		return a.printJSON(s)
	}
	t := newTable(a.Out, c.width(a.World), column{title: "node"}, column{title: "zone"}, column{title: "version", min: 8}, column{title: "address"}, column{title: "state"},
		column{title: "leads"}, column{title: "lag", right: true}, column{title: "disk free", right: true}, column{title: "clock", right: true}, column{title: "heard", right: true})
	for _, n := range s.Nodes {
		if err := t.row(nodeRow(n, s.NodeID)...); err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, n := range s.Nodes {
		for _, why := range n.Reasons {
			a.note("%s: %s", n.NodeID, why)
		}
	}
	return nil
}

// nodeRow is a node as the one that answers knows it. What it does not know is a dash.
func nodeRow(n client.ClusterNode, answers string) []string {
	heard, clock := "never", "-"
	switch {
	case n.NodeID == answers:
		heard, clock = "here", "0s"
	case !n.Heard.IsZero():
		heard = time.Since(n.Heard).Round(time.Second).String() + " ago"
		clock = milliseconds(n.ClockOffset)
	}
	lag, free := "-", "-"
	if len(n.Replicas) > 0 {
		lag = thousands(farthest(n.Replicas))
		free = bytesText(n.DiskFreeBytes)
	}
	return []string{n.NodeID, cmp.Or(n.Zone, "-"), n.Version, n.GRPCAddress, strings.ReplaceAll(n.State, "_", " "), leads(n.Replicas), lag, free, clock, heard}
}

func milliseconds(d time.Duration) string {
	return d.Round(time.Millisecond).String()
}

// farthest is how many entries the replica is behind that is farthest behind.
func farthest(replicas []client.ClusterReplica) (lag uint64) {
	for _, r := range replicas {
		lag = max(lag, r.Lag)
	}
	return lag
}

// leads names the groups that a node leads.
func leads(replicas []client.ClusterReplica) string {
	var names []string
	replicas = slices.Clone(replicas)
	slices.SortFunc(replicas, func(a, b client.ClusterReplica) int { return cmp.Compare(a.Shard, b.Shard) })
	for _, r := range replicas {
		if r.Role == "leader" && r.Shard == 0 {
			names = append(names, "meta")
		} else if r.Role == "leader" {
			names = append(names, number(uint64(r.Shard)))
		}
	}
	return cmp.Or(strings.Join(names, ", "), "-")
}

// clusterChange is what -o json prints.
type clusterChange struct {
	NodeID string  `json:"node_id"`
	Done   string  `json:"done"`
	Shard  *uint32 `json:"shard,omitempty"`
}

// change makes one change and says so.
func (a *app) change(r remote, o output, told clusterChange, says string, do func(*client.Client) error) error {
	server, err := a.connect(r)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := do(server); err != nil {
		return a.nodeHint(err)
	}
	if o.json() {
		return a.printJSON(told)
	}
	a.note("%s", says)
	return nil
}

func (a *app) nodeHint(err error) error {
	if client.CodeOf(err) == client.CodeNotFound {
		return withHint(err, `"gesta cluster status" lists the nodes, "gesta shards list" the shards`)
	}
	return err
}

func (c *clusterRemoveCmd) Run(a *app) error {
	return a.change(c.remote, c.output, clusterChange{NodeID: c.Node, Done: "removed"}, "removed node "+c.Node+"; its replicas move to other nodes",
		func(s *client.Client) error { return s.RemoveNode(a.ctx, c.Node) })
}

func (c *clusterDrainCmd) Run(a *app) error {
	return a.change(c.remote, c.output, clusterChange{NodeID: c.Node, Done: "draining"}, "node "+c.Node+" drains: it hands over what it leads, and gets no new replica",
		func(s *client.Client) error { return s.DrainNode(a.ctx, c.Node, true) })
}

func (c *clusterUndrainCmd) Run(a *app) error {
	return a.change(c.remote, c.output, clusterChange{NodeID: c.Node, Done: "undrained"}, "node "+c.Node+" drains no more",
		func(s *client.Client) error { return s.DrainNode(a.ctx, c.Node, false) })
}

func (c *clusterTransferCmd) Run(a *app) error {
	return a.change(c.remote, c.output, clusterChange{NodeID: c.Node, Done: "transferred", Shard: &c.Shard}, groupText(c.Shard)+" is to be led by node "+c.Node,
		func(s *client.Client) error { return s.TransferShard(a.ctx, c.Shard, c.Node) })
}

func groupText(shard uint32) string {
	if shard == 0 {
		return "the meta group"
	}
	return "shard " + number(uint64(shard))
}

type shardsCmd struct {
	List shardsListCmd `cmd:"" help:"List the shards and where their replicas are to be."`
	Add  shardsAddCmd  `cmd:"" help:"Make one more shard."`
}

type shardsListCmd struct {
	remote `embed:""`
	output `embed:""`
}

type shardsAddCmd struct {
	remote   `embed:""`
	output   `embed:""`
	Replicas uint32 `placeholder:"N" help:"How many replicas: 1, 3 or 5 (default: what the server was started with)."`
}

func (c *shardsListCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	shards, err := server.Shards(a.ctx)
	if err != nil {
		return err
	}
	return a.printPlaces(c.output, shards)
}

func (a *app) printPlaces(o output, shards []client.Shard) error {
	l := newListing(a, o, 0, "shards", column{title: "shard", right: true}, column{title: "leader"}, column{title: "replicas"}, column{title: "wanted", right: true}, column{title: "created"})
	for _, s := range shards {
		if _, err := l.add(s, number(uint64(s.Shard)), cmp.Or(s.Leader, "-"), strings.Join(s.NodeIDs, ", "), number(uint64(s.Factor)), timeText(s.Created)); err != nil {
			return err
		}
	}
	return l.end("no shards yet: the cluster is being founded")
}

func (c *shardsAddCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	s, err := server.AddShard(a.ctx, c.Replicas)
	if err != nil {
		return err
	}
	return a.printPlaces(c.output, []client.Shard{s})
}
