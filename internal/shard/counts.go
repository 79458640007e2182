package shard

import (
	"context"
	"math"
	"math/bits"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

// maxBuckets bounds what one answer holds: more than any chart shows.
const maxBuckets = 10_000

// Counts tells how many events were recorded in each of some even parts of the time from one moment, included, to another,
// excluded: of a topic, or of the whole shard when there is none. It includes everything acknowledged before the call.
// The error is Invalid for a span that is empty, ends before it begins, or leaves the years 1970 to 2262, and for a number of parts
// outside 1 to 10,000.
func (s *Shard) Counts(ctx context.Context, topic []byte, from, to time.Time, buckets int) ([]uint64, error) {
	switch {
	case !from.Before(to):
		return nil, errs.New(errs.Invalid, "the time to count to must come after the time to count from").With("field", "to")
	case from.Before(time.Unix(0, 0)) || to.After(time.Unix(0, math.MaxInt64)):
		return nil, errs.New(errs.Invalid, "events are counted between the years 1970 and 2262").With("field", "from")
	case buckets < 1 || buckets > maxBuckets:
		return nil, errs.New(errs.Invalid, "%d buckets were asked for: ask for 1 to %d", buckets, maxBuckets).With("field", "buckets")
	}
	if err := s.Barrier(ctx); err != nil {
		return nil, err
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	times := make([]int64, buckets+1)
	for i := range times {
		times[i] = bound(from.UnixNano(), to.UnixNano(), i, buckets)
	}
	counts, err := s.ix.Counts(topic, times)
	return counts, s.damaged(err)
}

// bound is where the i-th of n even parts begins.
func bound(from, to int64, i, n int) int64 {
	high, low := bits.Mul64(uint64(to-from), uint64(i))
	at, _ := bits.Div64(high, low, uint64(n))
	return from + int64(at)
}
