// Command run measures Gesta against its bars and beside other databases, in parts, and writes benchmarks.md (the block of
// figures), benchmarks.json and benchmarks.svg after each of them. Parts that are not measured keep the figures that the JSON has.
// A part that fails, or is interrupted, is noted with what it came to, and the next one is measured all the same. Every server listens on loopback, keeps its data in a folder that is removed, and
// is ended by its process id. It knows the product only by its binary.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// config is what the flags say.
type config struct {
	binary  string // of Gesta
	tools   string // folder of the peers' servers
	dir     string // folder for data, on the disk that is measured
	out     string // folder for the results
	rounds  int
	warmup  time.Duration
	measure time.Duration
	probe   time.Duration // of each half of a probe of the disk
	idle    time.Duration // before memory is read
	streams int           // of the work that loads streams
	peers   bool
	quick   bool

	only         string        // the parts, with commas between; "": all
	growEvents   uint64        // of the log that grows
	growStreams  int           // that they go to
	growTime     time.Duration // at most, for the growth alone
	filterEvents int
	failovers    int
	catchUp      int64 // MiB that a new node catches up
	entities     int   // that are touched once
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = execute(ctx, cfg)
	}
	if err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (config, error) {
	var c config
	set := flag.NewFlagSet("bench/run", flag.ContinueOnError)
	set.StringVar(&c.binary, "gesta", "bin/gesta", "the `binary` that is measured")
	set.StringVar(&c.tools, "tools", "bin/bench", "`folder` of the peers' servers")
	set.StringVar(&c.dir, "dir", "bin/bench", "`folder` for data, on the disk that is measured")
	set.StringVar(&c.out, "out", "docs", "`folder` for benchmarks.md, .json and .svg; a quick run writes to bin/bench")
	set.StringVar(&c.only, "only", "", "the `parts` to measure, with commas between: "+strings.Join(names(), ", ")+"; the others keep their figures")
	set.IntVar(&c.rounds, "rounds", 3, "how often everything is measured")
	set.DurationVar(&c.warmup, "warmup", 700*time.Millisecond, "before each measurement")
	set.DurationVar(&c.measure, "measure", 2500*time.Millisecond, "of each measurement")
	set.IntVar(&c.streams, "streams", 200_000, "streams of 10 events, of which single ones are loaded")
	set.Uint64Var(&c.growEvents, "grow-events", 20_000_000, "events of the log that grows")
	set.IntVar(&c.growStreams, "grow-streams", 2_000_000, "streams that they go to")
	set.DurationVar(&c.growTime, "grow-time", 170*time.Second, "ends the growth before all are there")
	set.IntVar(&c.filterEvents, "filter-events", 1_000_000, "events of which one in 1,000 is looked for")
	set.IntVar(&c.failovers, "failover-rounds", 5, "how often the leader of three nodes is killed")
	set.Int64Var(&c.catchUp, "catch-up", 512, "`MiB` of log that a new node catches up")
	set.IntVar(&c.entities, "entities", 200_000, "entities that are touched once")
	set.BoolVar(&c.peers, "peers", true, "measure the other databases too")
	set.BoolVar(&c.quick, "quick", false, "one short round, to see that everything works")
	if err := set.Parse(args); err != nil {
		return c, err
	}
	c.probe, c.idle = 1500*time.Millisecond, 3*time.Second
	if c.quick {
		c.rounds, c.warmup, c.measure, c.probe, c.idle, c.streams = 1, 200*time.Millisecond, time.Second, 200*time.Millisecond, 500*time.Millisecond, 2_000
		c.growEvents, c.growStreams, c.filterEvents, c.failovers, c.catchUp, c.entities = 300_000, 30_000, 50_000, 1, 96, 2_000
		c.out = "bin/bench"
	}
	if c.rounds < 1 || c.measure <= 0 {
		return c, errors.New("there must be a round, and something to measure in it")
	}
	for name := range strings.SplitSeq(c.only, ",") {
		if c.only != "" && !slices.Contains(names(), name) {
			return c, fmt.Errorf("there is no part %q: choose of %s", name, strings.Join(names(), ", "))
		}
	}
	return c, c.absolute()
}

// absolute makes the paths independent of the folder that a server is started in.
func (c *config) absolute() (err error) {
	for _, path := range []*string{&c.binary, &c.tools, &c.dir, &c.out} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	return nil
}
