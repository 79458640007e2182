// Command run measures Gesta against its bars and beside other databases, in rounds, and writes benchmarks.md (the block of
// figures), benchmarks.json and benchmarks.svg. Every server listens on loopback, keeps its data in a folder that is removed, and
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
	set.IntVar(&c.rounds, "rounds", 3, "how often everything is measured")
	set.DurationVar(&c.warmup, "warmup", 2*time.Second, "before each measurement")
	set.DurationVar(&c.measure, "measure", 6*time.Second, "of each measurement")
	set.IntVar(&c.streams, "streams", 200_000, "streams of 10 events, of which single ones are loaded")
	set.BoolVar(&c.peers, "peers", true, "measure the other databases too")
	set.BoolVar(&c.quick, "quick", false, "one short round, to see that everything works")
	if err := set.Parse(args); err != nil {
		return c, err
	}
	c.probe, c.idle = 1500*time.Millisecond, 3*time.Second
	if c.quick {
		c.rounds, c.warmup, c.measure, c.probe, c.idle, c.streams = 1, 200*time.Millisecond, time.Second, 200*time.Millisecond, 500*time.Millisecond, 2_000
		c.out = "bin/bench"
	}
	if c.rounds < 1 || c.measure <= 0 {
		return c, errors.New("there must be a round, and something to measure in it")
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
