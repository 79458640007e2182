package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/gesta-db/gesta/client"
)

// GrowConfig says how large a log to make. Zero values take the defaults in brackets.
type GrowConfig struct {
	Target
	Events      uint64        // single-event commits [20,000,000]
	Streams     int           // that they go to, uniformly; further runs go to the same ones [2,000,000]
	Concurrency int           // callers, each waiting for its acknowledgement [256]
	Size        int           // payload bytes of an event [256]
	AtMost      time.Duration // ends it before all are there; 0: never
}

// GrowResult is how the rate went while the log grew.
type GrowResult struct {
	Events          uint64   `json:"events"` // acknowledged
	Streams         int      `json:"streams"`
	Concurrency     int      `json:"concurrency"`
	Size            int      `json:"size"`
	Seconds         float64  `json:"seconds"`
	EventsPerSecond float64  `json:"events_per_second"`
	First           float64  `json:"first_per_second"` // over the window that begins with event number 100,000
	Last            float64  `json:"last_per_second"`  // over the last window
	Window          float64  `json:"window_seconds"`   // of either
	Rates           []uint64 `json:"rates"`            // events of each second
	Latency                  // of commits
	Failed          uint64   `json:"failed"`
	FirstError      string   `json:"first_error,omitempty"`
	Topic           uint64   `json:"topic_events"` // that the topic got meanwhile, by its own count
	Verified        bool     `json:"verified"`     // nothing failed, and the topic got what was acknowledged
}

const (
	growTopic  = "bench-grow"
	growBegin  = 100_000         // the event at which the first window begins
	growWindow = 5 * time.Second // or a fifth of the run where that is less
	growSample = 100 * time.Millisecond
)

// Grow appends so many events, and tells how the rate at the end compares with that at the beginning.
func Grow(ctx context.Context, cfg GrowConfig) (GrowResult, error) {
	cfg.Events, cfg.Streams = or(cfg.Events, 20_000_000), or(cfg.Streams, 2_000_000)
	load := AppendConfig{Target: cfg.Target, Topic: growTopic, Concurrency: cfg.Concurrency, Size: cfg.Size, Streams: cfg.Streams, NoVerify: true}
	if err := load.fill(); err != nil {
		return GrowResult{}, err
	}
	c, err := cfg.open()
	if err != nil {
		return GrowResult{}, err
	}
	defer c.Close()
	before, err := c.CreateTopic(ctx, growTopic)
	if client.CodeOf(err) == client.CodeExists {
		before, err = c.Topic(ctx, growTopic)
	}
	if err != nil {
		return GrowResult{}, err
	}
	g := &growing{appendRun: newAppendRun(load, c), cfg: cfg}
	for i := range g.keys {
		g.keys[i] = fmt.Sprintf("grow-%07d", i)
	}
	if err := g.drive(ctx, g.until); err != nil {
		return GrowResult{}, err
	}
	after, err := c.Topic(ctx, growTopic)
	return g.result(after.Events - before.Events), err
}

// growing is a run under way.
type growing struct {
	*appendRun
	cfg     GrowConfig
	samples []sample
}

// sample is how many events were acknowledged at a time since the beginning.
type sample struct {
	at     time.Duration
	events uint64
}

// until lets the callers work until the events are there.
func (g *growing) until(ctx context.Context) error {
	defer g.cfg.watch(Filling, g.cfg.Events, g.total.Load)()
	began := time.Now()
	g.appendRun.began.Store(max(int64(time.Since(g.epoch)), 1))
	defer func() { g.ends.Store(int64(time.Since(g.epoch))) }()
	for {
		s := sample{time.Since(began), g.total.Load()}
		g.samples = append(g.samples, s)
		if s.events >= g.cfg.Events || g.cfg.AtMost > 0 && s.at >= g.cfg.AtMost {
			return nil
		}
		if err := sleep(ctx, growSample); err != nil {
			return err
		}
	}
}

func (g *growing) result(counted uint64) GrowResult {
	a := g.appendRun.result()
	end := g.samples[len(g.samples)-1]
	window := min(growWindow, end.at/5)
	r := GrowResult{
		Events: a.Acknowledged, Streams: a.Streams, Concurrency: a.Concurrency, Size: a.Size, Seconds: end.at.Seconds(), EventsPerSecond: perSecond(end.events, end.at),
		Window: window.Seconds(), Latency: a.Latency, Failed: a.Failed, FirstError: a.FirstError,
		Topic: counted, Verified: counted == a.Acknowledged && a.Failed == 0,
	}
	first := g.samples[0]
	for _, s := range g.samples {
		if first = s; s.events >= growBegin {
			break
		}
	}
	r.First, r.Last = g.between(first.at, first.at+window), g.between(end.at-window, end.at)
	for at := time.Duration(0); at+time.Second <= end.at; at += time.Second {
		r.Rates = append(r.Rates, uint64(g.between(at, at+time.Second)))
	}
	return r
}

// between is the rate from the last sample before one time to the first one after another.
func (g *growing) between(from, to time.Duration) float64 {
	a, b := g.samples[0], g.samples[len(g.samples)-1]
	for _, s := range g.samples {
		if s.at <= from {
			a = s
		}
		if s.at >= to {
			b = s
			break
		}
	}
	return perSecond(b.events-a.events, b.at-a.at)
}
