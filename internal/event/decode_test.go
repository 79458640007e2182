package event

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gesta-db/gesta/api/eventwire"
	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

var deterministic = proto.MarshalOptions{Deterministic: true}

func testLimits() *limits.Limits {
	l := limits.Default()
	return &l
}

// counter gives the ids "new-1", "new-2", …
func counter() func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("new-%d", n) }
}

func ev(id, typ string) *gestav1.Event { return &gestav1.Event{Id: id, Type: typ} }

func request(topic, key string, events ...*gestav1.Event) *gestav1.AppendRequest {
	return &gestav1.AppendRequest{Streams: []*gestav1.StreamAppend{{Topic: topic, Key: key, Events: events}}}
}

func full() *gestav1.Event {
	return &gestav1.Event{
		Id: "e1", Type: "Placed", SchemaVersion: 3, ContentType: "application/json", Data: []byte(`{"a":1}`),
		Time: &timestamppb.Timestamp{Seconds: 1710657328, Nanos: 5}, Source: "/shop",
		Metadata: map[string]string{"b": "2", "a": "1", "c": ""}, Tags: []string{"z", "y"},
	}
}

func TestDecodeAppendRequest(t *testing.T) {
	m := &gestav1.AppendRequest{
		CommandId: "cmd", NoCreate: true,
		Streams: []*gestav1.StreamAppend{
			{Topic: "orders", Key: "o-7", Events: []*gestav1.Event{full(), ev("e2", "Paid")}, Expectation: &gestav1.Expectation{Rule: &gestav1.Expectation_Revision{Revision: 5}}},
			{Topic: "stock", Events: []*gestav1.Event{ev("e1", "Taken")}, Expectation: &gestav1.Expectation{Rule: &gestav1.Expectation_State{State: gestav1.StreamState_STREAM_STATE_EXISTS}}},
		},
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	c, err := DecodeAppendRequest(b, testLimits(), counter())
	if err != nil {
		t.Fatal(err)
	}
	clear(b) // the commit must not need it any more
	mustEqual(t, c, m)
	if string(c.CommandID) != "cmd" || !c.NoCreate {
		t.Errorf("command %q, no create %v", c.CommandID, c.NoCreate)
	}
	if c.Streams[0].Expect != (Expect{Kind: Exact, Revision: 5}) || c.Streams[1].Expect != (Expect{Kind: Exists}) {
		t.Errorf("expects %v and %v", c.Streams[0].Expect, c.Streams[1].Expect)
	}
}

// mustEqual holds a commit against the message it was made of.
func mustEqual(t *testing.T, c *Commit, m *gestav1.AppendRequest) {
	t.Helper()
	if len(c.Streams) != len(m.GetStreams()) {
		t.Fatalf("%d streams, want %d", len(c.Streams), len(m.GetStreams()))
	}
	size := 0
	for i, s := range c.Streams {
		want := m.GetStreams()[i]
		if string(s.Topic) != want.GetTopic() || string(s.Key) != want.GetKey() || len(s.Events) != len(want.GetEvents()) {
			t.Fatalf("stream %d is %s/%s with %d events", i, s.Topic, s.Key, len(s.Events))
		}
		for j, e := range s.Events {
			wantEvent := proto.CloneOf(want.GetEvents()[j])
			if wantEvent.GetId() == "" {
				wantEvent.Id = string(e.ID)
			}
			wantBytes, err := deterministic.Marshal(wantEvent)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(e.Bytes, wantBytes) {
				t.Fatalf("event %d.%d\nis   %x\nwant %x", i, j, e.Bytes, wantBytes)
			}
			if len(e.ID) == 0 || string(e.ID) != wantEvent.GetId() || string(e.Type) != wantEvent.GetType() {
				t.Fatalf("event %d.%d has id %q and type %q", i, j, e.ID, e.Type)
			}
			size += len(e.Bytes)
		}
	}
	if c.Bytes != size {
		t.Fatalf("commit of %d bytes, want %d", c.Bytes, size)
	}
}

func TestEventsWithoutIDGetOne(t *testing.T) {
	m := request("t", "k", ev("", "A"), ev("mine", "B"), ev("", "C"))
	c, err := FromProto(m, testLimits(), counter())
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(c); got != "new-1 mine new-2" {
		t.Errorf("ids %s", got)
	}
	// With a command id they are derived, so that the repeated command is the same commit.
	m.CommandId = "c1"
	first, err1 := FromProto(m, testLimits(), counter())
	second, err2 := FromProto(m, testLimits(), counter())
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if ids(first) != ids(second) || first.Digest() != second.Digest() || strings.Contains(ids(first), "new-") {
		t.Errorf("ids %s and %s", ids(first), ids(second))
	}
	m.Streams[0].Key = "other"
	if third, err := FromProto(m, testLimits(), counter()); err != nil || ids(third) == ids(first) {
		t.Errorf("the command id of another stream gave the same ids: %v", err)
	}
}

func ids(c *Commit) string {
	var list []string
	for _, s := range c.Streams {
		for _, e := range s.Events {
			list = append(list, string(e.ID))
		}
	}
	return strings.Join(list, " ")
}

func TestDecodeRefuses(t *testing.T) {
	with := func(change func(*gestav1.Event)) *gestav1.AppendRequest {
		e := full()
		change(e)
		return request("t", "k", ev("e0", "T"), e)
	}
	many := func(n int) (events []*gestav1.Event) {
		for i := range n {
			events = append(events, ev(fmt.Sprint("id-", i), "T"))
		}
		return events
	}
	long := strings.Repeat("x", 1<<20+1)
	manyStreams := &gestav1.AppendRequest{}
	for i := range 257 {
		manyStreams.Streams = append(manyStreams.Streams, request("t", fmt.Sprint(i), ev("1", "T")).GetStreams()...)
	}
	twiceAmongMany := proto.CloneOf(manyStreams)
	twiceAmongMany.Streams = twiceAmongMany.GetStreams()[:100]
	twiceAmongMany.Streams[99].Key = "17"
	expecting := request("t", "k", ev("1", "T"))
	expecting.Streams[0].Expectation = &gestav1.Expectation{Rule: &gestav1.Expectation_State{State: 9}}
	heavy := request("t", "k")
	for i := range 5 {
		heavy.Streams[0].Events = append(heavy.Streams[0].Events, &gestav1.Event{Id: fmt.Sprint(i), Type: "T", Data: make([]byte, 1<<20)})
	}
	for name, c := range map[string]struct {
		m     *gestav1.AppendRequest
		code  errs.Code
		field string
		limit string
	}{
		"no stream":                 {&gestav1.AppendRequest{}, errs.Invalid, "streams", ""},
		"too many streams":          {manyStreams, errs.TooLarge, "streams", "commit_streams"},
		"a stream twice":            {&gestav1.AppendRequest{Streams: append(request("t", "k", ev("1", "T")).GetStreams(), request("t", "k", ev("2", "T")).GetStreams()...)}, errs.Invalid, "streams[1]", ""},
		"a stream twice of many":    {twiceAmongMany, errs.Invalid, "streams[99]", ""},
		"no events":                 {request("t", "k"), errs.Invalid, "streams[0].events", ""},
		"too many events":           {request("t", "k", many(4097)...), errs.TooLarge, "events", "commit_events"},
		"too many bytes":            {heavy, errs.TooLarge, "events", "commit_bytes"},
		"long command id":           {&gestav1.AppendRequest{CommandId: long[:257], Streams: request("t", "k", ev("1", "T")).GetStreams()}, errs.TooLarge, "command_id", "id_bytes"},
		"no topic":                  {request("", "k", ev("1", "T")), errs.Invalid, "streams[0].topic", ""},
		"topic in capitals":         {request("Orders", "k", ev("1", "T")), errs.Invalid, "streams[0].topic", ""},
		"topic with slash":          {request("a/b", "k", ev("1", "T")), errs.Invalid, "streams[0].topic", ""},
		"long topic":                {request(long[:129], "k", ev("1", "T")), errs.TooLarge, "streams[0].topic", "topic_bytes"},
		"long key":                  {request("t", long[:1025], ev("1", "T")), errs.TooLarge, "streams[0].key", "key_bytes"},
		"unknown expectation":       {expecting, errs.Invalid, "streams[0].expectation", ""},
		"id twice":                  {request("t", "k", ev("1", "T"), ev("2", "T"), ev("1", "U")), errs.Invalid, "streams[0].events[2].id", ""},
		"id twice of many":          {request("t", "k", append(many(50), ev("id-7", "U"))...), errs.Invalid, "streams[0].events[50].id", ""},
		"long id":                   {with(func(e *gestav1.Event) { e.Id = long[:257] }), errs.TooLarge, "streams[0].events[1].id", "id_bytes"},
		"no type":                   {with(func(e *gestav1.Event) { e.Type = "" }), errs.Invalid, "streams[0].events[1].type", ""},
		"long type":                 {with(func(e *gestav1.Event) { e.Type = long[:257] }), errs.TooLarge, "streams[0].events[1].type", "type_bytes"},
		"large data":                {with(func(e *gestav1.Event) { e.Data = []byte(long) }), errs.TooLarge, "streams[0].events[1].data", "event_bytes"},
		"bad content type":          {with(func(e *gestav1.Event) { e.ContentType = "json" }), errs.Invalid, "streams[0].events[1].content_type", ""},
		"content type of two lines": {with(func(e *gestav1.Event) { e.ContentType = "a/b\r\nX: y" }), errs.Invalid, "streams[0].events[1].content_type", ""},
		"long content type":         {with(func(e *gestav1.Event) { e.ContentType = "a/" + long[:256] }), errs.TooLarge, "streams[0].events[1].content_type", "content_type_bytes"},
		"bad source":                {with(func(e *gestav1.Event) { e.Source = "a b" }), errs.Invalid, "streams[0].events[1].source", ""},
		"long source":               {with(func(e *gestav1.Event) { e.Source = long[:1025] }), errs.TooLarge, "streams[0].events[1].source", "source_bytes"},
		"time before years":         {with(func(e *gestav1.Event) { e.Time.Seconds = firstSecond - 1 }), errs.Invalid, "streams[0].events[1].time", ""},
		"time after years":          {with(func(e *gestav1.Event) { e.Time.Seconds = lastSecond + 1 }), errs.Invalid, "streams[0].events[1].time", ""},
		"negative nanos":            {with(func(e *gestav1.Event) { e.Time.Nanos = -1 }), errs.Invalid, "streams[0].events[1].time", ""},
		"too many nanos":            {with(func(e *gestav1.Event) { e.Time.Nanos = 1e9 }), errs.Invalid, "streams[0].events[1].time", ""},
		"nameless metadata":         {with(func(e *gestav1.Event) { e.Metadata[""] = "x" }), errs.Invalid, "streams[0].events[1].metadata", ""},
		"large metadata":            {with(func(e *gestav1.Event) { e.Metadata["x"] = long[:16<<10] }), errs.TooLarge, "streams[0].events[1].metadata", "metadata_bytes"},
		"much metadata": {with(func(e *gestav1.Event) {
			for i := range 65 {
				e.Metadata[fmt.Sprint(i)] = ""
			}
		}), errs.TooLarge, "streams[0].events[1].metadata", "metadata_entries"},
		"tag twice":     {with(func(e *gestav1.Event) { e.Tags = []string{"a", "b", "a"} }), errs.Invalid, "streams[0].events[1].tags[2]", ""},
		"empty tag":     {with(func(e *gestav1.Event) { e.Tags = []string{"a", ""} }), errs.Invalid, "streams[0].events[1].tags[1]", ""},
		"long tag":      {with(func(e *gestav1.Event) { e.Tags = []string{long[:257]} }), errs.TooLarge, "streams[0].events[1].tags[0]", "tag_bytes"},
		"too many tags": {with(func(e *gestav1.Event) { e.Tags = strings.Split(strings.Repeat("x,", 32)+"x", ",") }), errs.TooLarge, "streams[0].events[1].tags", "tags"},
	} {
		_, err := FromProto(c.m, testLimits(), counter())
		mustRefuse(t, name, err, c.code, c.field, c.limit)
	}
}

func mustRefuse(t *testing.T, name string, err error, code errs.Code, field, limit string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: accepted", name)
		return
	}
	e := errs.As(err)
	if e.Code != code || e.Details["field"] != field || e.Details["limit"] != limit || !strings.HasPrefix(e.Message, field+" ") {
		t.Errorf("%s: %s %v: %s", name, e.Code, e.Details, e.Message)
	}
}

