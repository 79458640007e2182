package gateway

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// entityLog gives entities the logs in their words: it finds the shard of each.
type entityLog struct {
	g   *Gateway
	log func(shard uint32) (EntityLog, bool)
}

// Shard is where an entity lives. One whose topic does not exist would live on the first shard.
func (l *entityLog) Shard(topic, key []byte) uint32 {
	if t, ok := l.g.topics.Topic(topic); ok {
		return t.ShardOf(key)
	}
	return FirstShard
}

func (l *entityLog) of(shard uint32) (EntityLog, error) {
	if s, ok := l.log(shard); ok {
		return s, nil
	}
	return nil, errNoShard(shard, l.g.shards.Numbers())
}

// Barrier waits until everything acknowledged in a shard before the call is applied here.
func (l *entityLog) Barrier(ctx context.Context, shard uint32) error {
	s, err := l.of(shard)
	if err != nil {
		return err
	}
	return s.Barrier(ctx)
}

// Load reads an entity.
func (l *entityLog) Load(spec event.LoadSpec) (event.Loaded, error) {
	s, err := l.of(l.Shard(spec.Topic, spec.Key))
	if err != nil {
		return event.Loaded{}, err
	}
	return s.Load(spec)
}

// Command finds what became of a command.
func (l *entityLog) Command(topic, key, id []byte) (o event.Outcome, digest [32]byte, ok bool, err error) {
	s, err := l.of(l.Shard(topic, key))
	if err != nil {
		return o, digest, false, err
	}
	return s.Command(topic, key, id)
}

// Revision is an entity's newest.
func (l *entityLog) Revision(topic, key []byte) (uint64, error) {
	s, err := l.of(l.Shard(topic, key))
	if err != nil {
		return 0, err
	}
	return s.Revision(topic, key)
}

// Submit queues commits whose topics exist; those of a topic that does not any more wait for it elsewhere.
func (l *entityLog) Submit(calls []*event.Call, done func(*event.Call)) {
	g := l.g
	if err := g.refusal.Load(); err != nil {
		for _, c := range calls {
			c.Err = err
			done(c)
		}
		return
	}
	g.order.RLock()
	defer g.order.RUnlock()
	under := g.under
	finish := func(c *event.Call) {
		under.done()
		done(c)
	}
	q := queue{g: g, room: len(calls)}
	for _, c := range calls {
		shard, known, err := g.locate(c.Commit)
		if !known {
			go l.remake(c, done)
			continue
		}
		c.Done = finish
		if err == nil {
			err = q.add(shard, c)
		}
		if err != nil {
			c.Err = err
			done(c)
		}
	}
	q.flush()
}

// remake writes a commit whose topic was deleted: it was empty, so the commit is the first of its stream or refused.
func (l *entityLog) remake(c *event.Call, done func(*event.Call)) {
	c.After = nil
	ctx, cancel := context.WithTimeout(context.Background(), DefaultTimeout)
	defer cancel()
	o, _, err := l.g.append(ctx, Caller{}, c.Commit)
	c.Outcome, c.Err = o, err
	done(c)
}

// Prepare makes a kind's topic exist.
func (l *entityLog) Prepare(ctx context.Context, kind string) error {
	if _, ok := l.g.topics.Topic([]byte(kind)); ok {
		return nil
	}
	if err := l.g.admitAppend(); err != nil {
		return err
	}
	_, err := l.g.ensureTopic(ctx, kind, Layout{}, false)
	return err
}

// versionsTime is how long one look at what a topic holds may take.
const versionsTime = 10 * time.Second

// Versions reads a topic's events behind a position; empty: all. Past versionsTime it fails with unavailable, and the next call goes on.
func (l *entityLog) Versions(ctx context.Context, topic, after string, tell func(typ []byte, version uint32)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionsTime)
	defer cancel()
	spec := event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte(topic)}
	if after != "" {
		from, err := event.ParsePoint("pos:"+after, false)
		if err != nil {
			return after, err
		}
		spec.From = from
	}
	r, err := l.g.readTopic(ctx, spec)
	if errs.CodeOf(err) == errs.Invalid && after != "" { // the topic was deleted and made anew elsewhere
		spec.From, after = event.Point{}, ""
		r, err = l.g.readTopic(ctx, spec)
	}
	if err != nil {
		return after, err
	}
	defer r.Close()
	for {
		b, err := r.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return after, nil
		case err == nil && ctx.Err() != nil:
			err = ctx.Err()
		}
		if err != nil {
			return after, errs.New(errs.Unavailable, "the events of kind %s are still being looked through for versions: attach again: %w", topic, err).With("reason", "versions")
		}
		for _, e := range b.Events {
			if err := tellVersion(e, tell); err != nil {
				return after, err
			}
		}
		after = string(b.Position.AppendAmong(nil, b.Others))
	}
}

// readTopic reads a topic without anybody's being told.
func (g *Gateway) readTopic(ctx context.Context, spec event.ReadSpec) (event.Reader, error) {
	shards, err := g.scope(ctx, 0, &spec)
	if err != nil {
		return nil, err
	}
	if len(shards) > 1 {
		return g.readAll(ctx, shards, spec)
	}
	s, err := g.shard(shards[0])
	if err != nil {
		return nil, err
	}
	return s.Read(ctx, spec)
}

// tellVersion finds an event's type and version in its encoding.
func tellVersion(recorded []byte, tell func([]byte, uint32)) error {
	var v eventwire.View
	if err := eventwire.ViewRecorded(recorded, &v); err != nil {
		return err
	}
	version := uint64(0)
	for b := v.Event; len(b) > 0; {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 || number > 3 {
			break
		}
		m := protowire.ConsumeFieldValue(number, typ, b[n:])
		if m < 0 {
			break
		}
		if number == 3 && typ == protowire.VarintType {
			version, _ = protowire.ConsumeVarint(b[n:])
		}
		b = b[n+m:]
	}
	tell(v.Type, uint32(version))
	return nil
}
