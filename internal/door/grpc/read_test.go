package grpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/api/eventwire"
	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
)

func topicScope(name string) *gestav1.ReadRequest {
	return &gestav1.ReadRequest{Scope: &gestav1.ReadRequest_Topic{Topic: name}}
}

func shardScope() *gestav1.ReadRequest {
	return &gestav1.ReadRequest{Scope: &gestav1.ReadRequest_Shard{Shard: 1}}
}

func streamScope(topic, key string) *gestav1.ReadRequest {
	return &gestav1.ReadRequest{Scope: &gestav1.ReadRequest_Stream{Stream: &gestav1.StreamRef{Topic: topic, Key: key}}}
}

func (f *fixture) read(t *testing.T, q *gestav1.ReadRequest) grpc.ServerStreamingClient[gestav1.ReadResponse] {
	t.Helper()
	s, err := f.log.Read(within(t), q)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (f *fixture) readAll(t *testing.T, q *gestav1.ReadRequest) (offsets []uint64, frames []*gestav1.ReadResponse) {
	t.Helper()
	s := f.read(t, q)
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return offsets, frames
		}
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, r)
		for _, e := range r.GetEvents() {
			offsets = append(offsets, e.GetOffset())
		}
	}
}

func TestRead(t *testing.T) {
	f := open(t)
	for range 4 {
		f.append(t, "orders", "a", "orders", "b")
	}
	with := func(q *gestav1.ReadRequest, do func(*gestav1.ReadRequest)) *gestav1.ReadRequest {
		do(q)
		return q
	}
	for name, c := range map[string]struct {
		q    *gestav1.ReadRequest
		want []uint64
	}{
		"shard":     {shardScope(), []uint64{1, 2, 3, 4, 5, 6, 7, 8}},
		"topic":     {topicScope("orders"), []uint64{1, 2, 3, 4, 5, 6, 7, 8}},
		"stream":    {streamScope("orders", "b"), []uint64{2, 4, 6, 8}},
		"from":      {with(streamScope("orders", "b"), func(q *gestav1.ReadRequest) { q.From = "3" }), []uint64{6, 8}},
		"backwards": {with(shardScope(), func(q *gestav1.ReadRequest) { q.Backwards, q.Limit = true, 5 }), []uint64{8, 7, 6, 5, 4}},
		"prefix":    {with(topicScope("orders"), func(q *gestav1.ReadRequest) { q.Filter = &gestav1.Filter{KeyPrefix: "a"} }), []uint64{1, 3, 5, 7}},
		"types":     {with(topicScope("orders"), func(q *gestav1.ReadRequest) { q.Filter = &gestav1.Filter{Types: []string{"Other"}} }), nil},
		"tags":      {with(topicScope("orders"), func(q *gestav1.ReadRequest) { q.Filter = &gestav1.Filter{Tags: []string{"none"}} }), nil},
		"where":     {with(topicScope("orders"), func(q *gestav1.ReadRequest) { q.Filter = &gestav1.Filter{Where: `key == "b" && revision > 2`} }), []uint64{6, 8}},
	} {
		t.Run(name, func(t *testing.T) {
			got, frames := f.readAll(t, c.q)
			if len(got) != len(c.want) {
				t.Fatalf("read %v, want %v", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Fatalf("read %v, want %v", got, c.want)
				}
			}
			for i, r := range frames {
				if first := i == 0; (r.GetShard() == 1) != first || (r.GetHistory() == gatewaytest.History) != first || r.GetPosition() == "" {
					t.Errorf("frame %d: %v", i, r)
				}
			}
		})
	}
}

func TestReadContinuesFromAFramesPosition(t *testing.T) {
	f := open(t)
	for range 10 {
		f.append(t, "orders", "a")
	}
	for _, backwards := range []bool{false, true} {
		q := shardScope()
		q.Backwards = backwards
		all, frames := f.readAll(t, q)
		seen := 0
		for _, r := range frames {
			seen += len(r.GetEvents())
			q.From = "pos:" + r.GetPosition()
			rest, _ := f.readAll(t, q)
			if len(rest) != len(all)-seen || len(rest) > 0 && rest[0] != all[seen] {
				t.Fatalf("backwards %v: after %v comes %v", backwards, all[:seen], rest)
			}
		}
	}
}

