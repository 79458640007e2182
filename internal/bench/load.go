package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gesta-db/gesta/client"
)

// LoadConfig says which streams to load. Zero values take the defaults in brackets.
type LoadConfig struct {
	Target
	Streams     int           // [200,000]
	Events      int           // of each stream [10]
	Size        int           // payload bytes of an event [256]
	Concurrency int           // callers [1]
	Duration    time.Duration // [10s]
}

// LoadResult is how long it took to read single streams from their start to their end, each chosen at random.
type LoadResult struct {
	Streams          int     `json:"streams"`
	Events           int     `json:"events_per_stream"`
	Concurrency      int     `json:"concurrency"`
	Filled           uint64  `json:"filled"` // events written first, because they were not there yet
	Seconds          float64 `json:"seconds"`
	Loads            uint64  `json:"loads"`
	StreamsPerSecond float64 `json:"streams_per_second"`
	EventsPerSecond  float64 `json:"events_per_second"`
	Latency                  // of loading one stream
	Verified         bool    `json:"verified"` // every stream had its events, in order
}

func (c *LoadConfig) fill() error {
	c.Streams, c.Events, c.Size = or(c.Streams, 200_000), or(c.Events, 10), or(c.Size, 256)
	c.Concurrency, c.Duration = or(c.Concurrency, 1), or(c.Duration, 10*time.Second)
	for name, v := range map[string]int{"streams": c.Streams, "events": c.Events, "size": c.Size, "concurrency": c.Concurrency} {
		if v < 1 {
			return invalid("%s must be at least 1, not %d", name, v)
		}
	}
	if c.Duration < 0 {
		return invalid("duration must be above zero, not %v", c.Duration)
	}
	return nil
}

// topic holds the streams of this shape; they are written once and used again by later runs.
func (c *LoadConfig) topic() string {
	return fmt.Sprintf("bench-load-%d-%d-%d", c.Streams, c.Events, c.Size)
}

func (c *LoadConfig) key(i int) string { return fmt.Sprintf("stream-%07d", i) }

// Load reads random streams. The streams are written first when they are not there; the events of one stream are far apart in
// the log.
func Load(ctx context.Context, cfg LoadConfig) (LoadResult, error) {
	if err := cfg.fill(); err != nil {
		return LoadResult{}, err
	}
	c, err := cfg.open()
	if err != nil {
		return LoadResult{}, err
	}
	defer c.Close()
	res := LoadResult{Streams: cfg.Streams, Events: cfg.Events, Concurrency: cfg.Concurrency, Verified: true}
	if res.Filled, err = cfg.write(ctx, c); err != nil {
		return res, err
	}
	l := &loading{cfg: cfg, client: c}
	stop := cfg.watch(Measuring, 0, l.loads.Load)
	began := time.Now()
	err = l.drive(ctx)
	took := time.Since(began)
	stop()
	n := l.loads.Load()
	res.Seconds, res.Loads, res.Latency = took.Seconds(), n, l.hist.latency()
	res.StreamsPerSecond, res.EventsPerSecond = perSecond(n, took), perSecond(n*uint64(cfg.Events), took)
	res.Verified = err == nil
	return res, err
}

// commitStreams is how many streams one commit of the filling touches: a server takes 256.
const commitStreams = 250

// fillInFlight is how many commits of the filling are under way at once.
const fillInFlight = 16

// write makes the streams, one event of each after the other. The ids are those of the place, so that a filling that was cut off
// is completed by the next.
func (c *LoadConfig) write(ctx context.Context, cl *client.Client) (uint64, error) {
	total := uint64(c.Streams) * uint64(c.Events)
	t, err := cl.Topic(ctx, c.topic())
	if err == nil && t.Events == total {
		return 0, nil
	}
	if err != nil && client.CodeOf(err) != client.CodeNotFound {
		return 0, err
	}
	var done atomic.Uint64
	defer c.watch(Filling, total, done.Load)()
	data := make([]byte, c.Size)
	ring := make([]*client.Pending, fillInFlight)
	n := 0
	for round := range c.Events {
		for from := 0; from < c.Streams; from += commitStreams {
			p := &ring[n%len(ring)]
			if err := landed(ctx, *p); err != nil {
				return done.Load(), err
			}
			for i := range data {
				data[i] = byte(rand.Uint32())
			}
			to := min(from+commitStreams, c.Streams)
			*p = cl.Start(ctx, c.commit(round, from, to, data))
			done.Add(uint64(to - from))
			n++
		}
	}
	for _, p := range ring {
		if err := landed(ctx, p); err != nil {
			return done.Load(), err
		}
	}
	return total, nil
}

func landed(ctx context.Context, p *client.Pending) error {
	if p == nil {
		return nil
	}
	_, err := p.Wait(ctx)
	return err
}

func (c *LoadConfig) commit(round, from, to int, data []byte) []client.Append {
	streams := make([]client.Append, 0, to-from)
	for i := from; i < to; i++ {
		e := client.Event{ID: fmt.Sprintf("%s-%d", c.key(i), round), Type: "Loaded", Data: data}
		streams = append(streams, client.Append{Topic: c.topic(), Key: c.key(i), Events: []client.Event{e}})
	}
	return streams
}

// loading is a run under way.
type loading struct {
	cfg    LoadConfig
	client *client.Client
	hist   histogram
	loads  atomic.Uint64
}

func (l *loading) drive(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, l.cfg.Duration, errOver)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var wg sync.WaitGroup
	for range l.cfg.Concurrency {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := l.one(ctx, rand.IntN(l.cfg.Streams)); err != nil && ctx.Err() == nil {
					fail(err)
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, errOver) {
		return err
	}
	return nil
}

var errOver = errors.New("the measured time is over")

// one loads a stream.
func (l *loading) one(ctx context.Context, i int) error {
	began := time.Now()
	rd := l.client.Read(ctx, client.StreamScope(l.cfg.topic(), l.cfg.key(i)), client.ReadOptions{})
	defer rd.Close()
	for revision := uint64(1); ; revision++ {
		e, err := rd.Next()
		if err == io.EOF {
			if got := revision - 1; got != uint64(l.cfg.Events) {
				return fmt.Errorf("stream %s has %d events instead of %d", l.cfg.key(i), got, l.cfg.Events)
			}
			break
		}
		if err != nil {
			return err
		}
		if e.Revision != revision {
			return fmt.Errorf("stream %s has revision %d where %d belongs", l.cfg.key(i), e.Revision, revision)
		}
	}
	l.hist.record(time.Since(began))
	l.loads.Add(1)
	return nil
}
