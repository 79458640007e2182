package partition

import (
	"fmt"
	"testing"
)

// TestGolden holds where keys lie: what is stored is found by it for ever. The hashes are those of the reference implementation of
// XXH64 with the seed 0.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		key                 string
		of2, of3, of8, of64 int
	}{
		{"", 1, 0, 1, 25},
		{"a", 1, 2, 3, 27},
		{"42", 1, 2, 1, 57},
		{"customer-42", 1, 2, 7, 15},
		{"order/2026-11-21", 1, 2, 1, 17},
		{"zürich", 0, 0, 0, 0},
		{"0f8fad5b-d9cd-469f-a165-70867728950e", 0, 2, 2, 10},
	} {
		for n, want := range map[int]int{1: 0, 2: c.of2, 3: c.of3, 8: c.of8, 64: c.of64} {
			if got := Of([]byte(c.key), n); got != want {
				t.Errorf("%q is in partition %d of %d, want %d", c.key, got, n, want)
			}
		}
	}
}

// Keys that differ little spread evenly.
func TestSpread(t *testing.T) {
	for _, n := range []int{2, 3, 8, 64} {
		counts := make([]int, n)
		const keys = 64_000
		for i := range keys {
			counts[Of(fmt.Appendf(nil, "customer-%d", i), n)]++
		}
		for p, count := range counts {
			if count < keys/n*8/10 || count > keys/n*12/10 {
				t.Errorf("partition %d of %d has %d keys of %d", p, n, count, keys)
			}
		}
	}
}

func TestItTakesNoMemory(t *testing.T) {
	key := []byte("customer-42")
	if n := testing.AllocsPerRun(100, func() { Of(key, 8) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
