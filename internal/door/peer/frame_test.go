package peer

import (
	"bytes"
	"errors"
	"hash/crc32"
	"math"
	"reflect"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/limits"
)

func sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// same holds that bytes written by hand are those of a generated message.
func same(t *testing.T, got []byte, m proto.Message) {
	t.Helper()
	back := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(got, back); err != nil || !proto.Equal(back, m) {
		t.Errorf("got %v (%v)\nwant %v", back, err, m)
	}
	if len(back.ProtoReflect().GetUnknown()) > 0 {
		t.Error("unknown fields in", back)
	}
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestExchangeFrames(t *testing.T) {
	ms := []envelope{{0, beat(1, 2, 3), 0}, {1 << 20, app(1, 2, 3, 5000), 0}, {7, snap(1, 2), 0}}
	b := []byte{tagStreamClass, byte(Log) + 1}
	b = appendHealth(appendPing(b, 1<<40), []byte("well"))
	want := &peerv1.ExchangeRequest{StreamClass: peerv1.StreamClass_STREAM_CLASS_LOG, Ping: &peerv1.Ping{Number: 1 << 40}, Health: &peerv1.Health{Payload: []byte("well")}}
	for _, e := range ms {
		var err error
		if b, err = appendEnvelope(b, e); err != nil {
			t.Fatal(err)
		}
		want.Messages = append(want.Messages, &peerv1.Envelope{Group: e.group, Message: marshal(t, e.m)})
	}
	same(t, b, want)
	x, err := decodeExchange(b)
	if err != nil || x.class != Log || x.ping != 1<<40 || !x.pinged || string(x.health) != "well" || x.messages != 3 || len(x.groups) != 3 {
		t.Fatalf("%+v %v", x, err)
	}
	for i, e := range ms {
		if x.groups[i].group != e.group || !proto.Equal(x.groups[i].ms[0], e.m) {
			t.Errorf("message %d is %v", i, x.groups[i])
		}
	}
	p := pong(9, -5)
	same(t, p.buffer.ReadOnlyData(), &peerv1.ExchangeResponse{Pong: &peerv1.Pong{Number: 9, UnixNanos: math.MaxUint64 - 4}})
	if number, at, ok, err := decodePong(p.buffer.ReadOnlyData()); number != 9 || at != -5 || !ok || err != nil {
		t.Error(number, at, ok, err)
	}
}

func TestClasses(t *testing.T) {
	for number := range raftpb.MessageType_name {
		m := &raftpb.Message{Type: raftpb.MessageType(number).Enum()}
		class := Control
		if m.GetType() == raftpb.MsgApp || m.GetType() == raftpb.MsgSnap {
			class = Log
		}
		if classOf(m) != class {
			t.Errorf("%v travels with %v", m.GetType(), classOf(m))
		}
	}
	if c := Bulk.String(); c != "bulk" {
		t.Error(c)
	}
}

// whole is a commit with everything.
func whole() *event.Commit {
	c := commitOf("1", exactly(0), 500)
	for _, kind := range []event.ExpectKind{event.Any, event.None, event.Exists} {
		c.Streams = append(c.Streams, event.Append{Topic: []byte("t"), Key: []byte{'a' + byte(kind)}, Expect: event.Expect{Kind: kind}, Events: c.Streams[0].Events})
	}
	c.CommandID, c.NoCreate, c.Request = []byte("cmd"), true, &[32]byte{31: 1}
	c.Reply, c.State = &event.Payload{Data: []byte("r")}, &event.State{Version: 3, Payload: event.Payload{ContentType: "c", Type: "s", Data: []byte("d")}}
	return c
}

func TestForwardFrames(t *testing.T) {
	c := whole()
	one := &commit{id: 5, shard: 6, caller: "ann", call: &event.Call{Commit: c, Deadline: time.Now().Add(time.Hour)}}
	f := commitsFrame([]*commit{one, {id: 6, call: &event.Call{Commit: commitOf("2", event.Expect{}, 1)}}}, 100)
	var q peerv1.ForwardRequest
	if err := proto.Unmarshal(f.buffer.ReadOnlyData(), &q); err != nil || len(q.GetCalls()) != 2 || q.GetCalls()[1].GetTimeoutNanos() != 0 {
		t.Fatal(&q, err)
	}
	got := q.GetCalls()[0]
	same(t, marshal(t, got), &peerv1.ForwardCall{Id: 5, Shard: 6, Caller: "ann", TimeoutNanos: got.GetTimeoutNanos(), Append: got.GetAppend(), Request: c.Request[:],
		Reply: &peerv1.Payload{Data: []byte("r")}, State: &peerv1.CarriedState{Version: 3, Payload: &peerv1.Payload{ContentType: "c", Type: "s", Data: []byte("d")}}})
	if d := time.Duration(got.GetTimeoutNanos()); d < 59*time.Minute || d > time.Hour {
		t.Error("a timeout of", d)
	}
	var a gestav1.AppendRequest
	if err := proto.Unmarshal(got.GetAppend(), &a); err != nil || len(a.ProtoReflect().GetUnknown()) > 0 || len(a.GetStreams()) != 4 || a.GetCommandId() != "cmd" || !a.GetNoCreate() {
		t.Fatal(&a, err)
	}
	for i, want := range []string{"revision:0", "", "state:STREAM_STATE_NONE", "state:STREAM_STATE_EXISTS"} {
		if e := a.GetStreams()[i].GetExpectation(); want == "" && e != nil || want != "" && (e == nil || e.String() != want) {
			t.Errorf("stream %d expects %v, want %q", i, e, want)
		}
	}
	if e := marshal(t, a.GetStreams()[0].GetEvents()[0]); !bytes.Equal(e, c.Streams[0].Events[0].Bytes) {
		t.Error("the event is not as it was")
	}
	list, err := splitCalls(f.buffer.ReadOnlyData(), nil)
	if err != nil || len(list) != 2 || list[0].err != nil || list[0].id != 5 || list[0].shard != 6 || string(list[0].caller) != "ann" || !bytes.Equal(list[0].request, got.GetAppend()) || !reflect.DeepEqual(list[0].state, c.State) {
		t.Errorf("%+v %v", list, err)
	}
}

func TestFieldsOfNewerReleasesAreRefused(t *testing.T) {
	b := appendLengthed(nil, tagCalls, func(b []byte) []byte { return append(b, tagCallID, 7, 15<<3, 1) })
	list, err := splitCalls(b, nil)
	if err != nil || list[0].id != 7 || errs.CodeOf(list[0].err) != errs.Unsupported {
		t.Errorf("%+v %v", list, err)
	}
	_, err = splitCalls([]byte{9 << 3, 1}, nil)
	wantCode(t, err, errs.Unsupported)
}

func TestReplyFrames(t *testing.T) {
	o := &event.Outcome{Streams: []event.StreamOutcome{{FirstRevision: 1, LastRevision: 2, FirstOffset: 300, LastOffset: 301}, {}}, Position: position.Position{Shard: 4, History: math.MaxUint64, Offset: 301},
		Repeated: true, Reply: &event.Payload{ContentType: "c", Type: "t", Data: []byte("d")}}
	e := errs.New(errs.Conflict, "no \xff").With("actual", "7").With("b", "")
	b := appendReply(appendReply(nil, 8, o, nil), 9, nil, e)
	b = appendFlag(b, tagClosing, true)
	same(t, b, &peerv1.ForwardResponse{Closing: true, Replies: []*peerv1.ForwardReply{
		{Id: 8, Result: &peerv1.ForwardReply_Outcome{Outcome: &peerv1.Outcome{Streams: []*peerv1.Written{{FirstRevision: 1, LastRevision: 2, FirstOffset: 300, LastOffset: 301}, {}},
			Place: &peerv1.Place{Shard: 4, History: math.MaxUint64, Offset: 301}, Repeated: true, Reply: &peerv1.Payload{ContentType: "c", Type: "t", Data: []byte("d")}}}},
		{Id: 9, Result: &peerv1.ForwardReply_Failure{Failure: &peerv1.Failure{Code: "conflict", Message: "no \uFFFD", Details: map[string]string{"actual": "7", "b": ""}}}},
	}})
	var got []reply
	closing, err := decodeReplies(b, func(r *reply) { got = append(got, *r) })
	if err != nil || !closing || len(got) != 2 || !got[0].whole || got[0].err != nil || !reflect.DeepEqual(&got[0].outcome, o) {
		t.Fatalf("%+v %v %v", got, closing, err)
	}
	if f := wantCode(t, got[1].err, errs.Conflict); f.Details["actual"] != "7" || f.Message != "no \uFFFD" {
		t.Errorf("%+v", f)
	}
}

func TestReadFrames(t *testing.T) {
	want := event.Batch{Events: [][]byte{[]byte("one"), {}, bytes.Repeat([]byte("x"), 300)}, Position: position.Position{Shard: 1, History: 2, Offset: 3}, Live: true, ResolvedOffset: 9}
	f := batchFrame(&want)
	same(t, f.buffer.ReadOnlyData(), &peerv1.ReadResponse{Events: want.Events, Place: &peerv1.Place{Shard: 1, History: 2, Offset: 3}, Live: true, ResolvedOffset: 9})
	got, err := decodeBatch(f.buffer.ReadOnlyData(), nil)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestErrorsOnTheWire(t *testing.T) {
	if toStatus(nil) != nil {
		t.Error("nothing became something")
	}
	long := errs.New(errs.Internal, "%s", bytes.Repeat([]byte("ä"), largestText))
	e, ok := fromStatus(toStatus(long))
	if !ok || len(e.Message) > largestText+3 || len(e.Message) < largestText-3 {
		t.Error(ok, len(e.Message))
	}
	if _, ok := fromStatus(errors.New("other")); ok {
		t.Error("a code came from nowhere")
	}
	if failure("", "m", nil).Code != errs.Internal {
		t.Error("no code")
	}
}

// decodes holds that a decoder says invalid, or unsupported, to what it does not understand.
func decodes(t *testing.T, err error) {
	t.Helper()
	if err != nil && errs.CodeOf(err) != errs.Invalid && errs.CodeOf(err) != errs.Unsupported && errs.CodeOf(err) != errs.TooLarge {
		t.Errorf("%q: %v", errs.CodeOf(err), err)
	}
}

func FuzzExchange(f *testing.F) {
	b, _ := appendEnvelope(appendHealth(appendPing([]byte{tagStreamClass, 1}, 3), []byte("h")), envelope{3, app(1, 2, 3, 10), 0})
	f.Add(b)
	f.Add(pong(3, 4).buffer.ReadOnlyData())
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := decodeExchange(b)
		decodes(t, err)
		for _, d := range x.groups {
			for _, m := range d.ms {
				_ = mayTravel(m)
				_ = classOf(m)
			}
		}
		_, _, _, err = decodePong(b)
		decodes(t, err)
	})
}

