package shard

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/limits"
	"github.com/gesta-db/gesta/internal/vfs"
)

// options are those of a shard of one on the real disk.
func options(dir string) Options {
	return Options{
		Config: Config{
			Number: 1, Cluster: "test", Replica: 1, Limits: limits.Default(),
			NewHistory: func() uint64 { return 7 }, Logger: slog.New(slog.DiscardHandler),
		},
		FS: vfs.OS(), Dir: dir + "/shard", IndexDir: dir + "/index", Voters: []uint64{1}, Clock: clock.System(),
	}
}

// open opens a shard and closes it with the test.
func open(t testing.TB, o Options) *Shard {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// one makes a commit of events of one stream; an id of "" gets one.
func one(topic, key string, expect event.Expect, ids ...string) *event.Commit {
	a := event.Append{Topic: []byte(topic), Key: []byte(key), Expect: expect}
	c := &event.Commit{}
	for _, id := range ids {
		b := eventwire.AppendEvent(nil, &eventwire.Event{ID: id, Type: "Happened", Data: []byte(`{"id":"` + id + `"}`)})
		a.Events = append(a.Events, event.Prepared{ID: []byte(id), Type: []byte("Happened"), Bytes: b})
		c.Bytes += len(b)
	}
	c.Streams = []event.Append{a}
	return c
}

// BenchmarkAppend measures the write path without a network: callers that each wait for their event.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 64, 256, 1024} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s := open(b, options(b.TempDir()))
			next := make(chan *event.Call, callers)
			for range callers {
				next <- &event.Call{Done: func(c *event.Call) { next <- c }}
			}
			data := make([]byte, 200)
			prepared := make([]event.Prepared, b.N)
			for i := range prepared {
				id := fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15)
				prepared[i] = event.Prepared{ID: []byte(id), Type: []byte("Happened"), Bytes: eventwire.AppendEvent(nil, &eventwire.Event{ID: id, Type: "Happened", Data: data})}
			}
			b.ResetTimer()
			for i := 0; i < b.N; {
				var calls []*event.Call
				for c := range next {
					if c.Err != nil {
						b.Fatal(c.Err)
					}
					key := []byte(fmt.Sprint("k", i*7919%100_000))
					c.Commit = &event.Commit{Streams: []event.Append{{Topic: []byte("orders"), Key: key, Events: prepared[i : i+1]}}, Bytes: len(prepared[i].Bytes)}
					calls = append(calls, c)
					if i++; i >= b.N || len(next) == 0 {
						break
					}
				}
				s.Submit(calls)
			}
			for range callers {
				<-next
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
