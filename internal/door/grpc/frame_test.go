package grpc

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/gesta-db/gesta/api/eventwire"
	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/limits"
)

// framesOf is what a framer sends for one batch.
func framesOf(t testing.TB, b event.Batch) (frames []*gestav1.ReadResponse) {
	f := framer{send: func(m any) error {
		r := new(gestav1.ReadResponse)
		frames = append(frames, r)
		return proto.Unmarshal(m.(outFrame).buffer.ReadOnlyData(), r)
	}}
	if err := f.batch(b); err != nil {
		t.Fatal(err)
	}
	return frames
}

var details = rapid.MapOf(rapid.StringN(1, 5, 20), rapid.StringN(0, 300, 400))

// What the door writes by hand is what the generated code writes.
func TestRepliesAreProtobuf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var hand []byte
		want := &gestav1.AppendStreamResponse{}
		for range rapid.IntRange(0, 5).Draw(t, "replies") {
			id := rapid.Uint64().Draw(t, "id")
			if rapid.Bool().Draw(t, "failed") {
				e := &errs.Error{Code: errs.Conflict, Message: rapid.StringN(0, 200, 500).Draw(t, "message"), Details: details.Draw(t, "details")}
				hand = appendReply(hand, id, nil, nil, e)
				want.Replies = append(want.Replies, &gestav1.AppendReply{CallId: id, Outcome: &gestav1.AppendReply_Error{Error: &gestav1.Error{Code: "conflict", Message: e.Message, Details: e.Details}}})
				continue
			}
			o, created, r := drawOutcome(t)
			hand = appendReply(hand, id, &o, created, nil)
			want.Replies = append(want.Replies, &gestav1.AppendReply{CallId: id, Outcome: &gestav1.AppendReply_Response{Response: r}})
		}
		equal(t, hand, want)
	})
}

func drawOutcome(t *rapid.T) (o event.Outcome, created []string, r *gestav1.AppendResponse) {
	o.Position = position.Position{Shard: 1, History: rapid.Uint64().Draw(t, "history"), Offset: rapid.Uint64().Draw(t, "offset")}
	o.Repeated = rapid.Bool().Draw(t, "repeated")
	created = rapid.SliceOfN(rapid.StringN(1, 20, 128), 0, 3).Draw(t, "created")
	r = &gestav1.AppendResponse{Position: o.Position.String(), Repeated: o.Repeated, CreatedTopics: created}
	for range rapid.IntRange(1, 20).Draw(t, "streams") {
		s := event.StreamOutcome{FirstRevision: rapid.Uint64().Draw(t, "fr"), LastRevision: rapid.Uint64().Draw(t, "lr"), FirstOffset: rapid.Uint64().Draw(t, "fo"), LastOffset: rapid.Uint64().Draw(t, "lo")}
		o.Streams = append(o.Streams, s)
		r.Streams = append(r.Streams, &gestav1.StreamOutcome{FirstRevision: s.FirstRevision, LastRevision: s.LastRevision, FirstOffset: s.FirstOffset, LastOffset: s.LastOffset})
	}
	return o, created, r
}

func equal(t *rapid.T, hand []byte, want proto.Message) {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(hand, encoded) {
		t.Fatalf("by hand %x\ngenerated %x", hand, encoded)
	}
}

func TestReadFramesAreProtobuf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := position.Position{Shard: 1, History: rapid.Uint64Min(1).Draw(t, "history"), Offset: rapid.Uint64().Draw(t, "offset")}
		b := event.Batch{Position: at, Live: rapid.Bool().Draw(t, "live"), ResolvedOffset: rapid.Uint64().Draw(t, "resolved")}
		want := &gestav1.ReadResponse{Position: at.String(), Live: b.Live, ResolvedOffset: b.ResolvedOffset, Shard: 1, History: at.History}
		for i := range rapid.IntRange(0, 5).Draw(t, "events") {
			e := eventwire.AppendEvent(nil, &eventwire.Event{ID: fmt.Sprint(i), Type: "T", Data: make([]byte, rapid.IntRange(0, 300).Draw(t, "size"))})
			b.Events = append(b.Events, eventwire.AppendRecorded(nil, e, uint64(i+1), 1, []byte("t"), nil, 5))
			r := new(gestav1.RecordedEvent)
			if err := proto.Unmarshal(b.Events[i], r); err != nil {
				t.Fatal(err)
			}
			want.Events = append(want.Events, r)
		}
		equal(t, appendReadFrame(nil, &b, true), want)
	})
}

