package cli

import (
	"math"
	"strings"
	"testing"
)

func TestChartBar(t *testing.T) {
	for _, c := range []struct {
		n, most uint64
		want    string
	}{
		{0, 0, ""}, {0, 5, ""}, {1, math.MaxUint64, "▏"}, {5, 5, strings.Repeat("█", barCells)}, {math.MaxUint64, math.MaxUint64, strings.Repeat("█", barCells)},
		{1, 2, strings.Repeat("█", barCells/2)}, {1, 64, "▋"},
	} {
		if got := chartBar(c.n, c.most); got != c.want {
			t.Errorf("%d of %d: %q, want %q", c.n, c.most, got, c.want)
		}
	}
}
