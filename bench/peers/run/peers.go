package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/gesta-db/gesta/bench/peers/internal/peer"
	"github.com/gesta-db/gesta/bench/peers/internal/report"
)

// beside measures every peer with that many callers. One that does not work here is skipped, and the page says so.
func (b *bench) beside(callers int, work string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, k := range b.kinds {
			s, err := b.peer(ctx, k, callers)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				b.skip(fmt.Sprintf("%s with %d callers", k.Title, callers), err)
				continue
			}
			s.System, s.Work = k.Name, work
			b.add(s)
		}
		return nil
	}
}

func (b *bench) peer(ctx context.Context, k peer.Kind, callers int) (s report.Sample, err error) {
	dir, done, err := b.fresh()
	if err != nil {
		return s, err
	}
	defer done()
	p, err := k.Open(ctx, peer.Setup{Tools: b.tools, Dir: dir, Callers: callers})
	if err != nil {
		return s, err
	}
	defer p.Close()
	if s, err = b.drive(ctx, p.Callers(), meter{servers: p.Pids()}); err != nil {
		return s, err
	}
	s.Kept, err = p.Kept(ctx)
	s.Verified = s.Kept == s.Acknowledged
	return s, err
}

// noCluster keeps Debian's packages from starting a server of their own.
const noCluster = "/etc/postgresql-common/createcluster.conf"

// installPostgres installs PostgreSQL where it is missing and we may; otherwise it is skipped later, with the reason.
func (b *bench) installPostgres(ctx context.Context) {
	if peer.PostgresBin() != "" || os.Getuid() != 0 {
		return
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return
	}
	if err := b.aptInstall(ctx); err != nil {
		b.skip("installing postgresql-15", err)
	}
}

func (b *bench) aptInstall(ctx context.Context) error {
	b.say("postgres", "installing", "apt-get install postgresql-15")
	if _, err := os.Stat(noCluster); os.IsNotExist(err) {
		if err := os.MkdirAll(filepath.Dir(noCluster), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(noCluster, []byte("create_main_cluster = false\n"), 0o644); err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", "postgresql-15"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}
