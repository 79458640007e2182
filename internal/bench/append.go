package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gesta-db/gesta/client"
)

// AppendConfig says how to append. Zero values take the defaults in brackets.
type AppendConfig struct {
	Target
	Topic       string        // [bench]
	Concurrency int           // callers, each waiting for its acknowledgement [256; 1 with batches]
	Size        int           // payload bytes of an event [256]
	Batch       int           // events of a commit [1]
	InFlight    int           // commits that a caller has under way at once [1; 8 with batches]
	Streams     int           // streams that the events go to [100,000]
	Partitions  int           // of the topic, which is then another one [1]
	Duration    time.Duration // of the measurement [10s]
	Warmup      time.Duration // before it; negative: none [2s]
	Expect      bool          // expect each stream's exact revision
	NoVerify    bool          // do not count the events again afterwards
}

// AppendResult is what an append run came to. Rates and latencies are of the measured time; the counts of acknowledged, found
// and failed include the warm-up.
type AppendResult struct {
	Concurrency     int     `json:"concurrency"`
	Size            int     `json:"size"`
	Batch           int     `json:"batch"`
	InFlight        int     `json:"in_flight"`
	Streams         int     `json:"streams"`
	Expect          bool    `json:"expect"`
	Seconds         float64 `json:"seconds"`
	Events          uint64  `json:"events"`
	EventsPerSecond float64 `json:"events_per_second"`
	MiBPerSecond    float64 `json:"mib_per_second"` // of payload
	Latency                 // of commits
	PauseMs         float64 `json:"longest_pause_ms"` // the longest time without any acknowledgement
	Acknowledged    uint64  `json:"acknowledged"`
	Found           uint64  `json:"found"`      // acknowledged events that are in the log exactly once
	Duplicates      uint64  `json:"duplicates"` // events that are in the log more than once
	Failed          uint64  `json:"failed"`     // commits that were not acknowledged
	FirstError      string  `json:"first_error,omitempty"`
	Verified        bool    `json:"verified"` // acknowledged = found, and no duplicates
	VerifySeconds   float64 `json:"verify_seconds"`
}

func (c *AppendConfig) fill() error {
	c.Topic, c.Batch = or(c.Topic, Topic), or(c.Batch, 1)
	if c.Partitions = or(c.Partitions, 1); c.Partitions > 1 {
		c.Topic += "-" + strconv.Itoa(c.Partitions)
	}
	many := c.Batch > 1
	c.Concurrency = or(c.Concurrency, pick(many, 1, 256))
	c.InFlight = or(c.InFlight, pick(many, 8, 1))
	c.Size = or(c.Size, 256)
	c.Streams = or(c.Streams, 100_000)
	c.Duration = or(c.Duration, 10*time.Second)
	c.Warmup = max(or(c.Warmup, 2*time.Second), 0)
	for name, v := range map[string]int{"concurrency": c.Concurrency, "size": c.Size, "batch": c.Batch, "in-flight": c.InFlight, "streams": c.Streams, "partitions": c.Partitions} {
		if v < 1 {
			return invalid("%s must be at least 1, not %d", name, v)
		}
	}
	if c.Duration < 0 {
		return invalid("duration must be above zero, not %v", c.Duration)
	}
	if c.Expect && c.Streams < c.Concurrency {
		return invalid("with expectations each caller owns its streams: %d streams are too few for %d callers", c.Streams, c.Concurrency)
	}
	if c.Concurrency >= 1<<(64-workerShift) {
		return invalid("concurrency must be below %d", 1<<(64-workerShift))
	}
	return nil
}

// Append appends events as fast as the callers get their acknowledgements, and counts them again in the log.
func Append(ctx context.Context, cfg AppendConfig) (AppendResult, error) {
	if err := cfg.fill(); err != nil {
		return AppendResult{}, err
	}
	c, err := cfg.open()
	if err != nil {
		return AppendResult{}, err
	}
	defer c.Close()
	from, err := mark(ctx, c, cfg.Topic, uint32(cfg.Partitions))
	if err != nil {
		return AppendResult{}, err
	}
	run := newAppendRun(cfg, c)
	if err := run.drive(ctx, run.clock); err != nil {
		return AppendResult{}, err
	}
	res := run.result()
	if cfg.NoVerify {
		return res, nil
	}
	err = run.verify(ctx, from, &res)
	return res, err
}

