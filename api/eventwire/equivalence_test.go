package eventwire

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

var deterministic = proto.MarshalOptions{Deterministic: true}

// toProto and toWire say which field is which; every equivalence below rests on them.
func toProto(e *Event) *gestav1.Event {
	p := &gestav1.Event{
		Id: e.ID, Type: e.Type, SchemaVersion: e.SchemaVersion, ContentType: e.ContentType, Data: e.Data,
		Source: e.Source, Metadata: e.Metadata, Tags: e.Tags,
	}
	if !e.Time.IsZero() {
		p.Time = timestamppb.New(e.Time)
	}
	return p
}

func toWire(p *gestav1.Event) Event {
	e := Event{
		ID: p.GetId(), Type: p.GetType(), SchemaVersion: p.GetSchemaVersion(), ContentType: p.GetContentType(), Data: p.GetData(),
		Source: p.GetSource(), Metadata: p.GetMetadata(), Tags: p.GetTags(),
	}
	if p.GetTime() != nil {
		e.Time = p.GetTime().AsTime()
	}
	return e
}

func anyEvent(t *rapid.T) Event {
	e := Event{
		ID: rapid.String().Draw(t, "id"), Type: rapid.String().Draw(t, "type"), SchemaVersion: rapid.Uint32().Draw(t, "version"),
		ContentType: rapid.String().Draw(t, "content type"), Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
		Source:   rapid.String().Draw(t, "source"),
		Metadata: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "metadata"),
		Tags:     rapid.SliceOf(rapid.String()).Draw(t, "tags"),
	}
	if rapid.Bool().Draw(t, "timed") {
		seconds := rapid.Int64Range(-62135596799, 253402300799).Draw(t, "seconds")
		e.Time = time.Unix(seconds, rapid.Int64Range(0, 999999999).Draw(t, "nanos")).UTC()
	}
	return e
}

var sameButEmpty = cmp.Options{cmpopts.EquateEmpty()}

func TestEventIsWrittenAsTheGeneratedCodeDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent(t)
		want, err := deterministic.Marshal(toProto(&e))
		if err != nil {
			t.Fatal(err)
		}
		got := AppendEvent([]byte("before"), &e)
		if !bytes.Equal(got, append([]byte("before"), want...)) {
			t.Fatalf("got %x, want %x", got, want)
		}
		if n := SizeEvent(&e); n != len(want) {
			t.Fatalf("size %d, want %d", n, len(want))
		}
		var back Event
		if err := DecodeEvent(want, &back); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, back, sameButEmpty); d != "" {
			t.Fatal(d)
		}
		id, typ, err := ViewEvent(want)
		if err != nil || string(id) != e.ID || string(typ) != e.Type {
			t.Fatalf("viewed %q %q %v", id, typ, err)
		}
	})
}

func TestRecordedEventIsWrittenAsTheGeneratedCodeDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent(t)
		offset, revision := rapid.Uint64().Draw(t, "offset"), rapid.Uint64().Draw(t, "revision")
		topic, key := rapid.String().Draw(t, "topic"), rapid.String().Draw(t, "key")
		recorded := rapid.Int64().Draw(t, "recorded")
		want, err := deterministic.Marshal(&gestav1.RecordedEvent{
			Event: toProto(&e), Offset: offset, Revision: revision, Topic: topic, Key: key, RecordedUnixNanos: uint64(recorded),
		})
		if err != nil {
			t.Fatal(err)
		}
		event := AppendEvent(nil, &e)
		got := AppendRecorded(nil, event, offset, revision, []byte(topic), []byte(key), recorded)
		if !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
		if n := SizeRecorded(len(event), offset, revision, len(topic), len(key), recorded); n != len(want) {
			t.Fatalf("size %d, want %d", n, len(want))
		}
		var r Recorded
		if err := DecodeRecorded(want, &r); err != nil {
			t.Fatal(err)
		}
		wantRecorded := Recorded{Event: e, Offset: offset, Revision: revision, Topic: topic, Key: key, RecordedTime: time.Unix(0, recorded).UTC()}
		if d := cmp.Diff(wantRecorded, r, sameButEmpty); d != "" {
			t.Fatal(d)
		}
		var v View
		if err := ViewRecorded(want, &v); err != nil {
			t.Fatal(err)
		}
		wantView := View{Event: event, ID: []byte(e.ID), Type: []byte(e.Type), Topic: []byte(topic), Key: []byte(key), Offset: offset, Revision: revision, Recorded: recorded}
		if d := cmp.Diff(wantView, v, sameButEmpty); d != "" {
			t.Fatal(d)
		}
	})
}