// TestDecodeRefusesWire: what the generated code cannot make, but a caller can send.
func TestDecodeRefusesWire(t *testing.T) {
	str := func(b []byte, number protowire.Number, v string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), v)
	}
	wrap := func(number protowire.Number, b []byte) []byte { return str(nil, number, string(b)) }
	stream := func(b []byte) []byte { return wrap(1, append(str(str(nil, 1, "t"), 2, "k"), b...)) }
	event := func(b []byte) []byte { return stream(wrap(4, append(str(str(nil, 1, "e"), 2, "T"), b...))) }
	for name, c := range map[string]struct {
		b     []byte
		code  errs.Code
		field string
	}{
		"garbage":             {[]byte{0xff}, errs.Invalid, "request"},
		"cut":                 {event(nil)[:5], errs.Invalid, "request"},
		"cut stream":          {wrap(1, []byte{0x0a, 5}), errs.Invalid, "streams[0]"},
		"cut event":           {stream(wrap(4, []byte{0x0a, 5})), errs.Invalid, "streams[0].events[0]"},
		"unknown in request":  {append(event(nil), 0x78, 1), errs.Unsupported, "request"},
		"unknown in stream":   {append(stream(wrap(4, str(str(nil, 1, "e"), 2, "T"))), wrap(1, append(str(nil, 1, "u"), 0x78, 1))...), errs.Unsupported, "streams[1]"},
		"unknown in event":    {event([]byte{0x78, 1}), errs.Unsupported, "streams[0].events[0]"},
		"unknown in time":     {event(wrap(6, []byte{0x78, 1})), errs.Unsupported, "streams[0].events[0].time"},
		"unknown in metadata": {event(wrap(8, []byte{0x78, 1})), errs.Unsupported, "streams[0].events[0].metadata"},
		"unknown expectation": {stream(append(wrap(3, []byte{0x78, 1}), wrap(4, str(str(nil, 1, "e"), 2, "T"))...)), errs.Unsupported, "streams[0].expectation"},
		"cut expectation":     {stream(wrap(3, []byte{0x08})), errs.Invalid, "streams[0].expectation"},
		"cut time":            {event(wrap(6, []byte{0x08})), errs.Invalid, "streams[0].events[0].time"},
		"cut metadata":        {event(wrap(8, []byte{0x0a, 4})), errs.Invalid, "streams[0].events[0].metadata"},
		"metadata twice":      {event(append(wrap(8, str(nil, 1, "a")), wrap(8, str(nil, 1, "a"))...)), errs.Invalid, "streams[0].events[0].metadata"},
		"schema version":      {event([]byte{0x18, 0xff, 0xff, 0xff, 0xff, 0x1f}), errs.Invalid, "streams[0].events[0].schema_version"},
		"id of another type":  {stream(wrap(4, []byte{0x08, 1})), errs.Unsupported, "streams[0].events[0]"},
		"id not UTF-8":        {stream(wrap(4, str(str(nil, 1, "\xff"), 2, "T"))), errs.Invalid, "streams[0].events[0].id"},
		"type not UTF-8":      {stream(wrap(4, str(str(nil, 1, "e"), 2, "\xff"))), errs.Invalid, "streams[0].events[0].type"},
		"key not UTF-8":       {wrap(1, append(str(str(nil, 1, "t"), 2, "\xff"), wrap(4, str(str(nil, 1, "e"), 2, "T"))...)), errs.Invalid, "streams[0].key"},
		"command not UTF-8":   {append(event(nil), str(nil, 2, "\xff")...), errs.Invalid, "command_id"},
		"source not UTF-8":    {event(str(nil, 7, "\xff")), errs.Invalid, "streams[0].events[0].source"},
		"metadata not UTF-8":  {event(wrap(8, str(str(nil, 1, "a"), 2, "\xff"))), errs.Invalid, "streams[0].events[0].metadata"},
		"tag not UTF-8":       {event(str(nil, 9, "\xff")), errs.Invalid, "streams[0].events[0].tags[0]"},
	} {
		_, err := DecodeAppendRequest(c.b, testLimits(), counter())
		mustRefuse(t, name, err, c.code, c.field, "")
	}
}

