// Package bench measures a running server through the public client, and the disk under it.
//
// It promises that a figure is of work that was done: every acknowledged event of an append run is looked for in the log
// afterwards and must be there exactly once; a read run checks that offsets have no gaps; a load run that every stream had the
// events it should. Verified says so. Latencies are from before a call to after its answer, kept in buckets less than 0.8 % wide.
//
// It does not know how the server works, and prints nothing.
package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/gesta-db/gesta/client"
)

// Topic is where append runs write unless told otherwise.
const Topic = "bench"

// Phase names what a run is doing.
type Phase string

// The phases, as they are reported.
const (
	Filling   Phase = "filling"
	Warming   Phase = "warming up"
	Measuring Phase = "measuring"
	Verifying Phase = "verifying"
)

// Progress is told about four times a second, from a goroutine of its own.
type Progress func(p Phase, done, total uint64)

// Target is what every run against a server needs.
type Target struct {
	Client   client.Options
	Progress Progress // may be nil
}

// Latency is how long calls took, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

func (t Target) open() (*client.Client, error) {
	if t.Client.UserAgent == "" {
		t.Client.UserAgent = "gesta-bench"
	}
	return client.New(t.Client)
}

// watch reports until the returned function is called.
func (t Target) watch(p Phase, total uint64, done func() uint64) (stop func()) {
	if t.Progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				t.Progress(p, done(), total)
			case <-ctx.Done():
				t.Progress(p, done(), total)
				return
			}
		}
	}()
	return func() { cancel(); <-ended }
}

func invalid(format string, args ...any) error {
	return &client.Error{Code: client.CodeInvalid, Message: fmt.Sprintf(format, args...)}
}

func perSecond(n uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

const mib = 1 << 20
