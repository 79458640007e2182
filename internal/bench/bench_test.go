package bench

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramAgreesWithSorting(t *testing.T) {
	for _, spread := range []float64{8, 16, 24, 36} {
		var h histogram
		exact := make([]time.Duration, 10_000)
		for i := range exact {
			exact[i] = time.Duration(math.Exp2(rand.Float64() * spread))
			h.record(exact[i])
		}
		slices.SortFunc(exact, cmp.Compare)
		for _, q := range []float64{0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1} {
			want := exact[max(int(q*float64(len(exact))+0.5), 1)-1]
			got := h.quantile(q)
			if got < want || float64(got) > float64(want)*(1+1.0/128)+1 {
				t.Errorf("spread 2^%v, quantile %v: %d ns, exactly %d ns", spread, q, got, want)
			}
		}
	}
}

func TestHistogramBucketsAreContiguous(t *testing.T) {
	for i := range buckets - 1 {
		if top := ceiling(i); bucket(top) != i || bucket(top+1) != i+1 {
			t.Fatalf("bucket %d ends at %d, which is in %d, and the next value in %d", i, top, bucket(top), bucket(top+1))
		}
	}
	if got := bucket(math.MaxUint64); got != buckets-1 {
		t.Errorf("the largest value is in bucket %d of %d", got, buckets)
	}
	var h histogram
	if h.quantile(0.5) != 0 {
		t.Error("an empty histogram has a quantile")
	}
	h.record(-time.Second)
	if h.count() != 1 || h.quantile(1) != 0 {
		t.Error("a clock that went backwards is not counted as 0")
	}
}

func TestIDsAreUniqueUnorderedAndReadable(t *testing.T) {
	n := newNaming()
	seen := map[string]bool{}
	ascending := 0
	last := ""
	for worker := range 16 {
		for seq := range uint64(1000) {
			id := string(n.append(nil, worker, seq))
			if seen[id] {
				t.Fatalf("id %s came twice", id)
			}
			seen[id] = true
			if id > last {
				ascending++
			}
			last = id
			if w, s, ok := n.read(id); !ok || w != worker || s != seq {
				t.Fatalf("id %s of (%d, %d) reads as (%d, %d, %v)", id, worker, seq, w, s, ok)
			}
			if _, _, ok := newNaming().read(id); ok {
				t.Fatalf("id %s is taken for another run's", id)
			}
		}
	}
	if ascending < 7000 || ascending > 9000 {
		t.Errorf("%d of 16000 ids are above the one before: they are in an order", ascending)
	}
	for _, bad := range []string{"", "0123456789abcdefghjkmnpqr", "0123456789abcdefghjkmnpqrI"} {
		if _, _, ok := n.read(bad); ok {
			t.Errorf("%q reads as an id", bad)
		}
	}
}

func TestBitmap(t *testing.T) {
	var b bitmap
	b.set(62, 4)
	for i := range uint64(200) {
		if want := i >= 62 && i < 66; b.has(i) != want {
			t.Errorf("%d: %v, want %v", i, b.has(i), want)
		}
	}
}

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	res, err := Disk(context.Background(), DiskConfig{Dir: dir, FileBytes: 2 * mib, Duration: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if res.SyncsPerSecond <= 0 || res.FillMiBPerSec <= 0 || res.P99 < res.P50 || !res.Verified {
		t.Errorf("%+v", res)
	}
	if _, err := Disk(context.Background(), DiskConfig{Dir: dir, FileBytes: 100}); err == nil {
		t.Error("a file of 100 bytes is taken")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Disk(ctx, DiskConfig{Dir: dir, FileBytes: mib}); err == nil {
		t.Error("a cancelled probe says nothing")
	}
}

func TestSettingsAreChecked(t *testing.T) {
	ctx := context.Background()
	bad := []AppendConfig{{Concurrency: -1}, {Size: -1}, {Batch: -2}, {InFlight: -1}, {Streams: -1}, {Duration: -1},
		{Expect: true, Streams: 3, Concurrency: 4}, {Concurrency: 1 << 30}}
	for _, cfg := range bad {
		if _, err := Append(ctx, cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
	if _, err := Load(ctx, LoadConfig{Streams: -1}); err == nil {
		t.Error("a load of -1 streams is taken")
	}
}

func BenchmarkHistogram(b *testing.B) {
	var h histogram
	for i := range b.N {
		h.record(time.Duration(i * 7919 & (1<<24 - 1)))
	}
}

func TestARunCanBeCalledOff(t *testing.T) {
	for _, inFlight := range []int{1, 4} {
		m, target := newMemory(t)
		ctx, cancel := context.WithCancel(t.Context())
		m.called = cancel
		cfg := quick(target)
		cfg.Duration, cfg.InFlight = time.Hour, inFlight
		if _, err := Append(ctx, cfg); !errors.Is(err, context.Canceled) {
			t.Errorf("%d in flight: %v", inFlight, err)
		}
	}
}

// The rates of a run that begins at 1,000 events/s and ends at 500.
func TestGrowthComparesTheEndWithTheBeginning(t *testing.T) {
	g := &growing{appendRun: newAppendRun(AppendConfig{Streams: 1, Size: 1}, nil)}
	events := uint64(0)
	for at := time.Duration(0); at <= 400*time.Second; at += growSample {
		g.samples = append(g.samples, sample{at, events})
		events += uint64(pick(at < 200*time.Second, 100, 50))
	}
	r := g.result(0)
	if r.First != 1000 || r.Last != 500 || r.Window != 5 {
		t.Errorf("%v/s at the beginning and %v/s at the end, over %v s", r.First, r.Last, r.Window)
	}
	if len(r.Rates) != 400 || r.Rates[100] != 1000 || r.Rates[300] != 500 {
		t.Errorf("%d rates: %v", len(r.Rates), r.Rates)
	}
}

func TestTheLongestPause(t *testing.T) {
	r := newAppendRun(AppendConfig{Streams: 1, Size: 1}, nil)
	r.began.Store(int64(time.Second))
	for _, at := range []time.Duration{1100, 1200, 1700, 1750} {
		r.acknowledged(1, (at-10)*time.Millisecond, at*time.Millisecond)
	}
	r.ends.Store(int64(1800 * time.Millisecond))
	if got := r.result().PauseMs; got != 500 {
		t.Errorf("the longest pause is told as %v ms", got)
	}
}
