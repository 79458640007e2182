package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gesta-db/gesta/client"
)

// Kind is the kind of the entities that Execute asks.
const Kind = "bench-entities"

// ExecuteConfig says how to send commands. Zero values take the defaults in brackets.
type ExecuteConfig struct {
	Target
	Concurrency int           // callers, each waiting for its answer [256]
	Entities    int           // entities that the commands go to [10,000]
	Size        int           // payload bytes of a command, and of its event [256]
	Duration    time.Duration // of the measurement [10s]
	Warmup      time.Duration // before it; negative: none [2s]
	Once        bool          // each entity gets one command, however long it takes
	Cold        int           // loads entities of so many events instead, by asking for states of their past [0: no]
	NoHandler   bool          // another process serves the kind
	NoAppends   bool          // do not measure plain appends beside
}

// ExecuteResult is what sending commands came to.
type ExecuteResult struct {
	Concurrency       int     `json:"concurrency"`
	Entities          int     `json:"entities"`
	Size              int     `json:"size"`
	Seconds           float64 `json:"seconds"`
	Commands          uint64  `json:"commands"`
	CommandsPerSecond float64 `json:"commands_per_second"`
	Latency
	Acknowledged uint64  `json:"acknowledged"` // with the warm-up
	Found        uint64  `json:"found"`        // events that the kind got meanwhile
	Failed       uint64  `json:"failed"`
	FirstError   string  `json:"first_error,omitempty"`
	Verified     bool    `json:"verified"` // one event for each acknowledged command
	Appends      float64 `json:"appends_per_second,omitempty"`
	Share        float64 `json:"share_of_appends,omitempty"`
}

func (c *ExecuteConfig) fill() error {
	c.Concurrency, c.Entities, c.Size = or(c.Concurrency, 256), or(c.Entities, 10_000), or(c.Size, 256)
	if c.Cold > 0 {
		c.Concurrency, c.Entities = min(c.Concurrency, 8), min(c.Entities, 20)
	}
	c.Duration = or(c.Duration, 10*time.Second)
	c.Warmup = max(or(c.Warmup, 2*time.Second), 0)
	for name, v := range map[string]int{"concurrency": c.Concurrency, "entities": c.Entities, "size": c.Size} {
		if v < 1 {
			return invalid("%s must be at least 1, not %d", name, v)
		}
	}
	return nil
}

// blob is what commands and events of the benchmark are: bytes.
type blob []byte

// tally is the state of the benchmark's entities: small, as a balance is.
type tally struct{ Events, Bytes uint64 }

// service is the handler: each command causes an event with its bytes.
func (c *ExecuteConfig) service() client.Service {
	e := &client.Entity[tally, blob, blob]{
		Kind: Kind,
		Decide: func(_ tally, command blob, _ *client.About) (client.Decision[blob], error) {
			return client.Decision[blob]{Events: []blob{command}}, nil
		},
		Fold: func(s tally, e blob) tally {
			s.Events++
			s.Bytes += uint64(len(e))
			return s
		},
		Commands: client.Commands[blob]{"touch": blob(nil)},
		Events:   client.Events[blob]{"touched": {0: blob(nil)}},
	}
	return client.Service{Name: "gesta-bench", Build: "1", Kinds: []client.Kind{e}, Credit: max(2*c.Concurrency, 1024)}
}

// Execute sends commands as fast as the callers get their answers, through a handler in this process, and counts the events again.
func Execute(ctx context.Context, cfg ExecuteConfig) (ExecuteResult, error) {
	if err := cfg.fill(); err != nil {
		return ExecuteResult{}, err
	}
	c, err := cfg.open()
	if err != nil {
		return ExecuteResult{}, err
	}
	defer c.Close()
	stop, err := cfg.serve(ctx)
	if err != nil {
		return ExecuteResult{}, err
	}
	r := &executeRun{cfg: cfg, client: c, naming: newNaming(), payload: make([]byte, cfg.Size), epoch: time.Now()}
	for i := range r.payload {
		r.payload[i] = byte(rand.Uint32())
	}
	res, err := r.run(ctx)
	if stopErr := stop(); err == nil {
		err = stopErr
	}
	if err != nil || cfg.NoAppends || cfg.Once || cfg.Cold > 0 {
		return res, err
	}
	plain, err := Append(ctx, AppendConfig{Target: cfg.Target, Concurrency: cfg.Concurrency, Size: cfg.Size, Streams: max(cfg.Entities, cfg.Concurrency), Duration: cfg.Duration, Warmup: cfg.Warmup})
	res.Appends, res.Verified = plain.EventsPerSecond, res.Verified && plain.Verified
	if plain.EventsPerSecond > 0 {
		res.Share = res.CommandsPerSecond / plain.EventsPerSecond
	}
	return res, err
}

// serve attaches the handler over a connection of its own, and waits until it is taken.
func (c *ExecuteConfig) serve(ctx context.Context) (stop func() error, err error) {
	if c.NoHandler {
		return func() error { return nil }, nil
	}
	own, err := c.open()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	attached, served := make(chan struct{}, 1), make(chan error, 1)
	s := c.service()
	s.OnAttach = func(string) {
		select {
		case attached <- struct{}{}:
		default:
		}
	}
	go func() { served <- own.Serve(ctx, s) }()
	stop = func() error {
		cancel()
		err := <-served
		own.Close()
		return err
	}
	select {
	case <-attached:
		return stop, nil
	case err := <-served:
		cancel()
		own.Close()
		return nil, err
	}
}

// executeRun is a run under way.
type executeRun struct {
	cfg     ExecuteConfig
	client  *client.Client
	naming  naming
	payload []byte
	epoch   time.Time
	began   atomic.Int64
	ends    atomic.Int64
	hist    histogram
	counted atomic.Uint64
	total   atomic.Uint64
	failed  atomic.Uint64
	next    atomic.Uint64 // entity, with Once
	first   atomic.Pointer[error]
}

