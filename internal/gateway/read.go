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

// FirstShard is the only shard there is.
const FirstShard = 1

// Read starts a read of a stream, a topic, or (ScopeAll) of the shard of that number. The caller closes the reader. A topic
// that does not exist is not_found; a stream without events is a read without events.
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
	if err := g.checkScope(shard, &spec); err != nil {
		return nil, err
	}
	where := &awaited{Predicate: spec.Where}
	if spec.Where != nil {
		spec.Where = where
	}
	r, err := g.shard.Read(ctx, spec)
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

func (g *Gateway) checkScope(shard uint32, spec *event.ReadSpec) error {
	if spec.Scope == event.ScopeAll {
		if shard != FirstShard {
			return errs.New(errs.NotFound, "there is no shard %d; there is shard %d", shard, FirstShard).With("field", "shard")
		}
		return nil
	}
	if _, ok := g.topics.Topic(spec.Topic); !ok {
		return errUnknownTopic(string(spec.Topic))
	}
	return nil
}

// Head tells where a stream ends, linearizably. It is zero for a stream without events, also of a topic without existence.
func (g *Gateway) Head(ctx context.Context, who Caller, topic, key []byte) (event.Head, position.Position, error) {
	if err := g.admit(); err != nil {
		return event.Head{}, position.Position{}, err
	}
	if err := g.auth.Authorize(who, ActRead, topic); err != nil {
		return event.Head{}, position.Position{}, err
	}
	return g.shard.Head(ctx, topic, key)
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