// mark is a position before everything the run writes. That of a topic of several partitions is where a read that follows has caught up:
// a head is of one shard.
func mark(ctx context.Context, c *client.Client, topic string, partitions uint32) (string, error) {
	var where []client.TopicOption
	if partitions > 1 {
		where = append(where, client.Partitioned(partitions))
	}
	if _, err := c.CreateTopic(ctx, topic, where...); err != nil && client.CodeOf(err) != client.CodeExists {
		return "", err
	}
	if partitions <= 1 {
		h, err := c.Head(ctx, topic, "")
		return h.Position, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r := c.Read(ctx, client.TopicScope(topic), client.ReadOptions{From: "end", Follow: true, OnLive: stop})
	defer r.Close()
	if _, err := r.Next(); err != nil && !r.Live() {
		return "", err
	}
	return r.Position(), nil
}

// appendRun is a run under way.
type appendRun struct {
	cfg     AppendConfig
	client  *client.Client
	naming  naming
	keys    []string
	payload []byte // random; events take pieces of it
	began   atomic.Int64
	ends    atomic.Int64 // nanoseconds on the clock that starts at epoch; 0: not yet
	epoch   time.Time
	hist    histogram
	latest  atomic.Int64 // when the newest acknowledgement came, on that clock
	pause   atomic.Int64 // the longest time between two, nanoseconds
	events  atomic.Uint64
	total   atomic.Uint64
	failed  atomic.Uint64
	first   atomic.Pointer[error]
	workers []*worker
}

func newAppendRun(cfg AppendConfig, c *client.Client) *appendRun {
	r := &appendRun{cfg: cfg, client: c, naming: newNaming(), epoch: time.Now()}
	prefix := r.naming.prefix()
	r.keys = make([]string, cfg.Streams)
	for i := range r.keys {
		r.keys[i] = fmt.Sprintf("%s-%06d", prefix, i)
	}
	r.payload = make([]byte, cfg.Size+64<<10)
	for i := range r.payload {
		r.payload[i] = byte(rand.Uint32())
	}
	for i := range cfg.Concurrency {
		r.workers = append(r.workers, newWorker(r, i))
	}
	return r
}

// drive lets the workers run until the clock has closed the measured time.
func (r *appendRun) drive(ctx context.Context, clock func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The workers' calls have no context to watch: a select for each would be a good part of what a caller costs. When the run is
	// called off, the client is closed under them.
	defer context.AfterFunc(ctx, func() { r.client.Close() })()
	var wg sync.WaitGroup
	for _, w := range r.workers {
		wg.Go(func() {
			if err := w.work(ctx); err != nil {
				cancel(err)
			}
		})
	}
	err := clock(ctx)
	wg.Wait()
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// clock opens and closes the measured time.
func (r *appendRun) clock(ctx context.Context) error {
	stop := r.cfg.watch(Warming, 0, r.total.Load)
	err := sleep(ctx, r.cfg.Warmup)
	stop()
	r.began.Store(int64(time.Since(r.epoch)))
	if err == nil {
		stop = r.cfg.watch(Measuring, 0, r.events.Load)
		err = sleep(ctx, r.cfg.Duration)
		stop()
	}
	r.ends.Store(int64(time.Since(r.epoch)))
	return err
}

// acknowledged counts a commit that was started and answered at these times since the epoch.
func (r *appendRun) acknowledged(events int, started, answered time.Duration) {
	r.total.Add(uint64(events))
	began, ends := r.began.Load(), r.ends.Load()
	if began == 0 || ends != 0 || int64(started) < began {
		return
	}
	r.events.Add(uint64(events))
	r.hist.record(answered - started)
	r.paused(int64(answered))
}

// paused books the time since the acknowledgement before.
func (r *appendRun) paused(now int64) {
	gap := now - max(r.latest.Swap(now), r.began.Load())
	for longest := r.pause.Load(); gap > longest; longest = r.pause.Load() {
		if r.pause.CompareAndSwap(longest, gap) {
			return
		}
	}
}

func (r *appendRun) fail(err error) {
	r.failed.Add(1)
	r.first.CompareAndSwap(nil, &err)
}

func (r *appendRun) result() AppendResult {
	took := time.Duration(r.ends.Load() - r.began.Load())
	r.paused(r.ends.Load())
	c := r.cfg
	res := AppendResult{
		Concurrency: c.Concurrency, Size: c.Size, Batch: c.Batch, InFlight: c.InFlight, Streams: c.Streams, Expect: c.Expect,
		Seconds: took.Seconds(), Events: r.events.Load(), EventsPerSecond: perSecond(r.events.Load(), took),
		MiBPerSecond: perSecond(r.events.Load()*uint64(c.Size), took) / mib,
		Latency:      r.hist.latency(), PauseMs: millis(time.Duration(r.pause.Load())), Failed: r.failed.Load(), Acknowledged: r.total.Load(),
	}
	if err := r.first.Load(); err != nil {
		res.FirstError = (*err).Error()
	}
	return res
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// or is v, or what replaces its zero value.
func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func pick[T any](cond bool, yes, no T) T {
	if cond {
		return yes
	}
	return no
}