func (r *executeRun) run(ctx context.Context) (ExecuteResult, error) {
	before, err := r.events(ctx)
	if err != nil {
		return ExecuteResult{}, err
	}
	if r.cfg.Cold > 0 {
		if err := r.prepare(ctx); err != nil {
			return ExecuteResult{}, err
		}
	}
	if err := r.drive(ctx); err != nil {
		return ExecuteResult{}, err
	}
	after, err := r.events(ctx)
	took := time.Duration(r.ends.Load() - r.began.Load())
	n := r.counted.Load()
	res := ExecuteResult{Concurrency: r.cfg.Concurrency, Entities: r.cfg.Entities, Size: r.cfg.Size, Seconds: took.Seconds(), Commands: n, CommandsPerSecond: perSecond(n, took),
		Latency: r.hist.latency(), Acknowledged: r.total.Load(), Found: after - before, Failed: r.failed.Load()}
	if e := r.first.Load(); e != nil {
		res.FirstError = (*e).Error()
	}
	res.Verified = res.Failed == 0 && (res.Found == res.Acknowledged || r.cfg.Cold > 0)
	return res, err
}

func (r *executeRun) events(ctx context.Context) (uint64, error) {
	t, err := r.client.Topic(ctx, Kind)
	if client.CodeOf(err) == client.CodeNotFound {
		return 0, nil
	}
	return t.Events, err
}

func (r *executeRun) drive(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	work := r.caller
	if r.cfg.Cold > 0 {
		work = r.past
	}
	for i := range r.cfg.Concurrency {
		wg.Go(func() {
			if err := work(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	if r.cfg.Once {
		r.began.Store(1)
		stop := r.cfg.watch(Measuring, uint64(r.cfg.Entities), r.total.Load)
		wg.Wait()
		stop()
		r.ends.Store(int64(time.Since(r.epoch)))
	} else {
		r.clock(ctx)
		wg.Wait()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (r *executeRun) clock(ctx context.Context) {
	stop := r.cfg.watch(Warming, 0, r.total.Load)
	err := sleep(ctx, r.cfg.Warmup)
	stop()
	r.began.Store(int64(time.Since(r.epoch)))
	if err == nil {
		stop = r.cfg.watch(Measuring, 0, r.counted.Load)
		_ = sleep(ctx, r.cfg.Duration) // its end is drive's to tell
		stop()
	}
	r.ends.Store(int64(time.Since(r.epoch)))
}

func (r *executeRun) key(i int) string { return fmt.Sprintf("%s-%07d", r.naming.prefix(), i) }

// caller sends commands until the time is over.
func (r *executeRun) caller(ctx context.Context, number int) error {
	keys := make([]string, 0, min(r.cfg.Entities, 10_000))
	if !r.cfg.Once {
		for i := range r.cfg.Entities {
			keys = append(keys, r.key(i))
		}
	}
	random, row, id := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), 0, []byte(nil)
	for seq := uint64(0); r.ends.Load() == 0 && ctx.Err() == nil; seq++ {
		c := client.Command{Kind: Kind, Name: "touch", Payload: client.Payload{ContentType: "application/octet-stream", Data: r.payload}}
		if r.cfg.Once {
			n := r.next.Add(1) - 1
			if n >= uint64(r.cfg.Entities) {
				return nil
			}
			c.Key = r.key(int(n))
		} else {
			c.Key = keys[random.IntN(len(keys))]
		}
		id = r.naming.append(id[:0], number, seq)
		c.ID = string(id)
		started := time.Since(r.epoch)
		_, err := r.client.Execute(context.Background(), c)
		if err := r.answered(started, err, &row); err != nil {
			return err
		}
	}
	return nil
}

// answered counts a call; an error ends the run.
func (r *executeRun) answered(started time.Duration, err error, row *int) error {
	if err != nil {
		r.failed.Add(1)
		r.first.CompareAndSwap(nil, &err)
		if *row++; *row >= failuresInARow {
			return err
		}
		return nil
	}
	*row = 0
	r.total.Add(1)
	if began := r.began.Load(); began == 0 || r.ends.Load() != 0 || int64(started) < began {
		if !r.cfg.Once {
			return nil
		}
	}
	r.counted.Add(1)
	r.hist.record(time.Since(r.epoch) - started)
	return nil
}

// prepare gives every entity its events.
func (r *executeRun) prepare(ctx context.Context) error {
	var done atomic.Uint64
	defer r.cfg.watch(Filling, uint64(r.cfg.Cold*r.cfg.Entities), done.Load)()
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	const callers = 16 // of each entity
	for i := range r.cfg.Entities {
		for range callers {
			wg.Go(func() {
				for range r.cfg.Cold/callers + 1 {
					_, err := r.client.Execute(ctx, client.Command{Kind: Kind, Key: r.key(i), Name: "touch", Payload: client.Payload{ContentType: "application/octet-stream", Data: r.payload}})
					if err != nil {
						failed.CompareAndSwap(nil, &err)
						return
					}
					done.Add(1)
				}
			})
		}
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// past asks for states of the entities' pasts: each is loaded anew, from the state carried before it and the events between.
func (r *executeRun) past(ctx context.Context, _ int) error {
	row := 0
	for r.ends.Load() == 0 && ctx.Err() == nil {
		revision := uint64(1 + rand.IntN(r.cfg.Cold))
		started := time.Since(r.epoch)
		_, err := r.client.State(ctx, Kind, r.key(rand.IntN(r.cfg.Entities)), client.AtRevision(revision))
		if err := r.answered(started, err, &row); err != nil {
			return err
		}
	}
	return nil
}
