package http

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/limits"
)

// quick is a shard that keeps nothing, so that a benchmark measures the door.
type quick struct{ *gatewaytest.Shard }

func (quick) Submit(calls []*event.Call) {
	for _, c := range calls {
		c.Outcome = event.Outcome{Streams: []event.StreamOutcome{{FirstRevision: 1, LastRevision: 1, FirstOffset: 1, LastOffset: 1}}, Position: position.Position{Shard: 1, History: 7, Offset: 1}}
		c.Done(c)
	}
}

const benchPath = "/v1/streams/orders/o-1/events"

var benchBody = []byte(`{"events":[{"type":"OrderPlaced","metadata":{"correlation_id":"c-17"},"data":{"order":"o-1","note":"` + strings.Repeat("x", 200) + `"}}]}`)

// BenchmarkAppend is over loopback with 64 keep-alive connections, client and server sharing the machine.
func BenchmarkAppend(b *testing.B) {
	l := limits.Default()
	f := openOver(b, Settings{}, quick{gatewaytest.NewShard()}, &l, "orders")
	address := f.listen(b)
	const callers = 64
	transport := &http.Transport{MaxIdleConnsPerHost: callers}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	work := make(chan struct{}, callers)
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for range work {
				resp, err := client.Post(address+benchPath, "application/json", bytes.NewReader(benchBody))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != 201 {
					b.Errorf("status %d", resp.StatusCode)
					return
				}
			}
		})
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

// discard is a response writer that keeps nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkAppendHandler is the door alone, without net/http's server.
func BenchmarkAppendHandler(b *testing.B) {
	l := limits.Default()
	f := openOver(b, Settings{}, quick{gatewaytest.NewShard()}, &l, "orders")
	body := bytes.NewReader(benchBody)
	r := httptest.NewRequest("POST", benchPath, body)
	r.Header.Set("Content-Type", "application/json")
	w := discard{http.Header{}}
	b.ReportAllocs()
	b.SetBytes(int64(len(benchBody)))
	for b.Loop() {
		body.Reset(benchBody)
		clear(w.h)
		f.door.ServeHTTP(w, r)
	}
}

// BenchmarkReadPage is a page of 100 events of 256 bytes.
func BenchmarkReadPage(b *testing.B) {
	f := open(b, "orders")
	for range 100 {
		f.must(b, benchPath, string(benchBody))
	}
	r := httptest.NewRequest("GET", benchPath, nil)
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		f.door.ServeHTTP(w, r)
	}
	b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
