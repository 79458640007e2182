package grpc

import (
	"context"
	"math"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/gateway"
)

// topicsServer is the service Topics.
type topicsServer struct {
	gestav1.UnimplementedTopicsServer
	door *Door
}

func (t topicsServer) CreateTopic(ctx context.Context, q *gestav1.CreateTopicRequest) (*gestav1.CreateTopicResponse, error) {
	who, _ := t.door.callerOf(ctx)
	if q.GetPartitions() > math.MaxInt32 {
		return nil, invalid("partitions", "there cannot be so many partitions")
	}
	info, err := t.door.gate.CreateTopic(ctx, who, q.GetName(), gateway.Layout{Shards: q.GetShards(), Partitions: int(q.GetPartitions()), Colocate: q.GetColocate()})
	if err != nil {
		return nil, err
	}
	return &gestav1.CreateTopicResponse{Topic: topicMessage(info)}, nil
}

func (t topicsServer) ListTopics(ctx context.Context, q *gestav1.ListTopicsRequest) (*gestav1.ListTopicsResponse, error) {
	who, _ := t.door.callerOf(ctx)
	found, more, err := t.door.gate.ListTopics(who, q.GetPrefix(), q.GetAfter(), q.GetLimit())
	if err != nil {
		return nil, err
	}
	list := &gestav1.ListTopicsResponse{More: more}
	for _, info := range found {
		list.Topics = append(list.Topics, topicMessage(info))
	}
	return list, nil
}

func (t topicsServer) GetTopic(ctx context.Context, q *gestav1.GetTopicRequest) (*gestav1.GetTopicResponse, error) {
	who, _ := t.door.callerOf(ctx)
	info, err := t.door.gate.DescribeTopic(who, q.GetName())
	if err != nil {
		return nil, err
	}
	return &gestav1.GetTopicResponse{Topic: topicMessage(info)}, nil
}

func (t topicsServer) DeleteTopic(ctx context.Context, q *gestav1.DeleteTopicRequest) (*gestav1.DeleteTopicResponse, error) {
	who, _ := t.door.callerOf(ctx)
	if err := t.door.gate.DeleteTopic(ctx, who, q.GetName()); err != nil {
		return nil, err
	}
	return &gestav1.DeleteTopicResponse{}, nil
}

func (t topicsServer) ListStreams(ctx context.Context, q *gestav1.ListStreamsRequest) (*gestav1.ListStreamsResponse, error) {
	who, _ := t.door.callerOf(ctx)
	found, more, err := t.door.gate.ListStreams(who, q.GetTopic(), q.GetPrefix(), q.GetAfter(), q.GetHasAfter(), q.GetLimit())
	if err != nil {
		return nil, err
	}
	list := &gestav1.ListStreamsResponse{More: more}
	for _, s := range found {
		list.Streams = append(list.Streams, &gestav1.Stream{Key: string(s.Key), Revision: s.Revision, Offset: s.Offset, RecordedTime: recordedTime(s.Time)})
	}
	return list, nil
}

func (t topicsServer) Counts(ctx context.Context, q *gestav1.CountsRequest) (*gestav1.CountsResponse, error) {
	who, _ := t.door.callerOf(ctx)
	c, err := t.door.gate.Counts(ctx, who, gateway.CountsQuery{Topic: q.GetTopic(), From: q.GetFrom(), To: q.GetTo(), Buckets: uint64(q.GetBuckets())})
	if err != nil {
		return nil, err
	}
	return &gestav1.CountsResponse{From: timestamppb.New(c.From), To: timestamppb.New(c.To), Width: durationpb.New(c.Width), Counts: c.Counts}, nil
}

func topicMessage(t gateway.TopicInfo) *gestav1.Topic {
	return &gestav1.Topic{Name: t.Name, Created: timestamppb.New(t.Created), Shard: t.Shard, Events: t.Events, Partitions: t.Shards()}
}
