package bench

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations in buckets that are exact up to 128 ns and then at most 1/128 of their value wide. Any number of
// goroutines may record. The zero value is empty.
type histogram struct {
	buckets [buckets]atomic.Uint64
	max     atomic.Int64
}

const (
	fineBits = 7                                    // 128 buckets for each doubling
	topBits  = 42                                   // beyond 73 minutes everything is the last bucket
	buckets  = (topBits - fineBits + 1) << fineBits // 36 kB
)

func (h *histogram) record(d time.Duration) {
	h.buckets[bucket(uint64(max(d, 0)))].Add(1)
	for {
		top := h.max.Load()
		if int64(d) <= top || h.max.CompareAndSwap(top, int64(d)) {
			return
		}
	}
}

// bucket is the index for a value: the position of its highest bit, and the bits after it.
func bucket(v uint64) int {
	if v < 1<<fineBits {
		return int(v)
	}
	shift := bits.Len64(v) - fineBits - 1
	return min((shift<<fineBits)+int(v>>shift), buckets-1)
}

// ceiling is the largest value of a bucket.
func ceiling(i int) uint64 {
	if i < 2<<fineBits {
		return uint64(i)
	}
	shift := i>>fineBits - 1
	return uint64(i-shift<<fineBits+1)<<shift - 1
}

func (h *histogram) count() (n uint64) {
	for i := range h.buckets {
		n += h.buckets[i].Load()
	}
	return n
}

// quantile is the smallest duration that at least the part q of all does not exceed, rounded up to its bucket's end.
func (h *histogram) quantile(q float64) time.Duration {
	total := h.count()
	if total == 0 {
		return 0
	}
	rank := max(uint64(q*float64(total)+0.5), 1)
	seen := uint64(0)
	for i := range h.buckets {
		if seen += h.buckets[i].Load(); seen >= rank {
			return min(time.Duration(ceiling(i)), time.Duration(h.max.Load()))
		}
	}
	return time.Duration(h.max.Load())
}

func (h *histogram) latency() Latency {
	return Latency{
		P50: millis(h.quantile(0.5)), P90: millis(h.quantile(0.9)), P99: millis(h.quantile(0.99)),
		P999: millis(h.quantile(0.999)), Max: millis(time.Duration(h.max.Load())),
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
