package node

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gesta-db/gesta/client"
)

// BenchmarkAppend measures the whole way of single-event appends on loopback: client, door, log, sync, and back.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 64, 256, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchmarkAppend(b, callers) })
	}
}

func benchmarkAppend(b *testing.B, callers int) {
	c := DefaultConfig()
	c.Data, c.GRPC, c.HTTP = b.TempDir(), "127.0.0.1:0", "127.0.0.1:0"
	c.TuneMemory()
	n, err := Start(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close(b.Context())
	cl, err := client.New(client.Options{Addrs: []string{n.Addr()}})
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	data := make([]byte, 256)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range callers {
		wg.Go(func() {
			for i := 0; left.Add(-1) >= 0; i++ {
				_, err := cl.Append(b.Context(), client.Append{Topic: "bench", Key: fmt.Sprint(w, i%400), Events: []client.Event{{Type: "T", Data: data}}})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
