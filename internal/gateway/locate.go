package gateway

import (
	"strconv"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// locate finds the shard of a commit. Known is false when a topic does not exist, or is being made or deleted. A commit whose streams
// live in different shards is invalid, as is a stream without a key in a topic of several partitions. g.order is held.
func (g *Gateway) locate(commit *event.Commit) (shard uint32, known bool, err error) {
	for i := range commit.Streams {
		s := &commit.Streams[i]
		t, ok := g.topics.Topic(s.Topic)
		if !ok || g.names.locked(s.Topic) {
			return 0, false, nil
		}
		if len(t.Partitions) > 0 && len(s.Key) == 0 {
			return 0, true, errNoKey(&t, i)
		}
		at := t.ShardOf(s.Key)
		if i > 0 && at != shard {
			return 0, true, errShards(commit, i, shard, at)
		}
		shard = at
	}
	return shard, true, nil
}

func errNoKey(t *Topic, stream int) error {
	return errs.New(errs.Invalid, "topic %s has %d partitions, and keys say which: give the event a key, or use a topic of one partition for a plain log", t.Name, len(t.Partitions)).
		With("field", streamField(stream, "key")).With("topic", t.Name)
}

func errShards(commit *event.Commit, other int, first, second uint32) error {
	a, b := &commit.Streams[0], &commit.Streams[other]
	return errs.New(errs.Invalid, "the stream %s/%s is in shard %d and %s/%s in shard %d, and a commit is of one shard: write two commits, or put the streams under one key of topics that lie together (gesta topics create --colocate)",
		a.Topic, a.Key, first, b.Topic, b.Key, second).
		With("field", streamField(other, "stream")).With("shards", strconv.FormatUint(uint64(first), 10)+","+strconv.FormatUint(uint64(second), 10))
}

func streamField(i int, name string) string { return "appends[" + strconv.Itoa(i) + "]." + name }

func errNoShard(number uint32, have []uint32) error {
	if len(have) == 1 {
		return errs.New(errs.NotFound, "there is no shard %d; there is shard %d", number, have[0]).With("field", "shard")
	}
	return errs.New(errs.NotFound, "there is no shard %d; gesta shards list tells those there are", number).With("field", "shard")
}

// shard gives the log of a number.
func (g *Gateway) shard(number uint32) (Shard, error) {
	if s, ok := g.shards.Shard(number); ok {
		return s, nil
	}
	return nil, errNoShard(number, g.shards.Numbers())
}

// shardOf gives the log of a stream. The streams of a topic that does not exist would be on the first shard.
func (g *Gateway) shardOf(topic, key []byte) (Shard, error) {
	number := uint32(FirstShard)
	if t, ok := g.topics.Topic(topic); ok {
		number = t.ShardOf(key)
	}
	return g.shard(number)
}

// queue gathers the calls of one caller for their shards, each shard's in their order. g.order is held.
type queue struct {
	g    *Gateway
	room int
	by   []shardQueue
}

type shardQueue struct {
	number uint32
	shard  Shard
	calls  []*event.Call
}

func (q *queue) add(number uint32, c *event.Call) error {
	for i := range q.by {
		if q.by[i].number == number {
			q.by[i].calls = append(q.by[i].calls, c)
			return nil
		}
	}
	s, err := q.g.shard(number)
	if err != nil {
		return err
	}
	calls := make([]*event.Call, 0, q.room)
	q.by = append(q.by, shardQueue{number, s, append(calls, c)})
	return nil
}

// flush hands over what was gathered.
func (q *queue) flush() {
	for i := range q.by {
		if calls := q.by[i].calls; len(calls) > 0 {
			q.g.under.add(len(calls))
			q.by[i].shard.Submit(calls)
			q.by[i].calls = calls[len(calls):]
		}
	}
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// numbers writes 1, 2 and 3.
func numbers(list []uint32) string {
	text := ""
	for i, n := range list {
		switch {
		case i > 0 && i == len(list)-1:
			text += " and "
		case i > 0:
			text += ", "
		}
		text += number(n)
	}
	return text
}
