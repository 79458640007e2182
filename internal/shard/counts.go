package shard

import (
	"context"
	"math"
	"math/bits"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/index"
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
	counts, err := s.counts(topic, from.UnixNano(), to.UnixNano(), buckets)
	return counts, s.damaged(err)
}

func (s *Shard) counts(topic []byte, from, to int64, buckets int) ([]uint64, error) {
	counts := make([]uint64, buckets)
	for i := range counts {
		first, err := s.ix.AtTime(bound(from, to, i, buckets))
		if err != nil {
			return nil, err
		}
		end, err := s.ix.AtTime(bound(from, to, i+1, buckets))
		if err != nil {
			return nil, err
		}
		if counts[i], err = s.between(topic, first, end); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// bound is where the i-th of n even parts begins.
func bound(from, to int64, i, n int) int64 {
	high, low := bits.Mul64(uint64(to-from), uint64(i))
	at, _ := bits.Div64(high, low, uint64(n))
	return from + int64(at)
}

func (s *Shard) between(topic []byte, first, end uint64) (n uint64, err error) {
	if len(topic) == 0 {
		return end - first, nil
	}
	it := s.ix.Topic(topic, first, false)
	defer it.Close()
	var at [128]index.Posting
	for {
		got, err := it.Next(at[:])
		if err != nil || got == 0 {
			return n, err
		}
		for _, p := range at[:got] {
			if p.Offset >= end {
				return n, nil
			}
			n++
		}
	}
}
