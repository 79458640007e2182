package gateway

import (
	"context"
	"strings"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

const (
	// DefaultBuckets and defaultSpan are a day in hours.
	DefaultBuckets = 24
	defaultSpan    = 24 * time.Hour
	// LargestBuckets is more than any chart shows.
	LargestBuckets = 10_000
)

// CountsQuery asks how many events of a topic were recorded over time. From and To are starting points that name a time; empty is
// the default, as is no Buckets.
type CountsQuery struct {
	Topic    string
	From, To string
	Buckets  uint64
}

// Counts are events in even parts of the time from From (included) to To (excluded).
type Counts struct {
	From, To time.Time
	Width    time.Duration
	Counts   []uint64
}

// Counts counts the events of a topic over time. The end of the span moves up until all parts are equally wide, to the nanosecond.
func (g *Gateway) Counts(ctx context.Context, who Caller, q CountsQuery) (Counts, error) {
	if err := g.auth.Authorize(who, ActInspect, []byte(q.Topic)); err != nil {
		return Counts{}, err
	}
	if err := event.CheckTopic(q.Topic); err != nil {
		return Counts{}, err
	}
	topic, ok := g.topic(ctx, []byte(q.Topic))
	if !ok {
		return Counts{}, errUnknownTopic(q.Topic)
	}
	c, buckets, err := g.span(q, topic)
	if err != nil {
		return Counts{}, err
	}
	c.Counts = make([]uint64, buckets)
	for _, number := range topic.Shards() {
		s, err := g.shard(number)
		if err != nil {
			return Counts{}, err
		}
		counts, err := s.Counts(ctx, []byte(q.Topic), c.From, c.To, buckets)
		if err != nil {
			return Counts{}, err
		}
		for i, n := range counts {
			c.Counts[i] += n
		}
	}
	return c, nil
}

func (g *Gateway) span(q CountsQuery, topic Topic) (c Counts, buckets int, err error) {
	switch {
	case q.Buckets == 0:
		q.Buckets = DefaultBuckets
	case q.Buckets > LargestBuckets:
		return c, 0, errs.New(errs.TooLarge, "%d buckets were asked for; there may be at most %d", q.Buckets, LargestBuckets).With("field", "buckets")
	}
	now := g.clock.Now().UTC()
	if c.To, err = moment("to", q.To, now, topic, now.Truncate(time.Hour).Add(time.Hour)); err != nil {
		return c, 0, err
	}
	if c.From, err = moment("from", q.From, now, topic, c.To.Add(-defaultSpan)); err != nil {
		return c, 0, err
	}
	if !c.From.Before(c.To) {
		return c, 0, errs.New(errs.Invalid, "from is %s, which is not before to, %s", c.From.Format(time.RFC3339), c.To.Format(time.RFC3339)).With("field", "from")
	}
	n := time.Duration(q.Buckets)
	c.Width = (c.To.Sub(c.From) + n - 1) / n
	c.To = c.From.Add(c.Width * n)
	return c, int(q.Buckets), nil
}

// moment reads a starting point that names a time; time: may be left out.
func moment(field, s string, now time.Time, topic Topic, otherwise time.Time) (time.Time, error) {
	if s == "" {
		return otherwise, nil
	}
	p, err := event.ParsePoint(s, false)
	if err != nil && !strings.Contains(s, "time:") {
		p, err = event.ParsePoint("time:"+s, false)
	}
	if err != nil {
		return time.Time{}, notATime(field, s)
	}
	switch p.Kind {
	case event.AtTime:
		return p.Time, nil
	case event.Ago:
		return now.Add(-p.Ago), nil
	case event.Start:
		return topic.Created.UTC(), nil
	case event.End:
		return now, nil
	}
	return time.Time{}, notATime(field, s)
}

func notATime(field, s string) error {
	return errs.New(errs.Invalid, "%s is %.100q, which is no time: use 2006-01-02T15:04:05Z, 2006-01-02 (UTC), -2h, start (when the topic was created) or end (now)", field, s).With("field", field)
}
