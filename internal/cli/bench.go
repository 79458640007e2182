package cli

import (
	"fmt"
	"time"

	"github.com/gesta-db/gesta/internal/bench"
	"github.com/gesta-db/gesta/internal/errs"
)

type benchCmd struct {
	Append   benchAppendCmd   `cmd:"" help:"Append as fast as the acknowledgements come, then count the events again in the log."`
	Execute  benchExecuteCmd  `cmd:"" help:"Send commands to entities that this process serves, beside plain appends, then count the events."`
	Read     benchReadCmd     `cmd:"" help:"Read a whole shard with one reader."`
	Load     benchLoadCmd     `cmd:"" help:"Load random cold streams, one after another."`
	Grow     benchGrowCmd     `cmd:"" help:"Let a log grow, and tell how the rate at its end compares with that at its beginning."`
	Filter   benchFilterCmd   `cmd:"" help:"Read one type, one tag and one topic of many, beside everything."`
	SSE      benchSSECmd      `cmd:"" name:"sse" help:"Open many followers by HTTP, and measure what they cost while nothing happens."`
	Failover benchFailoverCmd `cmd:"" help:"Start three servers and kill the leader again and again: how long no append succeeds."`
	Disk     benchDiskCmd     `cmd:"" help:"Probe a disk: how often it syncs, how fast it fills and writes."`
}

// Help is the long form of gesta bench --help.
func (benchCmd) Help() string {
	return `What is written goes to topics that begin with "bench", which stay. The exit code is 1 when the result could not be verified.`
}

type benchAppendCmd struct {
	remote `embed:""`
	output `embed:""`

	Topic       string        `placeholder:"TOPIC" help:"Where the events go (default bench)."`
	Concurrency int           `placeholder:"N" help:"Callers, each waiting for its acknowledgement (default 256; 1 with --batch)."`
	Size        int           `placeholder:"BYTES" help:"Payload of an event (default 256)."`
	Batch       int           `placeholder:"N" help:"Events of a commit (default 1)."`
	InFlight    int           `placeholder:"N" help:"Commits a caller has under way at once (default 1; 8 with --batch)."`
	Streams     int           `placeholder:"N" help:"Streams the events go to (default 100,000)."`
	Partitions  int           `placeholder:"N" help:"Of the topic, which is then another one for each N (default 1)."`
	Duration    time.Duration `placeholder:"TIME" help:"Of the measurement (default 10s)."`
	Warmup      time.Duration `default:"2s" placeholder:"TIME" help:"Before it (default 2s)."`
	Expect      bool          `help:"Expect each stream's exact revision."`
	NoVerify    bool          `help:"Do not count the events again."`
}

type benchExecuteCmd struct {
	remote `embed:""`
	output `embed:""`

	Concurrency int           `placeholder:"N" help:"Callers, each waiting for its answer (default 256)."`
	Entities    int           `placeholder:"N" help:"Entities the commands go to (default 10,000)."`
	Size        int           `placeholder:"BYTES" help:"Payload of a command and of its event (default 256)."`
	Duration    time.Duration `placeholder:"TIME" help:"Of the measurement (default 10s)."`
	Warmup      time.Duration `default:"2s" placeholder:"TIME" help:"Before it (default 2s)."`
	Once        bool          `help:"Send each entity one command, however long it takes."`
	Cold        int           `placeholder:"EVENTS" help:"Make 20 entities of so many events, and load them anew from random points of their past."`
	NoHandler   bool          `help:"Another process serves the kind."`
	NoAppends   bool          `help:"Do not measure plain appends beside."`
}

type benchReadCmd struct {
	remote `embed:""`
	output `embed:""`

	Shard uint32 `default:"1" placeholder:"N" help:"The shard (default 1)."`
	Limit uint64 `placeholder:"N" help:"End after N events."`
}

type benchLoadCmd struct {
	remote `embed:""`
	output `embed:""`

	Streams     int           `placeholder:"N" help:"Streams to choose from (default 200,000); those that lack are written first."`
	Events      int           `placeholder:"N" help:"Events of each stream (default 10)."`
	Size        int           `placeholder:"BYTES" help:"Payload of an event (default 256)."`
	Concurrency int           `placeholder:"N" help:"Callers (default 1)."`
	Duration    time.Duration `placeholder:"TIME" help:"Of the measurement (default 10s)."`
}