func TestFramesSplitAsTheGeneratedCodeSees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := &gestav1.AppendStreamRequest{}
		for range rapid.IntRange(0, 5).Draw(t, "calls") {
			c := &gestav1.AppendCall{CallId: rapid.Uint64().Draw(t, "id"), Request: request("topic", rapid.String().Draw(t, "key"))}
			if rapid.Bool().Draw(t, "timed") {
				c.Timeout = durationpb.New(time.Duration(rapid.Int64Range(1, int64(longestTimeout)).Draw(t, "timeout")))
			}
			in.Calls = append(in.Calls, c)
		}
		encoded, err := proto.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		calls, err := splitFrame(encoded, nil)
		if err != nil || len(calls) != len(in.GetCalls()) {
			t.Fatal(calls, err)
		}
		for i, c := range calls {
			want, q := in.GetCalls()[i], new(gestav1.AppendRequest)
			if err := errors.Join(c.err, proto.Unmarshal(c.request, q)); err != nil {
				t.Fatal(err)
			}
			if c.id != want.GetCallId() || c.timeout != want.GetTimeout().AsDuration() || !proto.Equal(q, want.GetRequest()) {
				t.Fatalf("call %d: %+v, want %v", i, c, want)
			}
		}
	})
}

func TestFramesHaveABoundOnCalls(t *testing.T) {
	one := []byte{fieldCalls<<3 | 2, 0}
	if calls, err := splitFrame(bytes.Repeat(one, mostCalls), nil); err != nil || len(calls) != mostCalls {
		t.Fatal(err)
	}
	if _, err := splitFrame(bytes.Repeat(one, mostCalls+1), nil); errs.CodeOf(err) != errs.TooLarge {
		t.Fatal(err)
	}
}