func TestChecks(t *testing.T) {
	for _, name := range []string{"a", "orders", "a.b_c-9", "...", strings.Repeat("x", 128)} {
		if err := CheckTopic(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".", "..", "A", "a b", "ä", "a/b", "a\x00", "\xff", strings.Repeat("x", 129)} {
		if code := errs.CodeOf(CheckTopic(name)); code != errs.Invalid && code != errs.TooLarge {
			t.Errorf("%q: %q", name, code)
		}
	}
	for key, want := range map[string]errs.Code{"": "", "a/b ü\x00": "", "\xff": errs.Invalid, strings.Repeat("x", 1025): errs.TooLarge} {
		if code := errs.CodeOf(CheckKey(key, testLimits())); code != want {
			t.Errorf("%.10q: %q", key, code)
		}
	}
}

func TestDigest(t *testing.T) {
	digest := func(m *gestav1.AppendRequest) [32]byte {
		c, err := FromProto(m, testLimits(), counter())
		if err != nil {
			t.Fatal(err)
		}
		return c.Digest()
	}
	first := digest(request("t", "k", full(), ev("2", "T")))
	expecting := request("t", "k", full(), ev("2", "T"))
	expecting.Streams[0].Expectation = &gestav1.Expectation{Rule: &gestav1.Expectation_Revision{Revision: 5}}
	if digest(expecting) != first {
		t.Error("an expectation changed the digest")
	}
	for name, m := range map[string]*gestav1.AppendRequest{
		"key":    request("t", "l", full(), ev("2", "T")),
		"topic":  request("u", "k", full(), ev("2", "T")),
		"shift":  request("tk", "", full(), ev("2", "T")),
		"id":     request("t", "k", full(), ev("3", "T")),
		"type":   request("t", "k", full(), ev("2", "U")),
		"fewer":  request("t", "k", full()),
		"others": {Streams: append(request("t", "k", full()).GetStreams(), request("t", "l", ev("2", "T")).GetStreams()...)},
	} {
		if digest(m) == first {
			t.Errorf("another %s did not change the digest", name)
		}
	}
	// It is in logs: it must never change.
	if got := fmt.Sprintf("%x", first); got != goldenDigest {
		t.Errorf("digest is %s", got)
	}
}

func TestExpectMet(t *testing.T) {
	for _, c := range []struct {
		expect Expect
		zero   bool
		five   bool
	}{
		{Expect{}, true, true}, {Expect{Kind: None}, true, false}, {Expect{Kind: Exists}, false, true},
		{Expect{Kind: Exact}, true, false}, {Expect{Kind: Exact, Revision: 5}, false, true},
	} {
		if c.expect.Met(0) != c.zero || c.expect.Met(5) != c.five {
			t.Errorf("%+v", c.expect)
		}
	}
}

// FuzzDecodeAppendRequest: what it accepts, the generated code accepts and means the same; canonical bytes stay as they are.
func FuzzDecodeAppendRequest(f *testing.F) {
	for _, m := range []*gestav1.AppendRequest{
		request("orders", "o-7", full(), ev("", "T")),
		{CommandId: "c", NoCreate: true, Streams: append(request("a", "", ev("", "T")).GetStreams(), request("b", "", ev("1", "T")).GetStreams()...)},
	} {
		b, err := deterministic.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	lim := testLimits()
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeAppendRequest(b, lim, counter())
		if err != nil {
			if code := errs.CodeOf(err); code != errs.Invalid && code != errs.TooLarge && code != errs.Unsupported {
				t.Fatalf("%s: %v", code, err)
			}
			return
		}
		var m gestav1.AppendRequest
		if err := proto.Unmarshal(b, &m); err != nil {
			t.Fatalf("accepted what the generated code refuses: %v", err)
		}
		mustEqual(t, c, &m)
		for _, e := range c.Streams[0].Events {
			var decoded eventwire.Event
			if err := eventwire.DecodeEvent(e.Bytes, &decoded); err != nil || !bytes.Equal(eventwire.AppendEvent(nil, &decoded), e.Bytes) {
				t.Fatalf("not canonical: %x (%v)", e.Bytes, err)
			}
		}
	})
}

