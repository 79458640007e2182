package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gesta-db/gesta/bench/peers/internal/gesta"
	"github.com/gesta-db/gesta/bench/peers/internal/process"
	"github.com/gesta-db/gesta/bench/peers/internal/report"
)

func (b *bench) growth(ctx context.Context) error {
	settings := fmt.Sprintf("%d events to %d streams, 256 callers, fdatasync before the ack", b.growEvents, b.growStreams)
	return b.section(ctx, report.Growth, settings, func(ctx context.Context, s *section) error {
		dir, done, err := b.fresh()
		if err != nil {
			return err
		}
		defer done()
		g := &grown{section: s, dir: dir}
		if g.server, err = gesta.Start(ctx, b.binary, dir); err != nil {
			return err
		}
		defer func() { g.server.Stop() }()
		return g.measure(ctx)
	})
}

// grown is the server whose log grows.
type grown struct {
	*section
	dir    string
	server *gesta.Server
}

// measure goes on after a failure only where the server is there to go on with.
func (g *grown) measure(ctx context.Context) error {
	if err := g.grow(ctx); err != nil {
		return err
	}
	if err := g.try(ctx, "appends beside a small log", g.beside); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{g.clean, g.killed, g.sizes, g.withoutIndex} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// growthFigures are what gesta bench grow prints.
type growthFigures struct {
	Events uint64  `json:"events"`
	Rate   float64 `json:"events_per_second"`
	First  float64 `json:"first_per_second"`
	Last   float64 `json:"last_per_second"`
}

func (g *grown) append(ctx context.Context, s *gesta.Server, events uint64, atMost time.Duration) (f growthFigures, err error) {
	return f, g.ask(ctx, s.GRPC, &f, "grow", "--events", strconv.FormatUint(events, 10), "--streams", strconv.Itoa(g.growStreams), "--at-most", atMost.String())
}

func (g *grown) grow(ctx context.Context) error {
	stop := g.watch(ctx)
	f, err := g.append(ctx, g.server, g.growEvents, g.growTime)
	most := stop()
	if err != nil {
		return err
	}
	if f.Events < g.growEvents {
		g.skip(fmt.Sprintf("the growth was ended after %v, with %d of %d events", g.growTime, f.Events, g.growEvents))
	}
	g.value(1, "events", float64(f.Events))
	g.value(1, "rate", f.Rate)
	g.value(1, "first", f.First)
	g.value(1, "last", f.Last)
	g.value(1, "anon", float64(most)/mib)
	return nil
}

// watch samples the server's memory each second, and tells every ten how far it is. The returned function ends it and gives the
// largest sample.
func (g *grown) watch(ctx context.Context) (stop func() int64) {
	ctx, cancel := context.WithCancel(ctx)
	var most atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := 1; pause(ctx, time.Second) == nil; n++ {
			anon := process.Anon(g.server.Pid())
			most.Store(max(most.Load(), anon))
			if n%10 != 0 {
				continue
			}
			m, _ := g.server.Metrics(ctx) // only to be told
			g.tell("growing", fmt.Sprintf("%.0f events, RssAnon %.0f MiB", m["gesta_shard_last_offset"], float64(anon)/mib))
		}
	}()
	return func() int64 { cancel(); <-ended; return max(most.Load(), process.Anon(g.server.Pid())) }
}

// beside lets the grown server and a small one append in turn.
func (g *grown) beside(ctx context.Context) error {
	return g.serving(ctx, func(ctx context.Context, small *gesta.Server) error {
		if _, err := g.append(ctx, small, min(100_000, g.growEvents), time.Minute); err != nil {
			return err
		}
		for round := range g.rounds {
			for _, of := range []struct {
				what   string
				server *gesta.Server
			}{{"small", small}, {"grown", g.server}} {
				f, err := g.append(ctx, of.server, 1<<40, g.bench.measure)
				if err != nil {
					return err
				}
				g.value(round+1, of.what, f.Rate)
			}
		}
		return nil
	})
}

// clean measures the start after a stop.
func (g *grown) clean(ctx context.Context) error {
	for round := range g.rounds {
		g.server.Stop()
		if err := g.start(ctx, round+1, "ready clean"); err != nil {
			return err
		}
	}
	return nil
}

// killed measures the start after a crash while events come.
func (g *grown) killed(ctx context.Context) error {
	for round := range g.rounds {
		c, err := g.server.Bench(ctx, "grow", "--events", "1000000000", "--streams", strconv.Itoa(g.growStreams))
		if err != nil {
			return err
		}
		err = pause(ctx, 1500*time.Millisecond)
		g.server.Kill()
		c.Stop()
		if err != nil {
			return err
		}
		if err := g.start(ctx, round+1, "ready killed"); err != nil {
			return err
		}
	}
	return nil
}

func (g *grown) start(ctx context.Context, round int, what string) error {
	s, err := gesta.Start(ctx, g.binary, g.dir)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	g.server = s
	g.value(round, what, s.Took.Seconds())
	return nil
}

// sizes compares the index with the log.
func (g *grown) sizes(ctx context.Context) error {
	m, err := g.server.Metrics(ctx)
	if err != nil {
		return err
	}
	index, err := onDisk(filepath.Join(g.dir, "gesta"), func(path string) bool {
		return strings.Contains(path, "/gesta/index/") || strings.HasSuffix(path, ".idx")
	})
	g.value(1, "log", m["gesta_shard_log_bytes"]/mib)
	g.value(1, "index", float64(index)/mib)
	return err
}

// onDisk sums the files that are wanted, those with several names once.
func onDisk(dir string, wanted func(string) bool) (total int64, err error) {
	seen := map[uint64]bool{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !wanted(path) {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && seen[st.Ino] {
			return nil
		} else if ok {
			seen[st.Ino] = true
		}
		total += info.Size()
		return nil
	})
	return total, err
}

// withoutIndex measures the start when the index has been deleted: first the folder, then also the tables that are kept beside the
// segments, so that every segment is read again.
func (g *grown) withoutIndex(ctx context.Context) error {
	tables := func() error {
		all, err := filepath.Glob(filepath.Join(g.dir, "gesta", "shards", "*", "*.idx"))
		for _, path := range all {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
		return err
	}
	for _, of := range []struct {
		what   string
		remove func() error
	}{{"ready no index", func() error { return nil }}, {"ready no tables", tables}} {
		g.server.Stop()
		if err := os.RemoveAll(filepath.Join(g.dir, "gesta", "index")); err != nil {
			return err
		}
		if err := of.remove(); err != nil {
			return err
		}
		if err := g.start(ctx, 1, of.what); err != nil {
			return err
		}
	}
	g.value(1, "progress lines", float64(g.server.Loading))
	g.value(1, "anon ready", float64(process.Anon(g.server.Pid()))/mib)
	return nil
}
