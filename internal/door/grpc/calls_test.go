package grpc

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/encoding/protowire"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/limits"
)

func TestAppendAndHead(t *testing.T) {
	f := open(t)
	r := f.append(t, "orders", "1", "orders", "2")
	if len(r.GetStreams()) != 2 || r.GetStreams()[1].GetFirstOffset() != 2 || r.GetStreams()[1].GetLastRevision() != 1 || r.GetCreatedTopics()[0] != "orders" {
		t.Fatal(r)
	}
	if at, err := position.Parse(r.GetPosition()); err != nil || at.Offset != 2 {
		t.Fatal(at, err)
	}
	h, err := f.log.Head(within(t), &gestav1.HeadRequest{Stream: &gestav1.StreamRef{Topic: "orders", Key: "2"}})
	if err != nil || h.GetRevision() != 1 || h.GetOffset() != 2 || h.GetRecordedTime() == nil || h.GetPosition() == "" {
		t.Fatal(h, err)
	}
	h, err = f.log.Head(within(t), &gestav1.HeadRequest{Stream: &gestav1.StreamRef{Topic: "none"}})
	if err != nil || h.GetRevision() != 0 || h.GetRecordedTime() != nil {
		t.Fatal(h, err)
	}
}

func TestAppendErrors(t *testing.T) {
	f := open(t, "orders")
	f.append(t, "orders", "1")
	change := func(do func(*gestav1.AppendRequest)) *gestav1.AppendRequest {
		q := request("orders", "1")
		do(q)
		return q
	}
	for name, c := range map[string]struct {
		q       *gestav1.AppendRequest
		code    errs.Code
		details []string
	}{
		"conflict": {change(func(q *gestav1.AppendRequest) {
			q.Streams[0].Expectation = &gestav1.Expectation{Rule: &gestav1.Expectation_Revision{Revision: 7}}
		}), errs.Conflict, []string{"actual", "1"}},
		"no topic":  {change(func(q *gestav1.AppendRequest) { q.Streams[0].Topic, q.NoCreate = "none", true }), errs.NotFound, []string{"topic", "none"}},
		"empty":     {&gestav1.AppendRequest{}, errs.Invalid, nil},
		"no type":   {change(func(q *gestav1.AppendRequest) { q.Streams[0].Events[0].Type = "" }), errs.Invalid, []string{"field", "streams[0].events[0].type"}},
		"bad topic": {change(func(q *gestav1.AppendRequest) { q.Streams[0].Topic = "A/b" }), errs.Invalid, []string{"field", "streams[0].topic"}},
		"large key": {change(func(q *gestav1.AppendRequest) { q.Streams[0].Key = strings.Repeat("k", 1025) }), errs.TooLarge, []string{"limit", "key_bytes"}},
		"a newer field": {change(func(q *gestav1.AppendRequest) {
			q.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
		}), errs.Unsupported, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.log.Append(within(t), c.q)
			wantCode(t, err, c.code, c.details...)
		})
	}
}

func TestAppendTooLargeForTheDoor(t *testing.T) {
	l := limits.Default()
	l.InFlightBytes, l.CommitBytes, l.EventBytes = 64*limits.KiB, 64*limits.KiB, 64*limits.KiB
	f := openWith(t, &l, "orders")
	q := request("orders", "1")
	q.Streams[0].Events[0].Data = make([]byte, 256*limits.KiB)
	_, err := f.log.Append(within(t), q)
	wantCode(t, err, errs.TooLarge, "limit", "in_flight_bytes")
}

func TestUnaryAppendsBeyondTheBudgetAreBusy(t *testing.T) {
	l := limits.Default()
	l.InFlightBytes = 1024
	f := openWith(t, &l, "orders")
	f.shard.Hold()
	first := make(chan error, 1)
	go func() {
		_, err := f.log.Append(within(t), request("orders", "1"))
		first <- err
	}()
	for f.shard.Held() == 0 {
		if t.Context().Err() != nil {
			t.Fatal("the first append never came")
		}
	}
	q := request("orders", "2")
	q.Streams[0].Events[0].Data = make([]byte, 1000)
	_, err := f.log.Append(within(t), q)
	wantCode(t, err, errs.Busy, "limit", "in_flight_bytes")
	f.shard.Release()
	if err := receive(t, first); err != nil {
		t.Fatal(err)
	}
	if _, err := f.log.Append(within(t), q); err != nil {
		t.Fatalf("after it was given back: %v", err)
	}
}

func TestAnAppendWhoseTimeIsUpHasAnUnknownOutcome(t *testing.T) {
	f := open(t, "orders")
	f.shard.Hold()
	ctx, cancel := context.WithCancel(within(t))
	result := make(chan error, 1)
	go func() {
		_, err := f.log.Append(ctx, request("orders", "1"))
		result <- err
	}()
	for f.shard.Held() == 0 {
		if t.Context().Err() != nil {
			t.Fatal("the append never came")
		}
	}
	cancel()
	if err := receive(t, result); err == nil {
		t.Fatal("no error") // the client answers itself: canceled, without a reason, which it takes for an unknown outcome
	}
}

