package cli

import (
	"cmp"
	"strings"
	"time"

	"github.com/gesta-db/gesta/client"
)

type statusCmd struct {
	remote `embed:""`
	output `embed:""`
}

func (c *statusCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	s, err := server.Status(a.ctx)
	if err != nil {
		return err
	}
	if s.Version != a.Version {
		a.note("the server is of version %s, this command of %s", s.Version, a.Version)
	}
	if c.json() {
		return a.printJSON(s)
	}
	if err := a.facts(c.output,
		"address", s.Addr,
		"node", s.NodeID,
		"cluster", s.ClusterID,
		"version", s.Version,
		"up", s.Uptime.Truncate(time.Second).String(),
		"ready", readiness(s),
		"topics", thousands(uint64(s.Topics)),
		"disk free", bytesText(s.DiskFreeBytes)+", appends stop below "+bytesText(s.DiskFloorBytes)); err != nil {
		return err
	}
	if _, err := a.Out.Write([]byte{'\n'}); err != nil {
		return err
	}
	return a.printShards(c.output, s.Shards)
}

func readiness(s client.Status) string {
	if s.Ready {
		return "yes"
	}
	return "no: " + strings.Join(s.Reasons, "; ")
}

func (a *app) printShards(o output, shards []client.ShardStatus) error {
	t := newTable(a.Out, o.width(a.World), column{title: "shard", right: true}, column{title: "role"}, column{title: "leader"}, column{title: "term", right: true},
		column{title: "events", right: true}, column{title: "to apply", right: true}, column{title: "segments", right: true},
		column{title: "unsealed", right: true}, column{title: "log", right: true}, column{title: "index", right: true})
	for _, s := range shards {
		if err := t.row(number(uint64(s.Shard)), s.Role, cmp.Or(s.Leader, "-"), number(s.Term), thousands(s.LastOffset), number(s.CommitIndex-min(s.AppliedIndex, s.CommitIndex)),
			number(s.Segments), number(s.UnsealedSegments), bytesText(s.LogBytes), bytesText(s.IndexBytes)); err != nil {
			return err
		}
	}
	return t.flush()
}