func TestFollowTellsWhenItIsLive(t *testing.T) {
	f := open(t)
	f.append(t, "orders", "a")
	q := topicScope("orders")
	q.Follow = true
	s := f.read(t, q)
	var got []*gestav1.ReadResponse
	next := func() *gestav1.ReadResponse {
		r, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
		return r
	}
	for !next().GetLive() {
	}
	if live := got[len(got)-1]; len(live.GetEvents()) != 0 || len(got) != 2 {
		t.Fatal(got)
	}
	f.append(t, "orders", "b")
	if r := next(); r.GetLive() || len(r.GetEvents()) != 1 || r.GetEvents()[0].GetOffset() != 2 {
		t.Fatal(r)
	}
}

func TestReadRefusals(t *testing.T) {
	f := open(t, "orders")
	with := func(q *gestav1.ReadRequest, do func(*gestav1.ReadRequest)) *gestav1.ReadRequest {
		do(q)
		return q
	}
	for name, c := range map[string]struct {
		q     *gestav1.ReadRequest
		code  errs.Code
		field string
	}{
		"no scope":     {&gestav1.ReadRequest{}, errs.Invalid, "scope"},
		"bad topic":    {topicScope("A"), errs.Invalid, "topic"},
		"no topic":     {topicScope("none"), errs.NotFound, ""},
		"stream topic": {streamScope("", "k"), errs.Invalid, "stream.topic"},
		"large key":    {streamScope("orders", string(make([]byte, 2000))), errs.TooLarge, "stream.key"},
		"shard":        {&gestav1.ReadRequest{Scope: &gestav1.ReadRequest_Shard{Shard: 9}}, errs.NotFound, "shard"},
		"point":        {with(topicScope("orders"), func(q *gestav1.ReadRequest) { q.From = "tomorrow" }), errs.Invalid, "from"},
		"number":       {with(topicScope("orders"), func(q *gestav1.ReadRequest) { q.From = "3" }), errs.Invalid, "from"},
		"id":           {with(shardScope(), func(q *gestav1.ReadRequest) { q.From = "id:x" }), errs.Invalid, "from"},
		"both ways":    {with(topicScope("orders"), func(q *gestav1.ReadRequest) { q.Backwards, q.Follow = true, true }), errs.Invalid, "follow"},
		"empty type":   {with(topicScope("orders"), func(q *gestav1.ReadRequest) { q.Filter = &gestav1.Filter{Types: []string{""}} }), errs.Invalid, "filter.types"},
		"many types":   {with(topicScope("orders"), func(q *gestav1.ReadRequest) { q.Filter = &gestav1.Filter{Types: make([]string, 300)} }), errs.TooLarge, "filter.types"},
		"large prefix": {with(topicScope("orders"), func(q *gestav1.ReadRequest) { q.Filter = &gestav1.Filter{KeyPrefix: string(make([]byte, 2000))} }), errs.TooLarge, "filter.key_prefix"},
		"empty tag":    {with(topicScope("orders"), func(q *gestav1.ReadRequest) { q.Filter = &gestav1.Filter{Tags: []string{"a", ""}} }), errs.Invalid, "filter.tags"},
		"many tags":    {with(topicScope("orders"), func(q *gestav1.ReadRequest) { q.Filter = &gestav1.Filter{Tags: make([]string, 33)} }), errs.TooLarge, "filter.tags"},
		"bad where":    {with(topicScope("orders"), func(q *gestav1.ReadRequest) { q.Filter = &gestav1.Filter{Where: "type =="} }), errs.Invalid, "filter.where"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.read(t, c.q).Recv()
			code, details := codeOf(t, err)
			if code != c.code || details["field"] != c.field {
				t.Errorf("%s in %q, want %s in %q: %v", code, details["field"], c.code, c.field, err)
			}
		})
	}
}

func TestDrainEndsReadersThatFollow(t *testing.T) {
	f := open(t, "orders")
	q := topicScope("orders")
	q.Follow = true
	s := f.read(t, q)
	if r, err := s.Recv(); err != nil || !r.GetLive() {
		t.Fatal(r, err)
	}
	if err := f.door.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	_, err := s.Recv()
	wantCode(t, err, errs.Unavailable, "reason", "draining")
}