func FuzzForward(f *testing.F) {
	f.Add(commitsFrame([]*commit{{id: 1, shard: 2, caller: "c", call: &event.Call{Commit: whole(), Deadline: time.Unix(1, 0)}}}, 100).buffer.ReadOnlyData())
	f.Add(appendReply(nil, 1, &event.Outcome{Streams: make([]event.StreamOutcome, 2)}, nil))
	f.Add(appendReply(nil, 1, nil, errs.New(errs.Busy, "b").With("a", "c")))
	lim := limits.Default()
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := splitCalls(b, nil)
		decodes(t, err)
		for i := range list {
			c, err := list[i].commit(&lim, func() string { return "id" })
			decodes(t, err)
			if err == nil && len(c.Streams) == 0 {
				t.Error("a commit of nothing")
			}
		}
		_, err = decodeReplies(b, func(*reply) {})
		decodes(t, err)
	})
}

func FuzzPulls(f *testing.F) {
	f.Add(batchFrame(&event.Batch{Events: [][]byte{[]byte("e")}, Live: true, ResolvedOffset: 3}).buffer.ReadOnlyData())
	b, _ := proto.Marshal(&peerv1.FetchResponse{Offset: 1, Data: []byte("d"), Checksum: 5})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := decodeBatch(b, nil)
		decodes(t, err)
		c, err := decodeChunk(b)
		decodes(t, err)
		var m peerv1.FetchResponse
		if err == nil && proto.Unmarshal(b, &m) == nil && (m.GetOffset() != c.offset || !bytes.Equal(m.GetData(), c.data) || m.GetChecksum() != c.checksum) {
			t.Errorf("%+v is %v", c, &m)
		}
	})
}
