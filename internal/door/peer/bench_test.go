package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/event"
)

// BenchmarkMessages sends small messages one way, as a node with many groups does.
func BenchmarkMessages(b *testing.B) {
	a, to := pair(b)
	var got atomic.Int64
	to.h.deliver = func(_ uint32, ms []*raftpb.Message) { got.Add(int64(len(ms))) }
	a.connectTo(b, 2)
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		for int64(i)-got.Load() > 20_000 { // below the queue's bound
			<-time.After(50 * time.Microsecond)
		}
		a.Send(uint32(i%64), []*raftpb.Message{beat(1, 2, uint64(i+1))})
	}
	eventually(b, "all", func() bool { return got.Load() == int64(b.N) })
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkHeartbeatBesideBulk measures how long a heartbeat takes to arrive while nothing else is on its way, and while a file and a
// flood of entries are.
func BenchmarkHeartbeatBesideBulk(b *testing.B) {
	for _, loaded := range []bool{false, true} {
		b.Run(fmt.Sprintf("loaded=%v", loaded), func(b *testing.B) { benchmarkHeartbeat(b, loaded) })
	}
}

func benchmarkHeartbeat(b *testing.B, loaded bool) {
	a, to := pair(b)
	arrived := make(chan time.Time, 1)
	var entries atomic.Int64
	to.h.deliver = func(group uint32, ms []*raftpb.Message) {
		if group == 1 {
			arrived <- time.Now()
			return
		}
		entries.Add(int64(len(ms)))
	}
	to.connectTo(b, 1)
	a.connectTo(b, 2)
	ctx, stop := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	var fetched atomic.Int64
	if loaded {
		to.file("4/x", 64<<20)
		wg.Go(func() { flood(ctx, a, &entries) })
		wg.Go(func() { fetchAll(ctx, b, a, &fetched) })
	}
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		began := time.Now()
		a.Send(1, []*raftpb.Message{beat(1, 2, uint64(i+1))})
		took = append(took, receive(b, arrived).Sub(began))
		<-time.After(500 * time.Microsecond)
	}
	seconds := b.Elapsed().Seconds()
	b.StopTimer()
	stop()
	wg.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-µs")
	b.ReportMetric(float64(entries.Load())*floodBytes/seconds/1e6, "entries-MB/s")
	b.ReportMetric(float64(fetched.Load())/seconds/1e6, "file-MB/s")
}

const floodBytes = 256 << 10

// flood sends entries as fast as they are taken in.
func flood(ctx context.Context, a *node, got *atomic.Int64) {
	for i := uint64(1); ctx.Err() == nil; i++ {
		for int64(i)-got.Load() > 100 && ctx.Err() == nil {
			<-time.After(50 * time.Microsecond)
		}
		a.Send(2, []*raftpb.Message{app(1, 2, i, floodBytes)})
	}
}

func fetchAll(ctx context.Context, b *testing.B, a *node, got *atomic.Int64) {
	for ctx.Err() == nil {
		f, err := a.Fetch(ctx, 2, 4, "x", Resume{})
		if err != nil {
			if ctx.Err() == nil {
				b.Error(err)
			}
			return
		}
		for err == nil && ctx.Err() == nil {
			var chunk []byte
			chunk, err = f.Next()
			got.Add(int64(len(chunk)))
		}
		f.Close()
		if err != nil && !errors.Is(err, io.EOF) {
			b.Error(err)
			return
		}
	}
}

// BenchmarkForward forwards commits of one event of 256 bytes with many in flight, to a leader that answers at once.
func BenchmarkForward(b *testing.B) {
	a, to := pair(b)
	to.h.submit = func(_ Peer, _ uint32, calls []*event.Call) {
		for _, c := range calls {
			c.Outcome = event.Outcome{Streams: make([]event.StreamOutcome, 1)}
			c.Done(c)
		}
	}
	const flying = 256
	c := commitOf("an-id-of-26-characters-0000", event.Expect{}, 256)
	room := make(chan struct{}, flying)
	var failed atomic.Int64
	done := func(c *event.Call) {
		if c.Err != nil {
			failed.Add(1)
		}
		<-room
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		room <- struct{}{}
		a.Submit(2, 1, []*event.Call{{Commit: c, Done: done}})
	}
	for range flying {
		room <- struct{}{}
	}
	if failed.Load() > 0 {
		b.Fatal(failed.Load(), "failed")
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

// BenchmarkFetch fetches a file.
func BenchmarkFetch(b *testing.B) {
	a, to := pair(b)
	to.file("4/x", 64<<20)
	b.SetBytes(64 << 20)
	b.ResetTimer()
	for range b.N {
		f, err := a.Fetch(b.Context(), 2, 4, "x", Resume{})
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = f.Next()
		}
		f.Close()
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
	}
}