// FuzzDecodeEvent: what the generated code accepts is accepted and means the same; what it refuses is refused.
func FuzzDecodeEvent(f *testing.F) {
	for _, e := range samples() {
		f.Add(AppendEvent(nil, &e))
	}
	f.Add([]byte{0x0b, 0x0c})                         // a group
	f.Add([]byte{0x42, 0x00, 0x42, 0x02, 0x0a, 0x00}) // metadata entries without name and value
	f.Add([]byte{0x8a, 0x00, 0x01, 'x'})              // a tag that is longer than it must be
	f.Add([]byte{0x32, 0x00})                         // a time of 1970
	f.Fuzz(func(t *testing.T, b []byte) {
		var p gestav1.Event
		wantErr := proto.Unmarshal(b, &p)
		var e Event
		err := DecodeEvent(b, &e)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got %v, the generated code %v", err, wantErr)
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		want := toWire(&p)
		if countField(b, 6) > 1 || p.GetTime().CheckValid() != nil {
			want.Time, e.Time = time.Time{}, time.Time{} // times outside of the calendar are told apart by the server, not here
		}
		if d := cmp.Diff(want, e, sameButEmpty); d != "" {
			t.Fatal(d)
		}
		again := AppendEvent(nil, &e)
		if len(again) != SizeEvent(&e) {
			t.Fatalf("wrote %d bytes, sized %d", len(again), SizeEvent(&e))
		}
	})
}

// FuzzDecodeRecorded holds the same for recorded events, and that a view of canonical bytes sees what decoding sees.
func FuzzDecodeRecorded(f *testing.F) {
	for _, e := range samples() {
		f.Add(AppendRecorded(nil, AppendEvent(nil, &e), 300, 7, []byte("orders"), []byte("order-7"), 1700000000123456789))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p gestav1.RecordedEvent
		wantErr := proto.Unmarshal(b, &p)
		var r Recorded
		err := DecodeRecorded(b, &r)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got %v, the generated code %v", err, wantErr)
		}
		var v View
		viewErr := ViewRecorded(b, &v)
		if err != nil {
			return
		}
		want := Recorded{
			Event: toWire(p.GetEvent()), Offset: p.GetOffset(), Revision: p.GetRevision(), Topic: p.GetTopic(), Key: p.GetKey(),
			RecordedTime: time.Unix(0, int64(p.GetRecordedUnixNanos())).UTC(),
		}
		want.Time, r.Time = time.Time{}, time.Time{} // held by FuzzDecodeEvent
		if d := cmp.Diff(want, r, sameButEmpty); d != "" {
			t.Fatal(d)
		}
		canonical, err := deterministic.Marshal(&p)
		if err != nil || !bytes.Equal(canonical, b) || len(p.ProtoReflect().GetUnknown())+len(p.GetEvent().ProtoReflect().GetUnknown()) > 0 {
			return
		}
		if viewErr != nil {
			t.Fatalf("a view of canonical bytes: %v", viewErr)
		}
		if string(v.ID) != r.ID || string(v.Type) != r.Type || string(v.Topic) != r.Topic || string(v.Key) != r.Key ||
			v.Offset != r.Offset || v.Revision != r.Revision || v.Recorded != r.RecordedTime.UnixNano() {
			t.Fatalf("viewed %+v, decoded %+v", v, r)
		}
	})
}

// countField tells how often a field occurs in a valid encoding.
func countField(b []byte, field protowire.Number) (times int) {
	for len(b) > 0 {
		number, _, n := protowire.ConsumeField(b)
		if n < 0 {
			return times
		}
		if number == field {
			times++
		}
		b = b[n:]
	}
	return times
}

func samples() []Event {
	return []Event{
		{},
		{ID: "1", Type: "Opened"},
		{
			ID: "6f1c", Type: "OrderPlaced", SchemaVersion: 3, ContentType: "application/json", Data: []byte(`{"total":12}`),
			Time: time.Date(2024, 2, 29, 12, 30, 0, 5, time.UTC), Source: "/shop", Tags: []string{"a", "b"},
			Metadata: map[string]string{"correlation_id": "c", "actor": "ann", "": ""},
		},
		{ID: "ü", Data: bytes.Repeat([]byte{0xff}, 300), Time: time.Unix(-1, 0)},
	}
}