type benchSSECmd struct {
	remote `embed:""`
	output `embed:""`

	HTTP     string        `name:"http" default:"127.0.0.1:7080" placeholder:"HOST:PORT" help:"The server's HTTP address (default 127.0.0.1:7080)."`
	Readers  int           `placeholder:"N" help:"Streams of server-sent events, each on a connection of its own (default 1,000)."`
	Duration time.Duration `placeholder:"TIME" help:"For how long nothing happens (default 10s)."`
}

type benchDiskCmd struct {
	output `embed:""`

	Dir       string        `default:"." placeholder:"DIR" help:"The folder whose disk is meant (default: this one)."`
	FileBytes int64         `placeholder:"BYTES" help:"Size of the file (default 64 MiB, a segment)."`
	Duration  time.Duration `placeholder:"TIME" help:"Of each of the two measurements (default 3s)."`
}

func (c *benchAppendCmd) Run(a *app) error {
	if err := notNegative("concurrency", c.Concurrency, "size", c.Size, "batch", c.Batch, "in-flight", c.InFlight, "streams", c.Streams, "partitions", c.Partitions); err != nil {
		return err
	}
	return a.bench(c.remote, c.output, func(t bench.Target) (any, bool, []string, error) {
		r, err := bench.Append(a.ctx, bench.AppendConfig{Target: t, Topic: c.Topic, Concurrency: c.Concurrency, Size: c.Size, Batch: c.Batch, InFlight: c.InFlight,
			Streams: c.Streams, Partitions: c.Partitions, Duration: c.Duration, Warmup: warmup(c.Warmup), Expect: c.Expect, NoVerify: c.NoVerify})
		return r, r.Verified || c.NoVerify && r.Failed == 0, append(
			[]string{"events/s", perSecond(r.EventsPerSecond), "MiB/s", fmt.Sprintf("%.1f", r.MiBPerSecond)},
			append(latencies("commits", r.Latency),
				"events", thousands(r.Events)+" in "+fmt.Sprintf("%.1f s", r.Seconds),
				"verified", verifiedAppends(r, c.NoVerify))...), err
	})
}

func (c *benchExecuteCmd) Run(a *app) error {
	if err := notNegative("concurrency", c.Concurrency, "entities", c.Entities, "size", c.Size, "cold", c.Cold); err != nil {
		return err
	}
	return a.bench(c.remote, c.output, func(t bench.Target) (any, bool, []string, error) {
		r, err := bench.Execute(a.ctx, bench.ExecuteConfig{Target: t, Concurrency: c.Concurrency, Entities: c.Entities, Size: c.Size, Duration: c.Duration,
			Warmup: warmup(c.Warmup), Once: c.Once, Cold: c.Cold, NoHandler: c.NoHandler, NoAppends: c.NoAppends})
		what := "commands"
		if c.Cold > 0 {
			what = "loads"
		}
		facts := append([]string{what + "/s", perSecond(r.CommandsPerSecond)}, latencies(what, r.Latency)...)
		if r.Appends > 0 {
			facts = append(facts, "plain appends/s", fmt.Sprintf("%s: commands are %.0f %% of that", perSecond(r.Appends), 100*r.Share))
		}
		return r, r.Verified, append(facts, what, thousands(r.Commands)+" in "+fmt.Sprintf("%.1f s", r.Seconds), "verified", verifiedCommands(r)), err
	})
}

func verifiedCommands(r bench.ExecuteResult) string {
	text := fmt.Sprintf("%s: %s acknowledged, %s events found", yesNo(r.Verified), thousands(r.Acknowledged), thousands(r.Found))
	if r.Failed > 0 {
		text += fmt.Sprintf("; %s failed, the first with: %s", count(r.Failed, "command"), r.FirstError)
	}
	return text
}

