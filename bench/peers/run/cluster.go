package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gesta-db/gesta/bench/peers/internal/gesta"
	"github.com/gesta-db/gesta/bench/peers/internal/load"
	"github.com/gesta-db/gesta/bench/peers/internal/peer"
	"github.com/gesta-db/gesta/bench/peers/internal/report"
)

func (b *bench) cluster(ctx context.Context) error {
	settings := fmt.Sprintf("%d rounds of %v after %v, %d failovers, %d MiB caught up", b.rounds, b.measure, b.warmup, b.failovers, b.catchUp)
	return b.section(ctx, report.Cluster, settings, func(ctx context.Context, s *section) error {
		for round := range b.rounds {
			for _, of := range []struct {
				what string
				work func(context.Context, int) error
			}{{"three nodes", s.threeNodes}, {"etcd with three nodes", s.threeEtcds}, {"one node", s.oneNode}} {
				if err := s.try(ctx, of.what, func(ctx context.Context) error { return of.work(ctx, round+1) }); err != nil {
					return err
				}
			}
		}
		if err := s.try(ctx, "failover", s.failover); err != nil {
			return err
		}
		if err := s.try(ctx, "partitions", s.partitions); err != nil {
			return err
		}
		return s.try(ctx, "catching up", s.catchesUp)
	})
}

// clustered runs work against three fresh nodes.
func (s *section) clustered(ctx context.Context, nodes int, work func(context.Context, *gesta.Cluster) error) error {
	dir, done, err := s.fresh()
	if err != nil {
		return err
	}
	defer done()
	c, err := gesta.StartCluster(ctx, s.binary, dir, nodes)
	if err != nil {
		return err
	}
	defer c.Stop()
	return work(ctx, c)
}

// appended is what gesta bench append prints.
type appended struct {
	Rate    float64 `json:"events_per_second"`
	P99     float64 `json:"p99_ms"`
	PauseMs float64 `json:"longest_pause_ms"`
	Failed  uint64  `json:"failed"`
	First   string  `json:"first_error"`
}

func (s *section) appends(ctx context.Context, addrs string, callers int, more ...string) (a appended, err error) {
	err = s.ask(ctx, addrs, &a, append([]string{"append", "--concurrency", strconv.Itoa(callers), "--size", "256", "--warmup", s.warmup.String(), "--duration", s.bench.measure.String()}, more...)...)
	if err == nil && a.Failed > 0 {
		err = fmt.Errorf("%d appends failed, the first with: %s", a.Failed, a.First)
	}
	return a, err
}

func (s *section) threeNodes(ctx context.Context, round int) error {
	return s.clustered(ctx, 3, func(ctx context.Context, c *gesta.Cluster) error {
		for _, callers := range []int{64, 256} {
			a, err := s.appends(ctx, c.Addrs(), callers)
			if err != nil {
				return err
			}
			s.value(round, fmt.Sprintf("gesta %d", callers), a.Rate)
			s.value(round, fmt.Sprintf("gesta %d p99", callers), a.P99)
		}
		return nil
	})
}

func (s *section) oneNode(ctx context.Context, round int) error {
	return s.serving(ctx, func(ctx context.Context, server *gesta.Server) error {
		a, err := s.appends(ctx, server.GRPC, 256)
		if err != nil {
			return err
		}
		s.value(round, "single 256", a.Rate)
		return nil
	})
}