func TestTopicsService(t *testing.T) {
	f := open(t)
	topics := gestav1.NewTopicsClient(f.conn)
	made, err := topics.CreateTopic(within(t), &gestav1.CreateTopicRequest{Name: "orders"})
	if err != nil || made.GetTopic().GetName() != "orders" || made.GetTopic().GetShard() != 1 || made.GetTopic().GetCreated() == nil {
		t.Fatal(made, err)
	}
	_, err = topics.CreateTopic(within(t), &gestav1.CreateTopicRequest{Name: "orders"})
	wantCode(t, err, errs.Exists)
	_, err = topics.CreateTopic(within(t), &gestav1.CreateTopicRequest{Name: "Orders"})
	wantCode(t, err, errs.Invalid)
	f.append(t, "orders", "a", "orders", "b", "empty", "")
	list, err := topics.ListTopics(within(t), &gestav1.ListTopicsRequest{Limit: 1})
	if err != nil || len(list.GetTopics()) != 1 || list.GetTopics()[0].GetEvents() != 1 || !list.GetMore() {
		t.Fatal(list, err)
	}
	one, err := topics.GetTopic(within(t), &gestav1.GetTopicRequest{Name: "orders"})
	if err != nil || one.GetTopic().GetEvents() != 2 {
		t.Fatal(one, err)
	}
	streams, err := topics.ListStreams(within(t), &gestav1.ListStreamsRequest{Topic: "orders", After: "a", HasAfter: true})
	if err != nil || len(streams.GetStreams()) != 1 || streams.GetStreams()[0].GetKey() != "b" || streams.GetMore() {
		t.Fatal(streams, err)
	}
	_, err = topics.DeleteTopic(within(t), &gestav1.DeleteTopicRequest{Name: "orders"})
	wantCode(t, err, errs.Conflict)
	_, err = topics.GetTopic(within(t), &gestav1.GetTopicRequest{Name: "none"})
	wantCode(t, err, errs.NotFound)
}

func TestCounts(t *testing.T) {
	f := open(t)
	topics := gestav1.NewTopicsClient(f.conn)
	f.append(t, "orders", "a", "orders", "b", "others", "a") // recorded at 1, 2 and 3 ns
	c, err := topics.Counts(within(t), &gestav1.CountsRequest{Topic: "orders", From: "1970-01-01", To: "1970-01-01T00:00:00.000000004Z", Buckets: 2})
	if err != nil || fmt.Sprint(c.GetCounts()) != "[1 1]" || c.GetWidth().AsDuration() != 2 || c.GetFrom().AsTime().UnixNano() != 0 || c.GetTo().AsTime().UnixNano() != 4 {
		t.Fatal(c, err)
	}
	c, err = topics.Counts(within(t), &gestav1.CountsRequest{Topic: "orders"})
	if err != nil || len(c.GetCounts()) != gateway.DefaultBuckets || c.GetWidth().AsDuration() != time.Hour {
		t.Fatal(c, err)
	}
	for field, q := range map[string]*gestav1.CountsRequest{
		"from": {Topic: "orders", From: "x"}, "to": {Topic: "orders", To: "3"}, "topic": {Topic: "A"},
	} {
		_, err := topics.Counts(within(t), q)
		wantCode(t, err, errs.Invalid, "field", field)
	}
	_, err = topics.Counts(within(t), &gestav1.CountsRequest{Topic: "orders", Buckets: 10_001})
	wantCode(t, err, errs.TooLarge, "field", "buckets")
	_, err = topics.Counts(within(t), &gestav1.CountsRequest{Topic: "none"})
	wantCode(t, err, errs.NotFound, "topic", "none")
}

func TestNodeService(t *testing.T) {
	f := open(t, "a", "b")
	f.gate.SetDisk(gateway.Disk{Free: 10, Floor: 5})
	s, err := gestav1.NewNodeClient(f.conn).Status(within(t), &gestav1.StatusRequest{})
	if err != nil || s.GetNodeId() != "n1" || s.GetClusterId() != "c1" || !s.GetReady() || s.GetTopics() != 2 || s.GetDiskFreeBytes() != 10 || len(s.GetShards()) != 1 {
		t.Fatal(s, err)
	}
}

func TestHealthFollowsReadiness(t *testing.T) {
	f := open(t)
	health := healthv1.NewHealthClient(f.conn)
	for _, ready := range []bool{false, true} {
		f.door.SetReady(ready)
		for _, service := range []string{"", "gesta.v1.Log"} {
			r, err := health.Check(within(t), &healthv1.HealthCheckRequest{Service: service})
			if err != nil || (r.GetStatus() == healthv1.HealthCheckResponse_SERVING) != ready {
				t.Fatalf("%q when ready is %v: %v %v", service, ready, r, err)
			}
		}
	}
}

func TestReflection(t *testing.T) {
	f := open(t)
	stream, err := reflectionv1.NewServerReflectionClient(f.conn).ServerReflectionInfo(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []*reflectionv1.ServerReflectionRequest{
		{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}},
		{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "gesta.v1.Log.Append"}},
	} {
		if err := stream.Send(q); err != nil {
			t.Fatal(err)
		}
		r, err := stream.Recv()
		if err != nil || r.GetErrorResponse() != nil {
			t.Fatal(r, err)
		}
		if l := r.GetListServicesResponse(); l != nil && len(l.GetService()) < 5 {
			t.Fatal(l)
		}
	}
}

func TestUnknownFieldsAreRefused(t *testing.T) {
	f := open(t, "a")
	filter := &gestav1.Filter{}
	filter.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	s, err := f.log.Read(within(t), &gestav1.ReadRequest{Scope: &gestav1.ReadRequest_Topic{Topic: "a"}, Filter: filter})
	if err == nil {
		_, err = s.Recv()
	}
	wantCode(t, err, errs.Unsupported, "field", "filter.")
	head := &gestav1.HeadRequest{Stream: &gestav1.StreamRef{Topic: "a"}}
	head.ProtoReflect().SetUnknown(filter.ProtoReflect().GetUnknown())
	_, err = f.log.Head(within(t), head)
	wantCode(t, err, errs.Unsupported)
}

func TestCodecIsProto(t *testing.T) {
	if newCodec().Name() != "proto" {
		t.Fatal("clients ask for proto")
	}
	var _ grpc.ServerOption = grpc.ForceServerCodecV2(newCodec())
}
