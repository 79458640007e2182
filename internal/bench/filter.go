package bench

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gesta-db/gesta/client"
)

// FilterConfig says what to read among how much. Zero values take the defaults in brackets.
type FilterConfig struct {
	Target
	Events int // in all, written first when they are not there [1,000,000]
	Topics int // that they are dealt to in turn; one event in so many has the type, another one the tag that is looked for [1,000]
	Size   int // payload bytes of an event [256]
	Rounds int // how often each is read [5]
}

// FilterResult is what reading a part costs, beside reading everything. Ratios are formed within each round; the median is told.
type FilterResult struct {
	Events   int       `json:"events"`
	Topics   int       `json:"topics"`
	Filled   int       `json:"filled"` // events written first
	All      PartRead  `json:"all"`    // the whole shard
	Type     PartRead  `json:"type"`   // of it, the events of one type
	Tag      PartRead  `json:"tag"`
	Topic    PartRead  `json:"topic"`          // one of the topics
	ByType   []float64 `json:"all_over_type"`  // time of reading everything by that of reading what has the type, of each round
	ByTag    []float64 `json:"all_over_tag"`   // likewise
	PerByte  []float64 `json:"topic_per_byte"` // time per byte of payload of the one topic, by that of the whole shard
	Verified bool      `json:"verified"`       // every read found what was written
}

// PartRead is one kind of read.
type PartRead struct {
	Events  int       `json:"events"`
	Bytes   int       `json:"bytes"` // of payload
	Seconds []float64 `json:"seconds"`
}

func (c *FilterConfig) fill() error {
	c.Events, c.Topics, c.Size, c.Rounds = or(c.Events, 1_000_000), or(c.Topics, 1_000), or(c.Size, 256), or(c.Rounds, 5)
	for name, v := range map[string]int{"events": c.Events, "topics": c.Topics, "size": c.Size, "rounds": c.Rounds} {
		if v < 1 {
			return invalid("%s must be at least 1, not %d", name, v)
		}
	}
	if c.Events < c.Topics {
		return invalid("%d events are too few for %d topics", c.Events, c.Topics)
	}
	return nil
}

const (
	filterType = "Seldom"
	filterTag  = "seldom"
)

// Filter reads the whole of a shard, one type of it, one tag of it, and one topic of many, in turn.
func Filter(ctx context.Context, cfg FilterConfig) (FilterResult, error) {
	if err := cfg.fill(); err != nil {
		return FilterResult{}, err
	}
	c, err := cfg.open()
	if err != nil {
		return FilterResult{}, err
	}
	defer c.Close()
	f := &filtering{cfg: cfg, client: c}
	f.res = FilterResult{Events: cfg.Events, Topics: cfg.Topics, Verified: true}
	if err := f.write(ctx); err != nil {
		return f.res, err
	}
	var rounds atomic.Uint64
	defer cfg.watch(Measuring, uint64(cfg.Rounds), rounds.Load)()
	for range cfg.Rounds {
		if err := f.round(ctx); err != nil {
			return f.res, err
		}
		rounds.Add(1)
	}
	want := cfg.Events / cfg.Topics
	f.res.Verified = f.res.All.Events >= cfg.Events && f.res.Type.Events == want && f.res.Tag.Events == want && f.res.Topic.Events == want
	return f.res, nil
}

// filtering is a run under way.
type filtering struct {
	cfg    FilterConfig
	client *client.Client
	res    FilterResult
}

// topic names one of the topics; the shape is in it, so that a run of another shape has its own.
func (f *filtering) topic(i int) string {
	return fmt.Sprintf("bench-filter-%d-%d-%04d", f.cfg.Events, f.cfg.Size, i%f.cfg.Topics)
}

// small is how often a read of a part is repeated in a round: it is over in a moment.
const small = 5