func TestAReaderThatLeavesEndsTheRead(t *testing.T) {
	f := open(t, "orders")
	ctx, cancel := context.WithCancel(within(t))
	q := topicScope("orders")
	q.Follow = true
	s, err := f.log.Read(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	if f.door.Streams() != 1 || f.door.Connections() != 1 {
		t.Fatalf("%d streams on %d connections", f.door.Streams(), f.door.Connections())
	}
	cancel()
	for f.door.Streams() > 0 {
		if t.Context().Err() != nil {
			t.Fatal("the read goes on")
		}
	}
}

// The bytes of the events of a frame on the wire are those that the shard's reader gave, untouched.
func TestReadFramesHoldTheReadersBytes(t *testing.T) {
	f := open(t)
	for range 50 {
		f.append(t, "orders", "a", "orders", "b")
	}
	s, err := f.conn.NewStream(within(t), &grpc.StreamDesc{ServerStreams: true}, gestav1.Log_Read_FullMethodName, grpc.ForceCodecV2(newCodec()))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.SendMsg(shardScope()), s.CloseSend()); err != nil {
		t.Fatal(err)
	}
	var wire [][]byte
	for {
		var in inFrame
		if err := s.RecvMsg(&in); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		wire = append(wire, eventsIn(t, bytes.Clone(in.bytes()))...)
		in.free()
	}
	r, err := f.shard.Read(t.Context(), event.ReadSpec{Scope: event.ScopeAll})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	for ; ; n++ {
		b, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		for _, e := range b.Events {
			if len(wire) == 0 || !bytes.Equal(wire[0], e) {
				t.Fatalf("a frame's event differs from the reader's")
			}
			wire = wire[1:]
		}
	}
	if len(wire) > 0 || n == 0 {
		t.Fatalf("%d events more than the reader's, after %d batches", len(wire), n)
	}
}

// eventsIn gives the bytes of field 1 of a ReadResponse.
func eventsIn(t *testing.T, frame []byte) (events [][]byte) {
	t.Helper()
	for len(frame) > 0 {
		number, kind, n := protowire.ConsumeTag(frame)
		size := protowire.ConsumeFieldValue(number, kind, frame[n:])
		if n < 0 || size < 0 {
			t.Fatal("a frame does not decode")
		}
		if number == 1 {
			e, _ := protowire.ConsumeBytes(frame[n:])
			events = append(events, e)
		}
		frame = frame[n+size:]
	}
	return events
}

// A batch that is too large for a frame is cut where its position can be told, in both directions.
func TestLargeBatchesAreCut(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 200<<10)
	for _, backwards := range []bool{false, true} {
		b := event.Batch{Position: position.Position{Shard: 1, History: 5, Offset: 9}}
		for i := range uint64(9) {
			offset := i + 1
			if backwards {
				offset = 9 - i
				b.Position.Offset = 0
			}
			e := eventwire.AppendEvent(nil, &eventwire.Event{ID: "i", Type: "T", Data: data})
			b.Events = append(b.Events, eventwire.AppendRecorded(nil, e, offset, offset, []byte("t"), nil, 1))
		}
		frames := framesOf(t, b)
		seen := uint64(0)
		for _, r := range frames {
			seen += uint64(len(r.GetEvents()))
			at, err := position.Parse(r.GetPosition())
			want := seen
			if backwards {
				want = 9 - seen
			}
			if err != nil || at.Offset != want || at.History != 5 || len(r.GetEvents()) > 2 {
				t.Errorf("backwards %v: after %d events: %v %v", backwards, seen, at, err)
			}
		}
		if seen != 9 || len(frames) != 5 {
			t.Errorf("%d events in %d frames", seen, len(frames))
		}
	}
}

func TestABatchThatIsLiveAndHasEvents(t *testing.T) {
	e := eventwire.AppendRecorded(nil, eventwire.AppendEvent(nil, &eventwire.Event{ID: "i", Type: "T"}), 1, 1, []byte("t"), nil, 1)
	frames := framesOf(t, event.Batch{Events: [][]byte{e}, Live: true, ResolvedOffset: 4, Position: position.Position{Shard: 1, Offset: 1}})
	if len(frames) != 2 || frames[0].GetLive() || frames[0].GetResolvedOffset() != 4 || !frames[1].GetLive() || len(frames[1].GetEvents()) != 0 {
		t.Fatal(frames)
	}
}
