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

// remoteWait bounds questions that come without a context.
const remoteWait = 5 * time.Second

// RemoteShard is a shard whose replica is at another node. Its methods are those of a shard here; what they fail with besides is
// no_leader when nobody is known to have it, and unavailable when that node cannot be reached.
type RemoteShard struct {
	t      *Transport
	number uint32
	at     func() (incarnation uint64, ok bool)
}

// RemoteShard gives a shard that is elsewhere; at tells, at every call, who leads it or has a replica. It must be quick.
func (t *Transport) RemoteShard(number uint32, at func() (incarnation uint64, ok bool)) *RemoteShard {
	return &RemoteShard{t: t, number: number, at: at}
}

func (r *RemoteShard) where() (uint64, error) {
	to, ok := r.at()
	if !ok {
		return 0, errs.New(errs.NoLeader, "nobody is known to lead shard %d at the moment; nothing was written: try again", r.number)
	}
	return to, nil
}

// Submit forwards calls, in their order.
func (r *RemoteShard) Submit(calls []*event.Call) {
	to, err := r.where()
	if err == nil {
		r.t.Submit(to, r.number, calls)
		return
	}
	for _, c := range calls {
		c.Err = err
		c.Done(c)
	}
}

// Read begins a read there.
func (r *RemoteShard) Read(ctx context.Context, spec event.ReadSpec) (event.Reader, error) {
	to, err := r.where()
	if err != nil {
		return nil, err
	}
	return r.t.Read(ctx, to, r.number, spec)
}

// Head tells where a stream ends, linearizably.
func (r *RemoteShard) Head(ctx context.Context, topic, key []byte) (h event.Head, at position.Position, err error) {
	a, err := r.ask(ctx, methodHead, &peerv1.ShardQuestion{Topic: topic, Key: key})
	if err != nil {
		return h, at, err
	}
	if len(a.GetHeads()) != 1 {
		return h, at, malformed("the head of a stream")
	}
	p := a.GetPlace()
	return headOf(a.GetHeads()[0]).Head, position.Position{Shard: p.GetShard(), History: p.GetHistory(), Offset: p.GetOffset()}, nil
}

// Streams lists streams of a topic. An answer has a bound, so more may be true with fewer than limit.
func (r *RemoteShard) Streams(topic, prefix, after []byte, hasAfter bool, limit int) (streams []event.StreamHead, more bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), remoteWait)
	defer cancel()
	a, err := r.ask(ctx, methodStreams, &peerv1.ShardQuestion{Topic: topic, Prefix: prefix, After: after, HasAfter: hasAfter, Limit: uint32(limit)})
	if err != nil {
		return nil, false, err
	}
	streams = make([]event.StreamHead, len(a.GetHeads()))
	for i, h := range a.GetHeads() {
		streams[i] = headOf(h)
	}
	return streams, a.GetMore(), nil
}

// TopicEvents counts the events a topic has now.
func (r *RemoteShard) TopicEvents(topic []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), remoteWait)
	defer cancel()
	a, err := r.ask(ctx, methodEvents, &peerv1.ShardQuestion{Topic: topic})
	if err != nil {
		return 0, err
	}
	if len(a.GetCounts()) != 1 {
		return 0, malformed("the number of a topic's events")
	}
	return a.GetCounts()[0], nil
}

// Counts tells how many events were recorded in each of some even parts of a time.
func (r *RemoteShard) Counts(ctx context.Context, topic []byte, from, to time.Time, buckets int) ([]uint64, error) {
	a, err := r.ask(ctx, methodCounts, &peerv1.ShardQuestion{Topic: topic, FromUnixNanos: uint64(from.UnixNano()), ToUnixNanos: uint64(to.UnixNano()), Buckets: uint32(buckets)})
	if err != nil {
		return nil, err
	}
	if len(a.GetCounts()) != buckets {
		return nil, malformed("a count of events")
	}
	return a.GetCounts(), nil
}

func (r *RemoteShard) ask(ctx context.Context, method string, q *peerv1.ShardQuestion) (*peerv1.ShardAnswer, error) {
	to, err := r.where()
	if err != nil {
		return nil, err
	}
	q.Shard = r.number
	body, err := proto.Marshal(q)
	if err != nil {
		return nil, errs.New(errs.Internal, "%s: %w", method, err)
	}
	answer, err := r.t.Call(ctx, to, method, body)
	if errs.CodeOf(err) == errs.UnknownOutcome { // it changes nothing
		return nil, errs.New(errs.Unavailable, "%w", err)
	}
	if err != nil {
		return nil, err
	}
	a := new(peerv1.ShardAnswer)
	if proto.Unmarshal(answer, a) != nil {
		return nil, malformed("an answer about a shard")
	}
	return a, nil
}

func headOf(h *peerv1.StreamHead) event.StreamHead {
	return event.StreamHead{Key: h.GetKey(), Head: event.Head{Revision: h.GetRevision(), Offset: h.GetOffset(), Time: int64(h.GetUnixNanos())}}
}