func FuzzSplitFrame(f *testing.F) {
	encoded, err := proto.Marshal(&gestav1.AppendStreamRequest{Calls: []*gestav1.AppendCall{{CallId: 300, Request: request("t", "k"), Timeout: durationpb.New(time.Second)}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Add([]byte{fieldCalls<<3 | 2, 4, 0x1a, 2, 8, 0x80})
	l := limits.Default()
	f.Fuzz(func(t *testing.T, b []byte) {
		calls, err := splitFrame(b, nil)
		generated := new(gestav1.AppendStreamRequest)
		if bad := proto.Unmarshal(b, generated); bad != nil && err == nil {
			// The request's own bytes are looked at later.
			for _, c := range calls {
				if c.err == nil {
					_, c.err = event.DecodeAppendRequest(c.request, &l, newID)
				}
				err = errors.Join(err, c.err)
			}
			if err == nil {
				t.Fatalf("accepted what the generated code refuses: %v", bad)
			}
			return
		}
		for i, c := range calls {
			if err == nil && c.err == nil && c.id != generated.GetCalls()[i].GetCallId() {
				t.Fatalf("call %d has id %d, generated code says %d", i, c.id, generated.GetCalls()[i].GetCallId())
			}
		}
	})
}

func TestStatusesAreFitForHeaders(t *testing.T) {
	long := string(bytes.Repeat([]byte("é"), 4000))
	err := toStatus(errs.New(errs.Invalid, "bad %s", long).With("field", "a\xffb"))
	code, got := codeOf(t, err)
	if code != errs.Invalid || got["field"] != "a\uFFFDb" || len(err.Error()) > largestMessage+100 {
		t.Fatal(code, got, len(err.Error()))
	}
	if toStatus(nil) != nil {
		t.Fatal("no error became one")
	}
	code, _ = codeOf(t, toStatus(errors.New("surprise")))
	if code != errs.Internal {
		t.Fatal(code)
	}
}

// A frame of a read costs nothing per event, and a fixed few allocations in all.
func TestReadFrameAllocations(t *testing.T) {
	e := eventwire.AppendRecorded(nil, eventwire.AppendEvent(nil, &eventwire.Event{ID: "i", Type: "T", Data: make([]byte, 256)}), 1, 1, []byte("t"), nil, 1)
	b := event.Batch{Events: make([][]byte, 800), Position: position.Position{Shard: 1, History: 1, Offset: 800}}
	for i := range b.Events {
		b.Events[i] = e
	}
	f := framer{begun: true, send: func(m any) error { m.(outFrame).buffer.Free(); return nil }}
	if n := testing.AllocsPerRun(50, func() { _ = f.batch(b) }); n > 4 {
		t.Errorf("%.1f allocations for a frame of %d events", n, len(b.Events))
	}
}

// On its way through the door and the gateway an append costs its commit's memory, and a share of the frame's.
func TestAppendFrameAllocations(t *testing.T) {
	l := limits.Default()
	gate := gateway.New(gateway.Options{Shards: gatewaytest.Only(discard{gatewaytest.NewShard()}), Topics: gatewaytest.NewTopics("orders"), Limits: &l})
	a := &appender{replier: replier{door: &Door{gate: gate}, wake: make(chan struct{}, 1)}}
	in := &gestav1.AppendStreamRequest{}
	const calls = 100
	for i := range calls {
		q := request("orders", fmt.Sprint(i))
		q.Streams[0].Events[0].Id = fmt.Sprint("event-", i)
		in.Calls = append(in.Calls, &gestav1.AppendCall{CallId: uint64(i), Request: q})
	}
	frame, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var wires []callWire
	n := testing.AllocsPerRun(50, func() {
		wires, _ = splitFrame(frame, wires[:0])
		a.open += len(wires)
		gate.Submit(t.Context(), a.who, a.decode(wires))
		replies, _, _ := a.gathered(false)
		pool.Put(replies)
	})
	// Of the commit: itself, its streams, its events, and their bytes. Topics made by the test's own shard cost one more.
	if each := n / calls; each > 6 {
		t.Errorf("%.2f allocations for an append", each)
	}
}

// discard is a shard that accepts everything and keeps nothing.
type discard struct{ *gatewaytest.Shard }

func (d discard) Submit(calls []*event.Call) {
	for _, c := range calls {
		c.Outcome = event.Outcome{Streams: oneStream, Position: position.Position{Shard: 1, Offset: 1}}
		c.Done(c)
	}
}

var oneStream = []event.StreamOutcome{{FirstRevision: 1, LastRevision: 1, FirstOffset: 1, LastOffset: 1}}

func BenchmarkReadFrame(b *testing.B) {
	e := eventwire.AppendRecorded(nil, eventwire.AppendEvent(nil, &eventwire.Event{ID: "i", Type: "T", Data: make([]byte, 256)}), 1, 1, []byte("t"), nil, 1)
	batch := event.Batch{Events: make([][]byte, 800), Position: position.Position{Shard: 1, History: 1, Offset: 800}}
	for i := range batch.Events {
		batch.Events[i] = e
	}
	f := framer{begun: true, send: func(m any) error { m.(outFrame).buffer.Free(); return nil }}
	b.ReportAllocs()
	b.SetBytes(int64(len(e) * len(batch.Events)))
	for b.Loop() {
		_ = f.batch(batch)
	}
	b.ReportMetric(float64(b.N*len(batch.Events))/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkAppendFrame(b *testing.B) {
	l := limits.Default()
	gate := gateway.New(gateway.Options{Shards: gatewaytest.Only(discard{gatewaytest.NewShard()}), Topics: gatewaytest.NewTopics("orders"), Limits: &l})
	a := &appender{replier: replier{door: &Door{gate: gate}, wake: make(chan struct{}, 1)}}
	in := &gestav1.AppendStreamRequest{}
	for i := range 128 {
		q := request("orders", fmt.Sprint(i))
		q.Streams[0].Events[0].Id, q.Streams[0].Events[0].Data = fmt.Sprint("event-", i), make([]byte, 256)
		in.Calls = append(in.Calls, &gestav1.AppendCall{CallId: uint64(i), Request: q})
	}
	frame, err := proto.Marshal(in)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var wires []callWire
	for b.Loop() {
		wires, _ = splitFrame(frame, wires[:0])
		a.open += len(wires)
		gate.Submit(b.Context(), a.who, a.decode(wires))
		replies, _, _ := a.gathered(false)
		pool.Put(replies)
	}
	b.ReportMetric(float64(b.N*128)/b.Elapsed().Seconds(), "appends/s")
}
