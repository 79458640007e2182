package client

import (
	"context"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// Topic is a named set of streams.
type Topic struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Shard   uint32    `json:"shard"`
	// Partitions are all shards that it is on, Shard the first of them: a key's stream is in the one at the place XXH64(key, seed 0) mod
	// their number.
	Partitions []uint32 `json:"partitions"`
	Events     uint64   `json:"events"` // in it now
}

// TopicOption says where a new topic is to be, which never changes. Without one it is on shard 1.
type TopicOption func(*gestav1.CreateTopicRequest)

// OnShards puts a topic on these shards, in this order; keys are divided among several.
func OnShards(shards ...uint32) TopicOption {
	return func(r *gestav1.CreateTopicRequest) { r.Shards = shards }
}

// Partitioned puts a topic on this many shards, which the cluster chooses: those with the fewest topics.
func Partitioned(n uint32) TopicOption {
	return func(r *gestav1.CreateTopicRequest) { r.Partitions = n }
}

// ColocatedWith puts a topic where another is: streams of the same key are then in the same shard, and one commit can span them.
func ColocatedWith(topic string) TopicOption {
	return func(r *gestav1.CreateTopicRequest) { r.Colocate = topic }
}

// Stream is a stream of a topic and where it ends.
type Stream struct {
	Key          string    `json:"key"`
	Revision     uint64    `json:"revision"`
	Offset       uint64    `json:"offset"`
	RecordedTime time.Time `json:"recorded_time"`
}

// Head is where a stream ends; all zero but Position for a stream without events.
type Head struct {
	Revision     uint64    `json:"revision"`
	Offset       uint64    `json:"offset"`
	RecordedTime time.Time `json:"recorded_time"`
	// Position is a place in the shard at which this was the head.
	Position string `json:"position"`
}

// Head tells the newest revision of a stream, linearizably: after every append that was acknowledged before it was asked.
func (c *Client) Head(ctx context.Context, topic, key string) (Head, error) {
	req := &gestav1.HeadRequest{Stream: &gestav1.StreamRef{Topic: topic, Key: key}}
	m, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.HeadResponse, error) {
		return gestav1.NewLogClient(conn).Head(ctx, req)
	})
	if err != nil {
		return Head{}, err
	}
	return Head{m.GetRevision(), m.GetOffset(), timeOf(m.GetRecordedTime()), m.GetPosition()}, nil
}

// CreateTopic makes a topic. Errors: CodeInvalid for its name or where it is to be, CodeNotFound for a shard, CodeExists,
// CodeUnknownOutcome.
func (c *Client) CreateTopic(ctx context.Context, name string, where ...TopicOption) (Topic, error) {
	req := &gestav1.CreateTopicRequest{Name: name}
	for _, set := range where {
		set(req)
	}
	m, err := unary(ctx, c, writing, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.CreateTopicResponse, error) {
		return gestav1.NewTopicsClient(conn).CreateTopic(ctx, req)
	})
	if err != nil {
		return Topic{}, err
	}
	return topicOf(m.GetTopic()), nil
}

// Topic describes a topic. Errors: CodeNotFound.
func (c *Client) Topic(ctx context.Context, name string) (Topic, error) {
	m, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.GetTopicResponse, error) {
		return gestav1.NewTopicsClient(conn).GetTopic(ctx, &gestav1.GetTopicRequest{Name: name})
	})
	if err != nil {
		return Topic{}, err
	}
	return topicOf(m.GetTopic()), nil
}

// DeleteTopic deletes a topic that has no events. Errors: CodeNotFound, CodeConflict when it has events, CodeUnknownOutcome.
func (c *Client) DeleteTopic(ctx context.Context, name string) error {
	_, err := unary(ctx, c, writing, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.DeleteTopicResponse, error) {
		return gestav1.NewTopicsClient(conn).DeleteTopic(ctx, &gestav1.DeleteTopicRequest{Name: name})
	})
	return err
}

// Topics yields the topics whose names begin with prefix, in the order of their names. An error is yielded last.
func (c *Client) Topics(ctx context.Context, prefix string) iter.Seq2[Topic, error] {
	return func(yield func(Topic, error) bool) {
		req := &gestav1.ListTopicsRequest{Prefix: prefix}
		for more := true; more; {
			m, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.ListTopicsResponse, error) {
				return gestav1.NewTopicsClient(conn).ListTopics(ctx, req)
			})
			if err != nil {
				yield(Topic{}, err)
				return
			}
			for _, t := range m.GetTopics() {
				if !yield(topicOf(t), nil) {
					return
				}
				req.After = t.GetName()
			}
			more = m.GetMore() && len(m.GetTopics()) > 0
		}
	}
}

// Streams yields the streams of a topic whose keys begin with prefix, in the byte order of their keys. An error is yielded last.
func (c *Client) Streams(ctx context.Context, topic, prefix string) iter.Seq2[Stream, error] {
	return func(yield func(Stream, error) bool) {
		req := &gestav1.ListStreamsRequest{Topic: topic, Prefix: prefix}
		for more := true; more; {
			m, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.ListStreamsResponse, error) {
				return gestav1.NewTopicsClient(conn).ListStreams(ctx, req)
			})
			if err != nil {
				yield(Stream{}, err)
				return
			}
			for _, s := range m.GetStreams() {
				if !yield(Stream{s.GetKey(), s.GetRevision(), s.GetOffset(), timeOf(s.GetRecordedTime())}, nil) {
					return
				}
				req.After, req.HasAfter = s.GetKey(), true
			}
			more = m.GetMore() && len(m.GetStreams()) > 0
		}
	}
}

// CountsOptions says over which time events are counted, and how finely. Times are recorded times: time:RFC3339, time:YYYY-MM-DD
// (UTC), -2h, start (when the topic was created) or end (now); "time:" may be left out.
type CountsOptions struct {
	// From is where the time begins; default: 24 hours before To.
	From string
	// To is where it ends; default: the end of the present hour.
	To string
	// Buckets is into how many parts it is divided, at most 10,000; 0: 24.
	Buckets uint32
}

// Counts are events in even parts of the time from From (included) to To (excluded).
type Counts struct {
	From   time.Time     `json:"from"`
	To     time.Time     `json:"to"` // at or after the end that was asked for, so that all parts are equally wide
	Width  time.Duration `json:"width"`
	Counts []uint64      `json:"counts"`
}

// Counts tells how many events of a topic were recorded over time. It counts every append that was acknowledged before it was
// asked. Errors: CodeInvalid for a time, CodeTooLarge for too many buckets, CodeNotFound.
func (c *Client) Counts(ctx context.Context, topic string, o CountsOptions) (Counts, error) {
	req := &gestav1.CountsRequest{Topic: topic, From: o.From, To: o.To, Buckets: o.Buckets}
	m, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.CountsResponse, error) {
		return gestav1.NewTopicsClient(conn).Counts(ctx, req)
	})
	if err != nil {
		return Counts{}, err
	}
	return Counts{timeOf(m.GetFrom()), timeOf(m.GetTo()), m.GetWidth().AsDuration(), m.GetCounts()}, nil
}

func topicOf(t *gestav1.Topic) Topic {
	return Topic{t.GetName(), timeOf(t.GetCreated()), t.GetShard(), t.GetPartitions(), t.GetEvents()}
}

// timeOf is the zero time for an absent one.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