func (f *filtering) round(ctx context.Context) error {
	shard, r := client.ShardScope(1), &f.res
	all, err := f.read(ctx, &r.All, 1, shard, client.ReadOptions{})
	if err != nil {
		return err
	}
	byType, err := f.read(ctx, &r.Type, small, shard, client.ReadOptions{Types: []string{f.name(filterType)}})
	if err != nil {
		return err
	}
	byTag, err := f.read(ctx, &r.Tag, small, shard, client.ReadOptions{Tags: []string{f.name(filterTag)}})
	if err != nil {
		return err
	}
	topic, err := f.read(ctx, &r.Topic, small, client.TopicScope(f.topic(f.cfg.Topics/2)), client.ReadOptions{})
	if err != nil {
		return err
	}
	r.ByType, r.ByTag = append(r.ByType, all/byType), append(r.ByTag, all/byTag)
	r.PerByte = append(r.PerByte, (topic/float64(r.Topic.Bytes))/(all/float64(r.All.Bytes)))
	return nil
}

// name tells the type or tag of this shape from those of others.
func (f *filtering) name(s string) string {
	return fmt.Sprintf("%s-%d-%d", s, f.cfg.Events, f.cfg.Topics)
}

// read gives the median time of some reads, in seconds.
func (f *filtering) read(ctx context.Context, p *PartRead, times int, scope client.Scope, o client.ReadOptions) (float64, error) {
	var took []float64
	for range times {
		began := time.Now()
		events, bytes, err := f.count(ctx, scope, o)
		if err != nil {
			return 0, err
		}
		if events == 0 {
			return 0, invalid("a read found nothing of what was written")
		}
		took = append(took, time.Since(began).Seconds())
		p.Events, p.Bytes = events, bytes
	}
	slices.Sort(took)
	middle := took[len(took)/2]
	p.Seconds = append(p.Seconds, middle)
	return middle, nil
}

func (f *filtering) count(ctx context.Context, scope client.Scope, o client.ReadOptions) (events, bytes int, err error) {
	rd := f.client.Read(ctx, scope, o)
	defer rd.Close()
	for {
		e, err := rd.Next()
		if err == io.EOF {
			return events, bytes, nil
		}
		if err != nil {
			return events, bytes, err
		}
		events++
		bytes += len(e.Data)
	}
}

// write deals the events to the topics in turn. The ids are those of the place, so that a filling that was cut off is completed by
// the next; the last topic's count tells one that was not.
func (f *filtering) write(ctx context.Context) error {
	c := f.cfg
	if t, err := f.client.Topic(ctx, f.topic(c.Topics-1)); err == nil && t.Events == uint64(c.Events/c.Topics) {
		return nil
	} else if err != nil && client.CodeOf(err) != client.CodeNotFound {
		return err
	}
	var done atomic.Uint64
	defer c.watch(Filling, uint64(c.Events), done.Load)()
	ring := make([]*client.Pending, fillInFlight)
	for n, from := 0, 0; from < c.Events; n, from = n+1, from+commitStreams {
		p := &ring[n%len(ring)]
		if err := landed(ctx, *p); err != nil {
			return err
		}
		to := min(from+commitStreams, c.Events)
		*p = f.client.Start(ctx, f.commit(from, to))
		done.Add(uint64(to - from))
	}
	for _, p := range ring {
		if err := landed(ctx, p); err != nil {
			return err
		}
	}
	f.res.Filled = c.Events
	return nil
}

func (f *filtering) commit(from, to int) []client.Append {
	var streams []client.Append
	at := map[string]int{}
	for i := from; i < to; i++ {
		topic := f.topic(i)
		j, ok := at[topic]
		if !ok {
			j = len(streams)
			at[topic] = j
			streams = append(streams, client.Append{Topic: topic, Key: fmt.Sprintf("stream-%d", i/f.cfg.Topics%10)})
		}
		streams[j].Events = append(streams[j].Events, f.event(i))
	}
	return streams
}

// event marks one in so many: over the topics, not one topic's.
func (f *filtering) event(i int) client.Event {
	e := client.Event{ID: fmt.Sprintf("event-%09d", i), Type: "Usual", Data: make([]byte, f.cfg.Size)}
	for at := range e.Data {
		e.Data[at] = byte(rand.Uint32())
	}
	group, place := i/f.cfg.Topics, i%f.cfg.Topics
	if place == group*7%f.cfg.Topics && group < f.cfg.Events/f.cfg.Topics {
		e.Type = f.name(filterType)
	}
	if place == group*11%f.cfg.Topics && group < f.cfg.Events/f.cfg.Topics {
		e.Tags = []string{"usual", f.name(filterTag)}
	}
	return e
}