// threeEtcds lets 64 of the callers work, and then all.
func (s *section) threeEtcds(ctx context.Context, round int) error {
	if !s.peers {
		return nil
	}
	dir, done, err := s.fresh()
	if err != nil {
		return err
	}
	defer done()
	p, err := peer.OpenEtcdCluster(ctx, peer.Setup{Tools: s.tools, Dir: dir, Callers: 256})
	if err != nil {
		return err
	}
	defer p.Close()
	callers, acknowledged := p.Callers(), uint64(0)
	for _, n := range []int{64, 256} {
		r, err := load.Drive(ctx, callers[:n], load.Time{Warmup: s.warmup, Duration: s.bench.measure})
		if err != nil {
			return err
		}
		acknowledged += r.Acknowledged
		s.value(round, fmt.Sprintf("etcd %d", n), r.Rate)
	}
	kept, err := p.Kept(ctx)
	if err == nil && kept != acknowledged {
		err = fmt.Errorf("etcd acknowledged %d and kept %d", acknowledged, kept)
	}
	return err
}

// failover kills the leader under load, again and again.
func (s *section) failover(ctx context.Context) error {
	return s.clustered(ctx, 3, func(ctx context.Context, c *gesta.Cluster) error {
		for round := range s.failovers {
			if err := s.killLeader(ctx, c, round+1); err != nil {
				return err
			}
		}
		return nil
	})
}

const (
	beforeKill = 1200 * time.Millisecond // from the start of the load
	afterKill  = 3 * time.Second
)

func (s *section) killLeader(ctx context.Context, c *gesta.Cluster, round int) error {
	load, err := gesta.Bench(ctx, s.binary, c.Addrs(), "append", "--concurrency", "16", "--warmup", "300ms", "--duration", (beforeKill + afterKill).String())
	if err != nil {
		return err
	}
	leader := 0
	if err = pause(ctx, beforeKill); err == nil {
		leader, err = c.Leader(ctx)
	}
	if err != nil {
		load.Stop()
		return err
	}
	c.Nodes[leader].Kill()
	s.tell("killed", fmt.Sprintf("n%d", leader+1))
	var a appended
	if err := s.take(load, &a); err != nil {
		return err
	}
	s.value(round, "failover", a.PauseMs/1000)
	if a.Failed > 0 {
		s.tell("failed appends", fmt.Sprintf("%d, the first with: %s", a.Failed, a.First))
	}
	if err := c.Restart(ctx, leader); err != nil {
		return err
	}
	return s.level(ctx, c)
}

// level waits until every node has what the leader has.
func (s *section) level(ctx context.Context, c *gesta.Cluster) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("the nodes were not level within a minute"))
	defer cancel()
	for pause(ctx, 100*time.Millisecond) == nil {
		least, most := 1e18, 0.0
		for _, n := range c.Nodes {
			m, _ := n.Metrics(ctx) // one that does not answer is not level
			least, most = min(least, m["gesta_shard_last_offset"]), max(most, m["gesta_shard_last_offset"])
		}
		if least == most && most > 0 {
			return nil
		}
	}
	return context.Cause(ctx)
}

// partitions compares a topic of eight with one of one, in turn.
func (s *section) partitions(ctx context.Context) error {
	if !gesta.Has(ctx, s.binary, "--partitions", "topics", "create") {
		s.skip("this version has no topics of several partitions")
		return nil
	}
	return s.clustered(ctx, 3, func(ctx context.Context, c *gesta.Cluster) error {
		for range 7 { // beside the one that every cluster begins with
			if _, err := c.Nodes[0].Do(ctx, "shards", "add"); err != nil {
				return err
			}
		}
		for round := range s.rounds {
			for _, n := range []string{"1", "8"} {
				a, err := s.appends(ctx, c.Addrs(), 256, "--partitions", n)
				if err != nil {
					return err
				}
				s.value(round+1, "partitions "+n, a.Rate)
			}
		}
		return nil
	})
}

// catchesUp lets a third node join two that hold a log, while events come.
func (s *section) catchesUp(ctx context.Context) error {
	write, err := s.plainWrite()
	if err != nil {
		return err
	}
	s.value(1, "plain write", write)
	return s.clustered(ctx, 2, func(ctx context.Context, c *gesta.Cluster) error {
		if err := s.fillLog(ctx, c); err != nil {
			return err
		}
		load, err := gesta.Bench(ctx, s.binary, c.Addrs(), "append", "--concurrency", "64", "--duration", "10m", "--no-verify")
		if err != nil {
			return err
		}
		defer load.Stop()
		return s.joins(ctx, c)
	})
}

