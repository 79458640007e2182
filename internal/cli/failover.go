package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/gesta-db/gesta/internal/bench"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/fleet"
)

type benchFailoverCmd struct {
	output `embed:""`

	Kills int    `placeholder:"N" help:"How often the leader is killed (default 20)."`
	Dir   string `placeholder:"DIR" help:"The folder for the servers' data, which stays (default: a temporary one, which does not)."`
}

// benchNodes lets a run kill and start the servers of a fleet.
type benchNodes struct{ *fleet.Fleet }

func (b benchNodes) Kill(node string) error {
	n, err := b.Find(node)
	if err != nil {
		return err
	}
	return b.Fleet.Kill(n)
}

func (b benchNodes) Start(ctx context.Context, node string) error {
	n, err := b.Find(node)
	if err != nil {
		return err
	}
	if err := b.Fleet.Start(n); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	return b.Ready(ctx, n)
}

func (c *benchFailoverCmd) Run(a *app) error {
	if err := notNegative("kills", c.Kills); err != nil {
		return err
	}
	dir := c.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "gesta-bench-"); err != nil {
			return errs.New(errs.NoSpace, "no folder for the servers: %w", err)
		}
		defer os.RemoveAll(dir)
	}
	const anyPort = "127.0.0.1:0"
	f, err := fleet.New(fleet.Options{Program: a.Program, Args: []string{"--log-level", "error"}, Dir: dir, Nodes: 3, GRPC: anyPort, HTTP: anyPort, Peer: anyPort})
	if err != nil {
		return errs.New(errs.Invalid, "%w", err)
	}
	defer f.Close()
	ready, cancel := context.WithTimeout(a.ctx, readyPatience)
	defer cancel()
	if err := f.StartAll(ready); err != nil {
		return errs.New(errs.Unavailable, "%w", err)
	}
	return a.bench(remote{Addr: f.Addrs(), Timeout: readyPatience}, c.output, func(t bench.Target) (any, bool, []string, error) {
		r, err := bench.Failover(a.ctx, bench.FailoverConfig{Target: t, Nodes: benchNodes{f}, Kills: c.Kills})
		return r, r.Verified, []string{
			"without an append", fmt.Sprintf("p50 %.2f s, worst of %d %.2f s", r.P50, len(r.Gaps), r.Worst),
			"failed calls", thousands(r.Failed),
			"verified", fmt.Sprintf("%s: %s acknowledged, %s found again, %s more than once", yesNo(r.Verified), thousands(r.Acknowledged), thousands(r.Found), thousands(r.Duplicates))}, err
	})
}
