package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gesta-db/gesta/bench/peers/internal/gesta"
	"github.com/gesta-db/gesta/bench/peers/internal/load"
	"github.com/gesta-db/gesta/bench/peers/internal/process"
	"github.com/gesta-db/gesta/bench/peers/internal/report"
)

// serving runs work against a server with a fresh data folder.
func (b *bench) serving(ctx context.Context, work func(context.Context, *gesta.Server) error) error {
	dir, done, err := b.fresh()
	if err != nil {
		return err
	}
	defer done()
	s, err := gesta.Start(ctx, b.binary, dir)
	if err != nil {
		return err
	}
	defer s.Stop()
	return work(ctx, s)
}

// fewCallers measures what one and 64 callers get, and what the server holds before and after.
func (b *bench) fewCallers(ctx context.Context) error {
	return b.serving(ctx, func(ctx context.Context, s *gesta.Server) error {
		m := report.Memory{Round: b.round}
		if err := pause(ctx, b.idle); err != nil {
			return err
		}
		m.Idle = process.RSS(s.Pid())
		if err := b.append(ctx, s, report.Append1, 1); err != nil {
			return err
		}
		if err := b.append(ctx, s, report.Append64, 64); err != nil {
			return err
		}
		m.After = process.RSS(s.Pid())
		b.figures.Memory = append(b.figures.Memory, m)
		return b.http(ctx, s)
	})
}

func (b *bench) manyCallers(ctx context.Context) error {
	return b.serving(ctx, func(ctx context.Context, s *gesta.Server) error {
		// What comes first meets a log without sealed segments, so the two that are compared take turns at it.
		plain := func() error { return b.append(ctx, s, report.Append256, 256) }
		expecting := func() error { return b.append(ctx, s, report.AppendExpect, 256, "--expect") }
		first, second := plain, expecting
		if b.round%2 == 0 {
			first, second = second, first
		}
		err := first()
		if err == nil {
			err = second()
		}
		if err == nil {
			err = b.append(ctx, s, report.Append1024, 1024)
		}
		return err
	})
}

// bulk measures batches, and one reader of all that they left.
func (b *bench) bulk(ctx context.Context) error {
	return b.serving(ctx, func(ctx context.Context, s *gesta.Server) error {
		if err := b.append(ctx, s, report.AppendBatch, 1, "--batch", "1000", "--in-flight", "8"); err != nil {
			return err
		}
		return b.read(ctx, s)
	})
}

func (b *bench) append(ctx context.Context, s *gesta.Server, work string, callers int, more ...string) error {
	args := append([]string{"append", "--concurrency", strconv.Itoa(callers), "--size", "256", "--warmup", b.warmup.String(), "--duration", b.measure.String()}, more...)
	return b.work(ctx, s, work, callers, args, b.warmup)
}

// work runs a command of the product's own bench and watches what it uses while it measures.
func (b *bench) work(ctx context.Context, s *gesta.Server, work string, callers int, args []string, warmup time.Duration) error {
	c, err := s.Bench(ctx, args...)
	if err != nil {
		return err
	}
	w := b.watch(ctx, warmup, meter{servers: []int{s.Pid()}, client: c.Pid(), writes: s.Writes})
	raw, err := c.Wait()
	if err != nil {
		return errors.Join(err, gone(s))
	}
	use := <-w
	sample, err := parsed(work, callers, raw)
	sample.Use = use
	b.add(sample)
	return err
}

// gone tells of a server that ended without being asked.
func gone(s *gesta.Server) error {
	select {
	case <-s.Ended():
		return s.Failure()
	default:
		return nil
	}
}

// parsed takes what gesta bench printed.
func parsed(work string, callers int, raw json.RawMessage) (report.Sample, error) {
	var r struct {
		EventsPerSecond  float64 `json:"events_per_second"`
		StreamsPerSecond float64 `json:"streams_per_second"`
		P50              float64 `json:"p50_ms"`
		P99              float64 `json:"p99_ms"`
		Acknowledged     uint64  `json:"acknowledged"`
		Found            uint64  `json:"found"`
		Failed           uint64  `json:"failed"`
		Verified         bool    `json:"verified"`
		FirstError       string  `json:"first_error"`
	}
	err := json.Unmarshal(raw, &r)
	if err == nil && r.Failed > 0 {
		err = fmt.Errorf("%s: %d appends failed, the first with: %s", work, r.Failed, r.FirstError)
	}
	s := report.Sample{System: report.Gesta, Work: work, Callers: callers, Rate: r.EventsPerSecond, P50: r.P50, P99: r.P99, Raw: raw}
	if r.StreamsPerSecond > 0 {
		s.Rate = r.StreamsPerSecond
	}
	s.Acknowledged, s.Kept, s.Verified = r.Acknowledged, r.Found, r.Verified
	return s, err
}

// read lets one reader decode everything. It has no warm-up, so what is used is taken over the whole of it.
func (b *bench) read(ctx context.Context, s *gesta.Server) error {
	before := process.CPU(s.Pid())
	c, err := s.Bench(ctx, "read")
	if err != nil {
		return err
	}
	raw, err := c.Wait()
	if err != nil {
		return err
	}
	sample, err := parsed(report.ReadShard, 1, raw)
	if err != nil {
		return err
	}
	var took struct{ Seconds float64 }
	if err := json.Unmarshal(raw, &took); err != nil {
		return err
	}
	sample.Use.ServerCores = (process.CPU(s.Pid()) - before).Seconds() / took.Seconds
	sample.Use.ClientCores = c.CPU().Seconds() / took.Seconds
	b.add(sample)
	return nil
}

// http appends by HTTP, where the server can do so.
func (b *bench) http(ctx context.Context, s *gesta.Server) error {
	callers, done, err := s.HTTPCallers(ctx, 64)
	if errors.Is(err, gesta.ErrNoRoute) {
		b.skip("appends by HTTP", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer done()
	before, err := s.Events(ctx, gesta.HTTPTopic)
	if err != nil {
		return err
	}
	sample, err := b.drive(ctx, callers, meter{servers: []int{s.Pid()}, writes: s.Writes})
	if err != nil {
		return errors.Join(err, gone(s))
	}
	after, err := s.Events(ctx, gesta.HTTPTopic)
	sample.System, sample.Work, sample.Kept = report.Gesta, report.AppendHTTP, after-before
	sample.Verified = sample.Kept == sample.Acknowledged
	b.add(sample)
	return err
}

// drive lets callers of our own work, and watches.
func (b *bench) drive(ctx context.Context, callers []load.Caller, m meter) (report.Sample, error) {
	w := b.watch(ctx, b.warmup, m)
	r, err := load.Drive(ctx, callers, load.Time{Warmup: b.warmup, Duration: b.measure})
	if err != nil {
		return report.Sample{}, err
	}
	return report.Sample{Callers: len(callers), Rate: r.Rate, P50: r.P50, P99: r.P99, Acknowledged: r.Acknowledged, Use: <-w}, nil
}

// loads measures how long it takes to load one stream among many. The first run writes them, and brings them into the page cache.
func (b *bench) loads(ctx context.Context) error {
	return b.serving(ctx, func(ctx context.Context, s *gesta.Server) error {
		streams := strconv.Itoa(b.streams)
		c, err := s.Bench(ctx, "load", "--streams", streams, "--duration", b.warmup.String())
		if err != nil {
			return err
		}
		if _, err := c.Wait(); err != nil {
			return err
		}
		for b.round = 1; b.round <= b.rounds; b.round++ {
			if err := b.work(ctx, s, report.LoadStreams, 1, []string{"load", "--streams", streams, "--duration", b.measure.String()}, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
