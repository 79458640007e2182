package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gesta-db/gesta/client"
)

// SSEConfig says how many followers there are.
type SSEConfig struct {
	Target
	HTTP     string        // the server's HTTP address [127.0.0.1:7080]
	Readers  int           // server-sent event streams, each on a connection of its own [1,000]
	Duration time.Duration // for how long nothing happens [10s]
}

// SSEResult is what the followers cost the server, as its own metrics tell, while nothing happened.
type SSEResult struct {
	Readers       int     `json:"readers"`
	OpenSeconds   float64 `json:"open_seconds"`   // until all followed
	MemoryMiB     float64 `json:"memory_mib"`     // resident memory beyond that before
	CPUPercent    float64 `json:"cpu_percent"`    // of one core
	DeliverMs     float64 `json:"deliver_ms"`     // from an append until every follower had it
	Verified      bool    `json:"verified"`       // every follower got the event that was appended in the end
	ServerMiB     float64 `json:"server_mib"`     // resident memory then
	ServerSeconds float64 `json:"server_seconds"` // of CPU in the quiet time
}

// SSE opens followers of the topic by HTTP, lets them be for a while, and appends one event.
func SSE(ctx context.Context, cfg SSEConfig) (res SSEResult, err error) {
	cfg.HTTP, cfg.Readers, cfg.Duration = or(cfg.HTTP, "127.0.0.1:7080"), or(cfg.Readers, 1_000), or(cfg.Duration, 10*time.Second)
	c, err := cfg.open()
	if err != nil {
		return res, err
	}
	defer c.Close()
	if _, err := c.Append(ctx, sseEvent()); err != nil { // the topic must be there to be followed
		return res, err
	}
	before, err := usageOf(ctx, cfg.HTTP)
	if err != nil {
		return res, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	f := &followers{failed: make(chan error, cfg.Readers)}
	defer f.running.Wait()
	defer cancel()
	stop := cfg.watch(Filling, uint64(cfg.Readers), func() uint64 { return uint64(f.live.Load()) })
	for range cfg.Readers {
		f.open(ctx, cfg.HTTP)
	}
	err = f.wait(ctx, &f.live, cfg.Readers)
	stop()
	if err != nil {
		return res, err
	}
	res.Readers, res.OpenSeconds = cfg.Readers, time.Since(began).Seconds()
	if err := res.quiet(ctx, cfg, before); err != nil {
		return res, err
	}
	began = time.Now()
	if _, err := c.Append(ctx, sseEvent()); err != nil {
		return res, err
	}
	err = f.wait(ctx, &f.got, cfg.Readers)
	res.DeliverMs, res.Verified = millis(time.Since(began)), err == nil
	return res, err
}

func sseEvent() client.Append {
	return client.Append{Topic: Topic, Key: "sse", Events: []client.Event{{Type: "Followed", Data: []byte(`{}`)}}}
}

// quiet measures while nothing happens.
func (res *SSEResult) quiet(ctx context.Context, cfg SSEConfig, before usage) error {
	first, err := usageOf(ctx, cfg.HTTP)
	if err != nil {
		return err
	}
	began := time.Now()
	stop := cfg.watch(Measuring, uint64(cfg.Duration), func() uint64 { return uint64(time.Since(began)) })
	defer stop()
	select {
	case <-time.After(cfg.Duration):
	case <-ctx.Done():
		return ctx.Err()
	}
	last, err := usageOf(ctx, cfg.HTTP)
	if err != nil {
		return err
	}
	res.MemoryMiB, res.ServerMiB = (last.memory-before.memory)/mib, last.memory/mib
	res.ServerSeconds = last.cpu - first.cpu
	res.CPUPercent = 100 * res.ServerSeconds / time.Since(began).Seconds()
	return nil
}

// followers are streams of server-sent events.
type followers struct {
	running   sync.WaitGroup
	live, got atomic.Int64
	failed    chan error
}

func (f *followers) open(ctx context.Context, addr string) {
	f.running.Go(func() {
		if err := f.follow(ctx, addr); err != nil && ctx.Err() == nil {
			f.failed <- err
		}
	})
}

// follow counts itself as live when the stream says so, and as having got the first event after that.
func (f *followers) follow(ctx context.Context, addr string) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/v1/topics/"+Topic+"/events?from=end", nil)
	if err != nil {
		return err
	}
	q.Header.Set("Accept", "text/event-stream")
	own := &http.Transport{DisableKeepAlives: true, ReadBufferSize: 512, WriteBufferSize: 512}
	resp, err := own.RoundTrip(q)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("a follower got %s", resp.Status)
	}
	lines, live := bufio.NewReaderSize(resp.Body, 512), false
	for {
		line, err := lines.ReadString('\n')
		switch {
		case err != nil:
			return err
		case line == "event: live\n":
			live = true
			f.live.Add(1)
		case live && strings.HasPrefix(line, `data: {"offset"`):
			f.got.Add(1)
			<-ctx.Done()
			return nil
		}
	}
}

// wait waits until as many have come so far.
func (f *followers) wait(ctx context.Context, so *atomic.Int64, many int) error {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for so.Load() < int64(many) {
		select {
		case err := <-f.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
	return nil
}

// usage is what a process has used: bytes of memory, seconds of CPU.
type usage struct{ memory, cpu float64 }

// usageOf asks a server's metrics.
func usageOf(ctx context.Context, addr string) (u usage, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return u, err
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		return u, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return u, err
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		name, value, _ := strings.Cut(line, " ")
		switch name {
		case "process_resident_memory_bytes":
			u.memory, err = strconv.ParseFloat(value, 64)
		case "process_cpu_seconds_total":
			u.cpu, err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return u, err
		}
	}
	if u.memory == 0 {
		return u, invalid("%s tells no process_resident_memory_bytes: is it Gesta's HTTP address, on Linux?", addr)
	}
	return u, nil
}