// warmup: 0 asks for none, which the bench writes as a negative time.
func warmup(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func verifiedAppends(r bench.AppendResult, skipped bool) string {
	text := fmt.Sprintf("%s: %s acknowledged, %s found again, %s more than once", yesNo(r.Verified), thousands(r.Acknowledged), thousands(r.Found), thousands(r.Duplicates))
	if skipped {
		text = "not asked for"
	}
	if r.Failed > 0 {
		text += fmt.Sprintf("; %s failed, the first with: %s", count(r.Failed, "commit"), r.FirstError)
	}
	return text
}

func (c *benchReadCmd) Run(a *app) error {
	return a.bench(c.remote, c.output, func(t bench.Target) (any, bool, []string, error) {
		r, err := bench.Read(a.ctx, bench.ReadConfig{Target: t, Shard: c.Shard, Limit: c.Limit})
		return r, r.Verified, []string{
			"events/s", perSecond(r.EventsPerSecond), "MiB/s", fmt.Sprintf("%.1f", r.MiBPerSecond), "first event", fmt.Sprintf("%.2f ms", r.FirstMs),
			"events", thousands(r.Events) + " in " + fmt.Sprintf("%.1f s", r.Seconds),
			"verified", yesNo(r.Verified) + ": offsets without a gap"}, err
	})
}

func (c *benchLoadCmd) Run(a *app) error {
	if err := notNegative("streams", c.Streams, "events", c.Events, "size", c.Size, "concurrency", c.Concurrency); err != nil {
		return err
	}
	return a.bench(c.remote, c.output, func(t bench.Target) (any, bool, []string, error) {
		r, err := bench.Load(a.ctx, bench.LoadConfig{Target: t, Streams: c.Streams, Events: c.Events, Size: c.Size, Concurrency: c.Concurrency, Duration: c.Duration})
		return r, r.Verified, append(
			[]string{"streams/s", perSecond(r.StreamsPerSecond), "events/s", perSecond(r.EventsPerSecond)},
			append(latencies("loads", r.Latency),
				"loads", thousands(r.Loads)+" in "+fmt.Sprintf("%.1f s", r.Seconds),
				"verified", yesNo(r.Verified)+": every stream had its events, in order")...), err
	})
}

func (c *benchSSECmd) Run(a *app) error {
	if err := notNegative("readers", c.Readers); err != nil {
		return err
	}
	return a.bench(c.remote, c.output, func(t bench.Target) (any, bool, []string, error) {
		r, err := bench.SSE(a.ctx, bench.SSEConfig{Target: t, HTTP: c.HTTP, Readers: c.Readers, Duration: c.Duration})
		return r, r.Verified, []string{
			"followers", thousands(uint64(r.Readers)) + fmt.Sprintf(", all following after %.2f s", r.OpenSeconds),
			"memory", fmt.Sprintf("%.1f MiB more than before, %.1f MiB in all", r.MemoryMiB, r.ServerMiB),
			"CPU", fmt.Sprintf("%.2f %% of a core while nothing happened", r.CPUPercent),
			"an event to all", fmt.Sprintf("%.1f ms", r.DeliverMs),
			"verified", yesNo(r.Verified) + ": every follower got it"}, err
	})
}

func (c *benchDiskCmd) Run(a *app) error {
	r, err := bench.Disk(a.ctx, bench.DiskConfig{Dir: c.Dir, FileBytes: c.FileBytes, Duration: c.Duration})
	if err != nil {
		return err
	}
	return a.printBench(c.output, r, r.Verified, append(
		[]string{"fdatasync/s", perSecond(r.SyncsPerSecond) + ", each after 4 KiB over zeros", "fill+write", fmt.Sprintf("%.0f MiB/s, zeros and then the bytes, synced", r.FillMiBPerSec)},
		append(latencies("syncs", r.Latency), "verified", yesNo(r.Verified)+": read back")...))
}

// bench runs a measurement against a server, with a progress line while it lasts.
func (a *app) bench(r remote, o output, run func(bench.Target) (result any, verified bool, facts []string, err error)) error {
	options, err := a.clientOptions(r)
	if err != nil {
		return err
	}
	p := startProgress(a.World, "", "")
	result, verified, facts, err := run(bench.Target{Client: options, Progress: func(phase bench.Phase, done, total uint64) {
		p.setPhase(string(phase), int64(done), shareOf(int64(done), total))
	}})
	p.finish()
	if err != nil {
		return err
	}
	return a.printBench(o, result, verified, facts)
}

func (a *app) printBench(o output, result any, verified bool, facts []string) error {
	var err error
	if o.json() {
		err = a.printJSON(result)
	} else {
		err = a.facts(o, facts...)
	}
	if err == nil && !verified {
		err = errs.New(errs.Internal, "the result could not be verified")
	}
	return err
}

func latencies(what string, l bench.Latency) []string {
	return []string{"latency of " + what, fmt.Sprintf("p50 %.2f ms, p90 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms", l.P50, l.P90, l.P99, l.P999, l.Max)}
}

func perSecond(rate float64) string { return thousands(uint64(rate + 0.5)) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}

// notNegative checks pairs of a flag's name and its value.
func notNegative(pairs ...any) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1].(int) < 0 {
			return errs.New(errs.Invalid, "--%s is below zero", pairs[i]).With("field", pairs[i].(string))
		}
	}
	return nil
}
