package gateway

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// FirstShard is the shard that every cluster begins with, and where topics live when nobody says.
const FirstShard = 1

// Read starts a read of a stream, a topic, or (ScopeAll) of the shard of that number. The caller closes the reader. A topic
// that does not exist is not_found; a stream without events is a read without events.
//
// A topic of several partitions is read from all of its shards: each batch is from one, and tells where the read is in all of them.
func (g *Gateway) Read(ctx context.Context, who Caller, shard uint32, spec event.ReadSpec) (event.Reader, error) {
	r, err := g.read(ctx, who, shard, spec)
	g.tellFailed(err)
	return r, err
}

func (g *Gateway) read(ctx context.Context, who Caller, shard uint32, spec event.ReadSpec) (event.Reader, error) {
	if err := g.admit(); err != nil {
		return nil, err
	}
	if err := g.auth.Authorize(who, ActRead, spec.Topic); err != nil {
		return nil, err
	}
	if spec.Follow && spec.Order == event.ByRecorded {
		return nil, errs.New(errs.Invalid, "a read in the order of recorded times cannot follow: what a shard records next may belong before what was read").With("field", "order")
	}
	shards, err := g.scope(ctx, shard, &spec)
	if err != nil {
		return nil, err
	}
	if len(shards) > 1 {
		r, err := g.readAll(ctx, shards, spec)
		if err != nil {
			return nil, err
		}
		return g.listen(r, &awaited{}), nil
	}
	s, err := g.shard(shards[0])
	if err != nil {
		return nil, err
	}
	where := &awaited{Predicate: spec.Where}
	if spec.Where != nil {
		spec.Where = where
	}
	r, err := s.Read(ctx, spec)
	if err != nil {
		return nil, err
	}
	return g.listen(r, where), nil
}

// tellFailed tells the listener of a failure that is not the reader's own leaving.
func (g *Gateway) tellFailed(err error) {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) || g.listener.ReadFailed == nil {
		return
	}
	g.listener.ReadFailed(err)
}

// scope finds the shards that are read, and holds the starting point against them.
func (g *Gateway) scope(ctx context.Context, shard uint32, spec *event.ReadSpec) (shards []uint32, err error) {
	if spec.Scope == event.ScopeAll {
		return []uint32{shard}, oneShard(spec, shard, "what is read")
	}
	t, ok := g.topic(ctx, spec.Topic)
	switch {
	case !ok:
		return nil, errUnknownTopic(string(spec.Topic))
	case spec.Scope == event.ScopeStream:
		shard := t.ShardOf(spec.Key)
		return []uint32{shard}, oneShard(spec, shard, "the stream "+t.Name+"/"+string(spec.Key))
	case len(t.Partitions) == 0:
		return []uint32{t.Shard}, oneShard(spec, t.Shard, "topic "+t.Name)
	}
	return t.Partitions, sameShards(spec, &t)
}

// oneShard refuses a position in several shards for a read of one. That of a stream may begin at one that its topic's read has given.
func oneShard(spec *event.ReadSpec, shard uint32, what string) error {
	if spec.From.Kind != event.AtPosition || len(spec.From.Others) == 0 {
		return nil
	}
	place := spec.From.Place()
	p, ok := place.In(shard)
	if !ok || spec.Scope != event.ScopeStream {
		return errs.New(errs.Invalid, "the position is in %s, and %s is in shard %d alone: take one that a read of it has given", plural(place), what, shard).With("field", "from")
	}
	spec.From.Position, spec.From.Others = p, nil
	return nil
}

// sameShards refuses a position that is not in just the shards of the topic: what is missing would be read twice, or not at all.
func sameShards(spec *event.ReadSpec, t *Topic) error {
	if spec.From.Kind != event.AtPosition {
		return nil
	}
	place := spec.From.Place()
	fits := len(place) == len(t.Partitions)
	for _, shard := range t.Partitions {
		_, ok := place.In(shard)
		fits = fits && ok
	}
	if fits {
		return nil
	}
	return errs.New(errs.Invalid, "the position is in %s, and topic %s lives in shards %s: take one that a read of this topic has given; that of an append is for its stream alone",
		plural(place), t.Name, numbers(t.Partitions)).With("field", "from").With("topic", t.Name)
}

func plural(place position.List) string {
	if len(place) == 1 {
		return "shard " + shardsOf(place)
	}
	return "shards " + shardsOf(place)
}

func shardsOf(place position.List) string {
	list := make([]uint32, len(place))
	for i, p := range place {
		list[i] = p.Shard
	}
	return numbers(list)
}

// Head tells where a stream ends, linearizably. It is zero for a stream without events, also of a topic without existence.
func (g *Gateway) Head(ctx context.Context, who Caller, topic, key []byte) (event.Head, position.Position, error) {
	if err := g.admit(); err != nil {
		return event.Head{}, position.Position{}, err
	}
	if err := g.auth.Authorize(who, ActRead, topic); err != nil {
		return event.Head{}, position.Position{}, err
	}
	s, err := g.shardOf(topic, key)
	if err != nil {
		return event.Head{}, position.Position{}, err
	}
	return s.Head(ctx, topic, key)
}

// listen puts the listener between a reader and its user.
func (g *Gateway) listen(r event.Reader, where *awaited) event.Reader {
	if g.listener.ReadStarted != nil {
		g.listener.ReadStarted()
	}
	return &heardReader{Reader: r, g: g, where: where}
}

type heardReader struct {
	event.Reader
	g            *Gateway
	where        *awaited
	live, closed bool
}

func (r *heardReader) Next(ctx context.Context) (event.Batch, error) {
	r.where.ctx = ctx
	told := r.g.listener.ReadBatch
	if told == nil {
		b, err := r.Reader.Next(ctx)
		r.g.tellFailed(err)
		return b, err
	}
	began := time.Now()
	b, err := r.Reader.Next(ctx)
	if err != nil {
		r.g.tellFailed(err)
		return b, err
	}
	told(time.Since(began), len(b.Events), sizeOf(b.Events), r.live)
	r.live = r.live || b.Live
	return b, nil
}

func sizeOf(events [][]byte) (n int) {
	for _, e := range events {
		n += len(e)
	}
	return n
}

func (r *heardReader) Close() {
	r.Reader.Close()
	if told := r.g.listener.ReadEnded; told != nil && !r.closed {
		told()
	}
	r.closed = true
}
