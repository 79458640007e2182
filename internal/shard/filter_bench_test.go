package shard

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/event"
)

// benchEvents is how many events the benchmarks of reading find: a multiple of 1,000.
var benchEvents = flag.Int("events", 200_000, "events to benchmark reading with")

const benchTopics = 1000

// interleaved is a shard whose neighbouring events are of 1,000 different topics; each topic's events have tags and a type that one
// event in 1,000 has, and are of 256 bytes.
func interleaved(b *testing.B) *Shard {
	dir, err := os.MkdirTemp("", "shard-bench")
	if err != nil {
		b.Fatal(err)
	}
	s := open(b, options(dir))
	b.Cleanup(func() { _ = s.Close(); _ = os.RemoveAll(dir) })
	const together = 250
	got := make(chan *event.Call, benchTopics/together)
	for at := 0; at < *benchEvents; at += benchTopics {
		var calls []*event.Call
		for from := at; from < at+benchTopics; from += together {
			c := &event.Commit{}
			for n := from; n < from+together; n++ {
				e := eventwire.Event{ID: fmt.Sprintf("%016x", uint64(n)*0x9e3779b97f4a7c15), Type: "Happened", Data: make([]byte, 256), Tags: []string{"any"}}
				if n%benchTopics == 500 {
					e.Type, e.Tags = "Rare", []string{"any", "rare"}
				}
				w := eventwire.AppendEvent(nil, &e)
				c.Streams = append(c.Streams, event.Append{Topic: fmt.Appendf(nil, "topic-%d", n%benchTopics), Key: fmt.Appendf(nil, "key-%d", n%7), Events: []event.Prepared{{ID: []byte(e.ID), Type: []byte(e.Type), Bytes: w}}})
				c.Bytes += len(w)
			}
			calls = append(calls, &event.Call{Commit: c, Done: func(c *event.Call) { got <- c }})
		}
		s.Submit(calls)
		for range calls {
			if c := <-got; c.Err != nil {
				b.Fatal(c.Err)
			}
		}
	}
	for len(unsealed(s.disk.Log, s.ix)) > 1 {
		runtime.Gosched()
	}
	return s
}

// BenchmarkFiltered reads everything, and one event in 1,000 by each way to find it. Compare MB/s, or the times of a whole read.
func BenchmarkFiltered(b *testing.B) {
	s := interleaved(b)
	st := s.Status()
	b.Logf("%d events, %d segments, index %.1f %% of the log", st.LastOffset, st.Segments, 100*float64(st.IndexBytes)/float64(st.LogBytes))
	for _, c := range []struct {
		name string
		want int
		spec event.ReadSpec
	}{
		{"all", *benchEvents, event.ReadSpec{Scope: event.ScopeAll}},
		{"type", *benchEvents / benchTopics, event.ReadSpec{Scope: event.ScopeAll, Types: [][]byte{[]byte("Rare")}}},
		{"tag", *benchEvents / benchTopics, event.ReadSpec{Scope: event.ScopeAll, Tags: [][]byte{[]byte("any"), []byte("rare")}}},
		{"topic", *benchEvents / benchTopics, event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("topic-77")}},
		{"prefix", *benchEvents / benchTopics, event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("topic-77"), KeyPrefix: []byte("key")}},
		{"backwards", *benchEvents / benchTopics, event.ReadSpec{Scope: event.ScopeAll, Types: [][]byte{[]byte("Rare")}, Backwards: true, From: event.Point{Kind: event.End}}},
		{"common", *benchEvents - *benchEvents/benchTopics, event.ReadSpec{Scope: event.ScopeAll, Types: [][]byte{[]byte("Happened")}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			n, bytes := 0, int64(0)
			for range b.N {
				n, bytes = 0, 0
				r, err := s.Read(b.Context(), c.spec)
				if err != nil {
					b.Fatal(err)
				}
				for {
					batch, err := r.Next(b.Context())
					if err != nil {
						break
					}
					for _, e := range batch.Events {
						n, bytes = n+1, bytes+int64(len(e))
					}
				}
				r.Close()
			}
			if n != c.want {
				b.Fatalf("%d events, want %d", n, c.want)
			}
			b.SetBytes(bytes)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event")
		})
	}
}