// plainWrite probes the disk with a file as large as four segments, in MiB/s.
func (s *section) plainWrite() (float64, error) {
	path := filepath.Join(s.data, "plain")
	defer os.Remove(path)
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	const times = 256
	chunk := make([]byte, mib)
	for i := range chunk {
		chunk[i] = byte(i * 7)
	}
	began := time.Now()
	for range times {
		if _, err := f.Write(chunk); err != nil {
			return 0, err
		}
	}
	err = f.Sync()
	return times / time.Since(began).Seconds(), err
}

func (s *section) fillLog(ctx context.Context, c *gesta.Cluster) error {
	for {
		var a appended
		if err := s.ask(ctx, c.Addrs(), &a, "append", "--batch", "1000", "--in-flight", "8", "--warmup", "0s", "--duration", "1s", "--no-verify"); err != nil {
			return err
		}
		m, err := c.Nodes[0].Metrics(ctx)
		if err != nil || m["gesta_shard_log_bytes"] >= float64(s.catchUp*mib) {
			return err
		}
		s.tell("filling", fmt.Sprintf("%.0f MiB", m["gesta_shard_log_bytes"]/mib))
	}
}

// joins measures the appends before a node joins, and from its first byte until it has everything.
func (s *section) joins(ctx context.Context, c *gesta.Cluster) error {
	if err := pause(ctx, 2*s.warmup); err != nil {
		return err
	}
	leader, err := c.Leader(ctx)
	if err != nil {
		return err
	}
	before, err := s.paced(ctx, c.Nodes[leader], func() error { return pause(ctx, s.bench.measure) })
	if err != nil {
		return err
	}
	node, err := c.Join(ctx, s.binary)
	if err != nil {
		return err
	}
	if _, err := s.until(ctx, node, "gesta_shard_log_bytes", func(context.Context) (float64, error) { return 1, nil }); err != nil {
		return err
	}
	began, bytes := time.Now(), 0.0
	meanwhile, err := s.paced(ctx, c.Nodes[leader], func() (err error) {
		bytes, err = s.until(ctx, node, "gesta_shard_last_offset", func(ctx context.Context) (float64, error) {
			m, err := c.Nodes[leader].Metrics(ctx)
			return m["gesta_shard_last_offset"], err
		})
		return err
	})
	took := time.Since(began)
	if err != nil {
		return err
	}
	s.value(1, "log caught up", bytes/mib)
	s.value(1, "catch-up", bytes/mib/took.Seconds())
	s.value(1, "appends before", before)
	s.value(1, "appends meanwhile", meanwhile)
	return nil
}

// paced is how many events a second a node got while work was done.
func (s *section) paced(ctx context.Context, n *gesta.Server, work func() error) (float64, error) {
	from, err := n.Metrics(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := work(); err != nil {
		return 0, err
	}
	to, err := n.Metrics(ctx)
	return (to["gesta_shard_last_offset"] - from["gesta_shard_last_offset"]) / time.Since(began).Seconds(), err
}

// until waits for a node's metric to reach what is wanted at the moment, and gives the bytes of its log then.
func (s *section) until(ctx context.Context, n *gesta.Server, metric string, wanted func(context.Context) (float64, error)) (float64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, fmt.Errorf("the new node did not catch up within two minutes"))
	defer cancel()
	for pause(ctx, 20*time.Millisecond) == nil {
		want, err := wanted(ctx)
		if err != nil {
			return 0, err
		}
		if m, err := n.Metrics(ctx); err == nil && m[metric] >= want {
			return m["gesta_shard_log_bytes"], nil
		}
	}
	return 0, context.Cause(ctx)
}
