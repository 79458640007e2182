package shard

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// counts tells how many events a topic, or the shard, has in each part of a span.
func (m *model) counts(topic string, from, to int64, buckets int) []uint64 {
	counts := make([]uint64, buckets)
	for i := range m.events {
		e := &m.events[i]
		if topic != "" && e.topic != topic || e.time < from || e.time >= to {
			continue
		}
		for b := range counts {
			if e.time < bound(from, to, b+1, buckets) {
				counts[b]++
				break
			}
		}
	}
	return counts
}

func (m *match) compareCounts(t *rapid.T) {
	topic := rapid.SampledFrom(append([]string{"", "none"}, topics...)).Draw(t, "counted")
	at := func(name string) int64 {
		if m.m.last() == 0 || rapid.IntRange(0, 3).Draw(t, name) == 0 {
			return rigStart.Add(time.Duration(rapid.Int64Range(-2, 300).Draw(t, name)) * time.Minute).UnixNano()
		}
		return rapid.SampledFrom(m.m.events).Draw(t, name).time + rapid.Int64Range(-1, 1).Draw(t, "beside")
	}
	from, to := at("from"), at("to")
	if from >= to {
		from, to = to, from+1
	}
	buckets := rapid.SampledFrom([]int{1, 2, 7, 1000}).Draw(t, "buckets")
	got, err := m.s.Counts(t.Context(), []byte(topic), time.Unix(0, from), time.Unix(0, to), buckets)
	if err != nil {
		t.Fatal(err)
	}
	if want := m.m.counts(topic, from, to, buckets); !slices.Equal(got, want) {
		t.Fatalf("%q in %d parts from %d to %d: %v, want %v", topic, buckets, from, to, got, want)
	}
}

// TestCountsRefuses holds the bounds of what may be asked.
func TestCountsRefuses(t *testing.T) {
	r := newRig(t).open()
	defer r.close()
	r.mustAppend(one("a", "1", event.Expect{}, "1"))
	for _, q := range []struct {
		from, to time.Time
		buckets  int
	}{
		{rigStart, rigStart, 1}, {rigStart.Add(1), rigStart, 1}, {rigStart, rigStart.Add(1), 0}, {rigStart, rigStart.Add(1), maxBuckets + 1},
		{time.Unix(-1, 0), rigStart, 1}, {time.Time{}, rigStart, 1}, {rigStart, time.Unix(math.MaxInt32*100, 0), 1},
	} {
		_, err := r.s.Counts(t.Context(), nil, q.from, q.to, q.buckets)
		wantCode(t, err, errs.Invalid)
	}
	got, err := r.s.Counts(t.Context(), nil, time.Unix(0, 0), time.Unix(0, math.MaxInt64), maxBuckets)
	if n := slices.IndexFunc(got, func(n uint64) bool { return n > 0 }); err != nil || n < 0 || got[n] != 1 {
		t.Fatalf("%d %v", n, err)
	}
}