// TestDecodersForget: nothing of one request is found in the next.
func TestDecodersForget(t *testing.T) {
	for range 3 {
		if _, err := FromProto(request("t", "k", full()), testLimits(), counter()); err != nil {
			t.Fatal(err)
		}
		c, err := FromProto(request("t", "k", ev("1", "T")), testLimits(), counter())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]byte("\x0a\x011\x12\x01T"), c.Streams[0].Events[0].Bytes); d != "" {
			t.Fatal(d)
		}
	}
}

func hotRequest(events int) []byte {
	m := request("orders", "order-000123456")
	for i := range events {
		e := &gestav1.Event{Id: fmt.Sprintf("0190f5c2-7d3e-7c40-8000-%012d", i), Type: "OrderPlaced", Data: bytes.Repeat([]byte("x"), 256)}
		m.Streams[0].Events = append(m.Streams[0].Events, e)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func TestDecodeAllocations(t *testing.T) {
	lim, id := testLimits(), counter()
	for events, most := range map[int]float64{1: 2, 1000: 3} {
		b := hotRequest(events)
		got := testing.AllocsPerRun(200, func() { _, _ = DecodeAppendRequest(b, lim, id) })
		if got > most {
			t.Errorf("%d events: %v allocations, want %v", events, got, most)
		}
	}
}

func BenchmarkDecodeAppendRequest(b *testing.B) {
	lim, id := testLimits(), counter()
	for _, events := range []int{1, 1000} {
		wire := hotRequest(events)
		b.Run(fmt.Sprint(events), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeAppendRequest(wire, lim, id); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDigest(b *testing.B) {
	c, err := DecodeAppendRequest(hotRequest(1), testLimits(), counter())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Digest()
	}
}

const goldenDigest = "a38d2a7672a68f0cae3448bef50f291aaff692922ece1f03260d4c827214d772"
