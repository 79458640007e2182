package client

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

func eventGen(t *rapid.T) (Event, *gestav1.Event) {
	e := Event{
		ID: rapid.String().Draw(t, "id"), Type: rapid.String().Draw(t, "type"), SchemaVersion: rapid.Uint32().Draw(t, "schema"),
		ContentType: rapid.SampledFrom([]string{"", "text/plain"}).Draw(t, "content type"), Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
		Source: rapid.String().Draw(t, "source"), Tags: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "tags"),
		Metadata: rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, "metadata"),
	}
	m := &gestav1.Event{
		Id: e.ID, Type: e.Type, SchemaVersion: e.SchemaVersion, ContentType: e.ContentType, Data: e.Data, Source: e.Source,
		Tags: e.Tags, Metadata: e.Metadata,
	}
	if rapid.Bool().Draw(t, "timed") {
		e.Time = time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
		m.Time = timestamppb.New(e.Time)
	}
	return e, m
}

// What is written by hand is what the generated code would write.
func TestRequestsAreProtobuf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &gestav1.AppendRequest{CommandId: rapid.String().Draw(t, "command"), NoCreate: rapid.Bool().Draw(t, "no create")}
		var streams []Append
		for range rapid.IntRange(0, 3).Draw(t, "streams") {
			a := Append{Topic: rapid.String().Draw(t, "topic"), Key: rapid.String().Draw(t, "key")}
			s := &gestav1.StreamAppend{Topic: a.Topic, Key: a.Key}
			a.Expect, s.Expectation = expectGen(t)
			for range rapid.IntRange(0, 3).Draw(t, "events") {
				e, m := eventGen(t)
				a.Events, s.Events = append(a.Events, e), append(s.Events, m)
			}
			streams, want.Streams = append(streams, a), append(want.Streams, s)
		}
		opts := []AppendOption{CommandID(want.CommandId)}
		if want.NoCreate {
			opts = append(opts, NoCreate())
		}
		k := newCall()
		if err := k.encode(context.Background(), streams, opts); err != nil {
			t.Fatal(err)
		}
		wait := rapid.Int64Range(0, math.MaxInt64).Draw(t, "timeout")
		id := rapid.Uint64().Draw(t, "call")
		frame := appendCall(nil, id, k.request, appendTimeout(nil, time.Duration(wait)))
		var got gestav1.AppendStreamRequest
		if err := proto.Unmarshal(frame, &got); err != nil || len(got.GetCalls()) != 1 {
			t.Fatal(err)
		}
		call := got.GetCalls()[0]
		takeIDs(t, call.GetRequest(), want)
		whole := &gestav1.AppendCall{CallId: id, Request: want, Timeout: durationpb.New(time.Duration(wait))}
		if d := cmp.Diff(whole, call, protocmp.Transform()); d != "" {
			t.Fatal(d)
		}
	})
}

// takeIDs checks the ids that were given to events without one, and takes them off.
func takeIDs(t *rapid.T, got, want *gestav1.AppendRequest) {
	for i, s := range want.GetStreams() {
		for j, e := range s.GetEvents() {
			if e.GetId() == "" {
				m := got.GetStreams()[i].GetEvents()[j]
				if len(m.GetId()) != idBytes {
					t.Fatalf("an event without id got %q", m.GetId())
				}
				m.Id = ""
			}
		}
	}
}

func expectGen(t *rapid.T) (Expect, *gestav1.Expectation) {
	state := func(s gestav1.StreamState) *gestav1.Expectation {
		return &gestav1.Expectation{Rule: &gestav1.Expectation_State{State: s}}
	}
	switch rapid.IntRange(0, 3).Draw(t, "expect") {
	case 1:
		return None(), state(gestav1.StreamState_STREAM_STATE_NONE)
	case 2:
		return Exists(), state(gestav1.StreamState_STREAM_STATE_EXISTS)
	case 3:
		n := rapid.Uint64().Draw(t, "revision")
		return Revision(n), &gestav1.Expectation{Rule: &gestav1.Expectation_Revision{Revision: n}}
	}
	return Any(), nil
}

func TestRepliesAreProtobuf(t *testing.T) {
	frame := &gestav1.AppendStreamResponse{Replies: []*gestav1.AppendReply{
		{CallId: 7, Outcome: &gestav1.AppendReply_Response{Response: &gestav1.AppendResponse{
			Streams: []*gestav1.StreamOutcome{
				{FirstRevision: 1, LastRevision: 2, FirstOffset: 3, LastOffset: 4}, {FirstRevision: math.MaxUint64},
			},
			Position: "p", Repeated: true, CreatedTopics: []string{"a", "b"},
		}}},
		{CallId: 0, Outcome: &gestav1.AppendReply_Error{Error: &gestav1.Error{Code: "conflict", Message: "m", Details: map[string]string{"k": "v"}}}},
		{CallId: 1, Outcome: &gestav1.AppendReply_Response{Response: &gestav1.AppendResponse{}}},
	}}
	b, err := proto.Marshal(frame)
	if err != nil {
		t.Fatal(err)
	}
	replies, err := decodeReplies(b, nil)
	if err != nil || len(replies) != 3 || replies[0].id != 7 || replies[1].id != 0 {
		t.Fatalf("%+v %v", replies, err)
	}
	res, e := replies[0].outcome(&appendRoad, nil)
	want := Result{
		Streams: []StreamResult{{1, 2, 3, 4}, {FirstRevision: math.MaxUint64}}, Position: "p", Repeated: true, CreatedTopics: []string{"a", "b"},
	}
	if d := cmp.Diff(want, res); d != "" || e != nil {
		t.Error(d, e)
	}
	if _, e := replies[1].outcome(&appendRoad, nil); e == nil || e.Code != CodeConflict || e.Message != "m" || e.Details["k"] != "v" {
		t.Errorf("%+v", e)
	}
	if _, e := replies[2].outcome(&appendRoad, nil); e != nil {
		t.Error(e)
	}
}

func FuzzReplies(f *testing.F) {
	b, err := proto.Marshal(&gestav1.AppendStreamResponse{Replies: []*gestav1.AppendReply{{CallId: 3}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		replies, err := decodeReplies(b, nil)
		if err != nil {
			return
		}
		for i := range replies {
			if res, err := replies[i].outcome(&appendRoad, nil); err == nil && len(res.Position) > len(b) {
				t.Fatal("a result larger than its frame")
			}
		}
	})
}

func TestIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 10_000 {
		id := NewID()
		if len(id) != idBytes || seen[id] || strings.Trim(id, idAlphabet) != "" {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

func TestExpectText(t *testing.T) {
	for _, s := range []string{"any", "none", "exists", "0", "18446744073709551615"} {
		e, err := ParseExpect(s)
		if err != nil || e.String() != s {
			t.Errorf("%q: %v %v", s, e, err)
		}
	}
	for _, s := range []string{"-1", "some", "1.5", "18446744073709551616", " 1"} {
		if _, err := ParseExpect(s); CodeOf(err) != CodeInvalid {
			t.Errorf("%q: %v", s, err)
		}
	}
}
