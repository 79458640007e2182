package peer

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// The calls about a shard.
const (
	methodHead    = "shard.head"
	methodStreams = "shard.streams"
	methodEvents  = "shard.events"
	methodCounts  = "shard.counts"
)

// LocalShard is what questions about a shard are answered from.
type LocalShard interface {
	Head(ctx context.Context, topic, key []byte) (event.Head, position.Position, error)
	Streams(topic, prefix, after []byte, hasAfter bool, limit int) (streams []event.StreamHead, more bool, err error)
	TopicEvents(topic []byte) (uint64, error)
	Counts(ctx context.Context, topic []byte, from, to time.Time, buckets int) ([]uint64, error)
}

// AnswerShard answers what a RemoteShard asks, for a Handler's Call. Handled is false for a method that is none of its own. Find
// gives this node's own replica of a shard, or why there is none.
func AnswerShard(ctx context.Context, find func(shard uint32) (LocalShard, error), method string, body []byte) (answer []byte, handled bool, err error) {
	serve, ok := map[string]func(context.Context, LocalShard, *peerv1.ShardQuestion) (*peerv1.ShardAnswer, error){
		methodHead: answerHead, methodStreams: answerStreams, methodEvents: answerEvents, methodCounts: answerCounts,
	}[method]
	if !ok {
		return nil, false, nil
	}
	q := new(peerv1.ShardQuestion)
	if proto.Unmarshal(body, q) != nil {
		return nil, true, malformed("a question about a shard")
	}
	s, err := find(q.GetShard())
	if err != nil {
		return nil, true, err
	}
	a, err := serve(ctx, s, q)
	if err != nil {
		return nil, true, err
	}
	answer, err = proto.Marshal(a)
	return answer, true, err
}

func answerHead(ctx context.Context, s LocalShard, q *peerv1.ShardQuestion) (*peerv1.ShardAnswer, error) {
	h, at, err := s.Head(ctx, q.GetTopic(), q.GetKey())
	if err != nil {
		return nil, err
	}
	place := &peerv1.Place{Shard: at.Shard, History: at.History, Offset: at.Offset}
	return &peerv1.ShardAnswer{Heads: []*peerv1.StreamHead{streamHead(event.StreamHead{Head: h})}, Place: place}, nil
}

func streamHead(h event.StreamHead) *peerv1.StreamHead {
	return &peerv1.StreamHead{Key: h.Key, Revision: h.Revision, Offset: h.Offset, UnixNanos: uint64(h.Time)}
}

// streamOverhead is what a stream in a list takes beside its key.
const streamOverhead = 48

// answerStreams lists what fits into an answer.
func answerStreams(_ context.Context, s LocalShard, q *peerv1.ShardQuestion) (*peerv1.ShardAnswer, error) {
	list, more, err := s.Streams(q.GetTopic(), q.GetPrefix(), q.GetAfter(), q.GetHasAfter(), int(q.GetLimit()))
	if err != nil {
		return nil, err
	}
	a := &peerv1.ShardAnswer{More: more}
	size := 0
	for _, h := range list {
		if size += len(h.Key) + streamOverhead; size > largestBody {
			a.More = true
			break
		}
		a.Heads = append(a.Heads, streamHead(h))
	}
	return a, nil
}

func answerEvents(_ context.Context, s LocalShard, q *peerv1.ShardQuestion) (*peerv1.ShardAnswer, error) {
	n, err := s.TopicEvents(q.GetTopic())
	return &peerv1.ShardAnswer{Counts: []uint64{n}}, err
}

func answerCounts(ctx context.Context, s LocalShard, q *peerv1.ShardQuestion) (*peerv1.ShardAnswer, error) {
	if q.GetBuckets() > largestBody/16 {
		return nil, errs.New(errs.TooLarge, "%d counts do not fit into an answer", q.GetBuckets())
	}
	counts, err := s.Counts(ctx, q.GetTopic(), time.Unix(0, int64(q.GetFromUnixNanos())).UTC(), time.Unix(0, int64(q.GetToUnixNanos())).UTC(), int(q.GetBuckets()))
	return &peerv1.ShardAnswer{Counts: counts}, err
}
