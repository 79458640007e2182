package http

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/limits"
)

const events = `{"events":[{"type":"OrderPlaced","data":{"n":1}}]}`

func TestAppendToAStream(t *testing.T) {
	f := open(t)
	a := f.post(t, "/v1/streams/orders/o-1/events", `{"events":[{"id":"e1","type":"OrderPlaced","data":{"n":1}},{"type":"OrderPaid"}]}`)
	got := into[outcome](t, a)
	if a.StatusCode != 201 || a.Header.Get("ETag") != `"2"` || a.Header.Get("Location") != "/v1/streams/orders/o-1/events?from=1" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	s := got.Streams[0]
	if s.Topic != "orders" || s.Key != "o-1" || s.FirstRevision != 1 || s.LastRevision != 2 || s.FirstOffset != 1 || s.LastOffset != 2 ||
		got.Position == "" || got.Repeated || len(got.CreatedTopics) != 1 || got.CreatedTopics[0] != "orders" {
		t.Errorf("%+v", got)
	}
	p, _ := f.page(t, "/v1/streams/orders/o-1/events")
	if len(p.Events) != 2 || p.Events[0].ID != "e1" || p.Events[1].ID == "" || p.Events[1].Type != "OrderPaid" || string(p.Events[0].Data) != `{"n":1}` {
		t.Errorf("%+v", p)
	}
}

// Every field arrives, and data keeps its bytes.
func TestEveryField(t *testing.T) {
	f := open(t)
	const data = `{"b" : [1, 2,  3.0e1],"a":"\u00e9\n"}`
	f.must(t, "/v1/streams/a/k/events", `{"events":[{"id":"e","type":"T\u00e9","schema_version":7,"content_type":"application/json; charset=utf-8",
		"data": `+data+` ,"time":"2024-02-29T12:00:00.5+02:00","source":"urn:x","metadata":{"actor":"me","a b":"\"1\""},"tags":["x","y\tz"]}]}`)
	p, _ := f.page(t, "/v1/streams/a/k/events")
	e := p.Events[0]
	if e.ID != "e" || e.Type != "Té" || e.SchemaVersion != 7 || e.ContentType != "application/json; charset=utf-8" || string(e.Data) != data ||
		e.Time.Format("15:04:05.9Z07:00") != "10:00:00.5Z" || e.Source != "urn:x" || e.Metadata["actor"] != "me" || e.Metadata["a b"] != `"1"` ||
		len(e.Tags) != 2 || e.Tags[1] != "y\tz" || e.Topic != "a" || e.Key != "k" || e.Offset != 1 || e.Revision != 1 || e.RecordedTime.IsZero() {
		t.Errorf("%+v", e)
	}
}

// What is read can be posted again and is the same, whatever the data.
func TestDataComesBack(t *testing.T) {
	f := open(t)
	for i, c := range []struct{ member, contentType, want string }{
		{`"data":null`, "", `"data":null`},
		{`"data":"text"`, "", `"data":"text"`},
		{`"data":"text \n"`, "text/plain", `"data":"text \n"`},
		{`"data":{"a":1}`, "text/plain", `"data":"{\"a\":1}"`},
		{`"data_base64":"AAEC"`, "application/octet-stream", `"data_base64":"AAEC"`},
		{`"data_base64":"eyJhIjoxfQ=="`, "", `"data":{"a":1}`},
		{`"data_base64":"IDE="`, "", `"data_base64":"IDE="`}, // a space before it
		{`"data_base64":"/w=="`, "text/plain", `"data_base64":"/w=="`},
		{`"data":12`, "", `"data":12`},
		{`"data_base64":null`, "", `"type":"T","recorded_time"`},
	} {
		contentType := ""
		if c.contentType != "" {
			contentType = fmt.Sprintf(`"content_type":%q,`, c.contentType)
		}
		path := fmt.Sprintf("/v1/streams/a/%d/events", i)
		f.must(t, path, `{"events":[{"type":"T",`+contentType+c.member+`}]}`)
		if _, a := f.page(t, path); !strings.Contains(a.body, c.want) {
			t.Errorf("%s of %q came back as %s", c.member, c.contentType, a.body)
		}
	}
}

func TestKeysHoldAnything(t *testing.T) {
	f := open(t)
	for _, key := range []string{"", "a/b", "../..", "..", ".", "//", "a b", "ü/🎉", "%2F", "?a=b&c#d", "events", "+", "\x00\n"} {
		path := "/v1/streams/a/" + url.PathEscape(key) + "/events"
		got := f.must(t, path, events)
		if got.Streams[0].Key != key || got.Streams[0].LastRevision != 1 {
			t.Errorf("%q became %+v", key, got.Streams[0])
		}
		if p, _ := f.page(t, path); len(p.Events) != 1 || p.Events[0].Key != key {
			t.Errorf("%q reads as %+v", key, p)
		}
	}
	wantProblem(t, f.post(t, "/v1/streams/a/%FF/events", events), 400, "invalid", "key")
	wantProblem(t, f.do("GET", "/v1/streams/a/%FF/events", ""), 400, "invalid", "key")
}

func TestAppendToATopic(t *testing.T) {
	f := open(t)
	if got := f.must(t, "/v1/topics/log/events", events); got.Streams[0].Key != "" {
		t.Errorf("%+v", got)
	}
	if got := f.must(t, "/v1/topics/log/events", `{"key":"a/b","expectation":"none","events":[{"type":"T"}]}`); got.Streams[0].Key != "a/b" || got.Streams[0].FirstOffset != 2 {
		t.Errorf("%+v", got)
	}
}

func TestCommit(t *testing.T) {
	f := open(t)
	a := f.post(t, "/v1/commits", `{"streams":[{"topic":"a","key":"1","expectation":0,"events":[{"type":"T"}]},{"topic":"b","events":[{"type":"T"},{"type":"U"}]}],"command_id":"c","no_create":false}`)
	got := into[outcome](t, a)
	if a.StatusCode != 201 || len(got.Streams) != 2 || got.Streams[1].Topic != "b" || got.Streams[1].LastRevision != 2 || len(got.CreatedTopics) != 2 || a.Header.Get("ETag") != "" {
		t.Errorf("%d %+v", a.StatusCode, got)
	}
	p := wantProblem(t, f.post(t, "/v1/commits", `{"streams":[{"topic":"b","events":[{"type":"T"}]},{"topic":"a","key":"1","expectation":0,"events":[{"type":"T"}]}]}`), 409, "conflict", "")
	if p.Details["actual"] != "1" {
		t.Errorf("%+v", p)
	}
	if p, _ := f.page(t, "/v1/shards/1/events"); len(p.Events) != 3 {
		t.Errorf("a refused commit left something: %+v", p)
	}
}

func TestConditions(t *testing.T) {
	const path = "/v1/streams/a/k/events"
	f := open(t)
	for _, c := range []struct {
		header, value, field string
		status               int
	}{
		{"If-Match", "*", "", 412},
		{"If-Match", `"3"`, "", 412},
		{"", "", `"exists"`, 409},
		{"", "", `3`, 409},
		{"If-None-Match", "*", "", 201}, // 1
		{"If-None-Match", "*", "", 412},
		{"If-Match", `"1"`, "", 201}, // 2
		{"If-Match", ` * `, "", 201}, // 3
		{"", "", `3`, 201},           // 4
		{"", "", `"exists"`, 201},    // 5
		{"", "", `"any"`, 201},       // 6
		{"", "", `null`, 201},        // 7
		{"", "", `"none"`, 409},
		{"", "", `0`, 409},
	} {
		body, headers := events, []string(nil)
		if c.header != "" {
			headers = []string{c.header, c.value}
		}
		if c.field != "" {
			body = strings.Replace(body, "{", `{"expectation":`+c.field+",", 1)
		}
		if a := f.post(t, path, body, headers...); a.StatusCode != c.status {
			t.Errorf("%s %s %s: %d %s", c.header, c.value, c.field, a.StatusCode, a.body)
		}
	}
	for _, c := range [][]string{
		{"If-Match", "If-Match", "1"}, {"If-Match", "If-Match", `W/"1"`}, {"If-Match", "If-Match", `"1", "2"`}, {"If-Match", "If-Match", `""`},
		{"If-None-Match", "If-None-Match", `"1"`}, {"If-Match", "If-Match", "*", "If-None-Match", "*"}, {"If-Match", "If-Match", "*", "If-Match", "*"},
	} {
		wantProblem(t, f.post(t, path, events, c[1:]...), 400, "invalid", c[0])
	}
	wantProblem(t, f.post(t, path, `{"expectation":1,"events":[{"type":"T"}]}`, "If-Match", `"7"`), 400, "invalid", "expectation")
	wantProblem(t, f.post(t, "/v1/commits", `{"streams":[]}`, "If-Match", "*"), 400, "invalid", "If-Match")
}

// A conflict by the real shard tells the actual revision: it is also the ETag.
func TestConflictTellsTheRevision(t *testing.T) {
	f := open(t, "a")
	f.shard.Fail(errs.New(errs.Conflict, "a/k is at revision 9").With("actual_revision", "9"))
	a := f.post(t, "/v1/streams/a/k/events", events, "If-Match", `"8"`)
	wantProblem(t, a, 412, "conflict", "")
	if a.Header.Get("ETag") != `"9"` {
		t.Error(a.Header)
	}
}

func TestCloudEventsStructured(t *testing.T) {
	f := open(t)
	const one = `{"specversion":"1.0","id":"e1","source":"urn:shop","type":"Placed","subject":"o-1","time":"2024-01-01T00:00:00Z","correlationid":"c","data":{"n": 1}}`
	a := f.do("POST", "/v1/topics/orders/events", one, "Content-Type", "application/cloudevents+json; charset=utf-8")
	if got := into[outcome](t, a); a.StatusCode != 201 || got.Streams[0].Key != "o-1" {
		t.Fatalf("%d %+v", a.StatusCode, got)
	}
	a = f.do("POST", "/v1/streams/orders/o-1/events", one, "Content-Type", "application/cloudevents+json", "If-Match", `"1"`)
	if a.StatusCode != 201 {
		t.Fatal(a.body)
	}
	p, _ := f.page(t, "/v1/streams/orders/o-1/events")
	e := p.Events[1]
	if e.ID != "e1" || e.Source != "urn:shop" || e.Type != "Placed" || e.Metadata["correlation_id"] != "c" || string(e.Data) != `{"n": 1}` {
		t.Errorf("%+v", e)
	}
	wantProblem(t, f.do("POST", "/v1/streams/orders/o-2/events", one, "Content-Type", "application/cloudevents+json"), 400, "invalid", "subject")
	wantProblem(t, f.do("POST", "/v1/topics/orders/events", `{"specversion":"0.3","id":"1","source":"a","type":"b"}`, "Content-Type", "application/cloudevents+json"), 400, "invalid", "body")
	wantProblem(t, f.do("POST", "/v1/topics/orders/events", `[]`, "Content-Type", "application/cloudevents+json"), 400, "invalid", "body")
	wantProblem(t, f.do("POST", "/v1/commits", one, "Content-Type", "application/cloudevents+json"), 415, "invalid", "Content-Type")
}

func cloud(subject, kind string) string {
	return fmt.Sprintf(`{"specversion":"1.0","source":"s","type":%q,"subject":%q}`, kind, subject)
}

// Events of one subject stay together in their order; all are one commit.
func TestCloudEventsBatch(t *testing.T) {
	f := open(t)
	batch := "[" + cloud("a", "1") + "," + cloud("b", "2") + "," + cloud("a", "3") + "]"
	a := f.do("POST", "/v1/topics/x/events", batch, "Content-Type", "application/cloudevents-batch+json")
	got := into[outcome](t, a)
	if a.StatusCode != 201 || len(got.Streams) != 2 || got.Streams[0].Key != "a" || got.Streams[0].LastRevision != 2 || got.Streams[1].Key != "b" {
		t.Fatalf("%d %+v", a.StatusCode, got)
	}
	a = f.do("POST", "/v1/streams/x/a/events", "["+cloud("a", "1")+","+cloud("", "2")+"]", "Content-Type", "application/cloudevents-batch+json")
	if got := into[outcome](t, a); len(got.Streams) != 1 || got.Streams[0].LastRevision != 4 {
		t.Errorf("%+v", got)
	}
	for _, c := range []struct{ body, field string }{
		{"[]", "body"}, {"{}", "body"}, {"[1]", "[0]"},
		{"[" + cloud("a", "1") + "," + cloud("a", strings.Repeat("x", 300)) + "]", "[1].type"},
		{"[" + cloud("a", "1") + "," + cloud(strings.Repeat("x", 2000), "b") + "]", "[1].subject"},
		{"[" + cloud("a", "1") + `,{"specversion":"1.0","source":"s"}]`, "[1]"},
		{`[{"specversion":"1.0","source":"s","type":"t","datacontenttype":"x"}]`, "[0].datacontenttype"},
	} {
		a := f.do("POST", "/v1/topics/x/events", c.body, "Content-Type", "application/cloudevents-batch+json")
		if p := into[problem](t, a); p.Field != c.field || a.StatusCode != 400 && a.StatusCode != 413 {
			t.Errorf("%.60s: %d %+v, want field %q", c.body, a.StatusCode, p, c.field)
		}
	}
	wantProblem(t, f.do("POST", "/v1/topics/x/events", batch, "Content-Type", "application/cloudevents-batch+json", "If-Match", "*"), 400, "invalid", "If-Match")
}

// Binary mode: the data is the body, the rest is in headers.
func TestBinary(t *testing.T) {
	f := open(t)
	a := f.do("POST", "/v1/streams/a/k/events", "\x00\xffraw", "Content-Type", "image/png", "Ce-Type", "Drawn", "Ce-Id", "e%201", "Ce-Source", "urn:x",
		"Ce-Specversion", "1.0", "Ce-Time", "2024-01-01T00:00:00Z", "Ce-Correlationid", "c-1", "Ce-Gestatags", `["t"]`, "Ce-Traceparent", "00-aa")
	if a.StatusCode != 201 {
		t.Fatal(a.body)
	}
	f.do("POST", "/v1/streams/a/k/events", `{"json": true}`, "Content-Type", "application/json", "Ce-Type", "Json")
	f.do("POST", "/v1/streams/a/k/events", "", "Ce-Type", "Empty")
	p, _ := f.page(t, "/v1/streams/a/k/events")
	e := p.Events[0]
	if string(e.DataBase64) != "\x00\xffraw" || e.ContentType != "image/png" || e.Type != "Drawn" || e.ID != "e 1" || e.Source != "urn:x" ||
		e.Metadata["correlation_id"] != "c-1" || e.Metadata["traceparent"] != "00-aa" || len(e.Tags) != 1 || e.Time.IsZero() {
		t.Errorf("%+v", e)
	}
	if e := p.Events[1]; string(e.Data) != `{"json": true}` || e.ContentType != "application/json" || e.Source != "" {
		t.Errorf("%+v", e)
	}
	if e := p.Events[2]; e.Data != nil || e.DataBase64 != nil || e.ContentType != "" {
		t.Errorf("%+v", e)
	}
	for _, c := range [][]string{
		{"Ce-Type", "Content-Type", "text/plain"},
		{"Ce-Type"},
		{"Ce-Specversion", "Ce-Type", "T", "Ce-Specversion", "0.3"},
		{"Ce-Id", "Ce-Type", "T", "Ce-Id", "%zz"},
		{"Ce-Id", "Ce-Type", "T", "Ce-Id", "a", "Ce-Id", "b"},
		{"Ce-Data", "Ce-Type", "T", "Ce-Data", "a"},
		{"Ce-*", "Ce-Type", "T", "Ce-Time", "yesterday"},
		{"Content-Type", "Ce-Type", "T", "Content-Type", "nonsense"},
	} {
		wantProblem(t, f.do("POST", "/v1/streams/a/k/events", "x", c[1:]...), 400, "invalid", c[0])
	}
	wantProblem(t, f.do("POST", "/v1/streams/a/k/events", "x", "Ce-Type", "T", "Ce-Id", strings.Repeat("x", 300)), 413, "too_large", "Ce-Id")
	wantProblem(t, f.do("POST", "/v1/streams/a/k/events", strings.Repeat("x", 1<<20+1), "Ce-Type", "T"), 413, "too_large", "body")
}

// Fields are named as they stand in the body.
func TestFieldsAreNamed(t *testing.T) {
	f := open(t)
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		path, body string
		status     int
		field      string
	}{
		{"/v1/streams/a/k/events", `{"events":[{"type":"T"},{"type":""}]}`, 400, "events[1].type"},
		{"/v1/streams/a/k/events", `{"events":[{"type":"` + long + `"}]}`, 413, "events[0].type"},
		{"/v1/streams/a/k/events", `{"events":[{"type":"T","id":"a"},{"type":"T","id":"a"}]}`, 400, "events[1].id"},
		{"/v1/streams/a/k/events", `{"events":[{"type":"T","tags":["a","a"]}]}`, 400, "events[0].tags[1]"},
		{"/v1/streams/a/k/events", `{"events":[{"type":"T","tags":[1]}]}`, 400, "events[0].tags[0]"},
		{"/v1/streams/a/k/events", `{"events":[{"type":"T","time":"now"}]}`, 400, "events[0].time"},
		{"/v1/streams/a/k/events", `{"events":[{"type":"T","schema_version":-1}]}`, 400, "events[0].schema_version"},
		{"/v1/streams/a/k/events", `{"events":[{"type":"T","metadata":{"a":1}}]}`, 400, "events[0].metadata"},
		{"/v1/streams/a/k/events", `{"events":[{"type":"T","metadata":{"a":"1","a":"2"}}]}`, 400, "events[0].metadata"},
		{"/v1/streams/a/k/events", `{"events":[{"type":"T","data_base64":"?"}]}`, 400, "events[0].data_base64"},
		{"/v1/streams/a/k/events", `{"events":[{"type":"T","data":1,"data_base64":"AA=="}]}`, 400, "events[0].data_base64"},
		{"/v1/streams/a/k/events", `{"events":[{"type":"T","tyep":1}]}`, 400, "events[0].tyep"},
		{"/v1/streams/a/k/events", `{"events":[{"type":"T","type":"T"}]}`, 400, "events[0].type"},
		{"/v1/streams/a/k/events", `{"events":[{"type":1}]}`, 400, "events[0].type"},
		{"/v1/streams/a/k/events", `{"events":[1]}`, 400, "events[0]"},
		{"/v1/streams/a/k/events", `{"events":{}}`, 400, "events"},
		{"/v1/streams/a/k/events", `{"events":[]}`, 400, "events"},
		{"/v1/streams/a/k/events", `{}`, 400, "events"},
		{"/v1/streams/a/k/events", `[]`, 400, "body"},
		{"/v1/streams/a/k/events", ``, 400, "body"},
		{"/v1/streams/a/k/events", `{"events":`, 400, "body"},
		{"/v1/streams/a/k/events", "{\"events\":\"\xff\"}", 400, "body"},
		{"/v1/streams/a/k/events", `{"key":"b","events":[]}`, 400, "key"},
		{"/v1/streams/a/k/events", `{"expectation":"maybe","events":[]}`, 400, "expectation"},
		{"/v1/streams/a/k/events", `{"expectation":-1,"events":[]}`, 400, "expectation"},
		{"/v1/streams/a/k/events", `{"command_id":1}`, 400, "command_id"},
		{"/v1/streams/a/k/events", `{"no_create":"yes"}`, 400, "no_create"},
		{"/v1/streams/a/k/events?no_crate=true", events, 400, "no_crate"},
		{"/v1/streams/a/k/events?no_create=2", events, 400, "no_create"},
		{"/v1/streams/A/k/events", events, 400, "topic"},
		{"/v1/streams/a/" + strings.Repeat("k", 1025) + "/events", events, 413, "key"},
		{"/v1/topics/a/events", `{"key":1,"events":[]}`, 400, "key"},
		{"/v1/topics/a/events", `{"topic":"a","events":[]}`, 400, "topic"},
		{"/v1/commits", `{"streams":[{"topic":"A","events":[{"type":"T"}]}]}`, 400, "streams[0].topic"},
		{"/v1/commits", `{"streams":[{"topic":"a","events":[{"type":"T","id":1}]}]}`, 400, "streams[0].events[0].id"},
		{"/v1/commits", `{"streams":[{"topic":"a","events":[{"type":"T"}]},{"topic":"a","events":[{"type":"T"}]}]}`, 400, "streams[1]"},
		{"/v1/commits", `{"streams":[1]}`, 400, "streams[0]"},
		{"/v1/commits", `{"streams":1}`, 400, "streams"},
		{"/v1/commits", `{}`, 400, "streams"},
		{"/v1/commits", `{"events":[]}`, 400, "events"},
	} {
		a := f.post(t, c.path, c.body)
		code := "invalid"
		if c.status == 413 {
			code = "too_large"
		}
		if p := wantProblem(t, a, c.status, code, c.field); c.field != "body" && !strings.Contains(p.Detail, c.field) {
			t.Errorf("%.60s: %q does not name %s", c.body, p.Detail, c.field)
		}
	}
	if p, _ := f.page(t, "/v1/shards/1/events"); len(p.Events) > 0 {
		t.Errorf("something was written: %+v", p)
	}
}

func TestIdempotencyKey(t *testing.T) {
	f := open(t)
	ids := map[string]bool{}
	for _, key := range []string{"c-1", `"c-1"`} {
		f.must(t, "/v1/streams/a/k/events", events, "Idempotency-Key", key)
	}
	f.must(t, "/v1/streams/a/k/events", strings.Replace(events, "{", `{"command_id":"c-1",`, 1), "Idempotency-Key", "c-1")
	f.must(t, "/v1/streams/a/k/events", strings.Replace(events, "{", `{"command_id":"c-1",`, 1))
	p, _ := f.page(t, "/v1/streams/a/k/events")
	for _, e := range p.Events {
		ids[e.ID] = true
	}
	if len(ids) != 1 {
		t.Errorf("one command's event has the ids %v: a shard that knows ids would not know it again", ids)
	}
	wantProblem(t, f.post(t, "/v1/streams/a/k/events", strings.Replace(events, "{", `{"command_id":"c-2",`, 1), "Idempotency-Key", "c-1"), 400, "invalid", "command_id")
	wantProblem(t, f.post(t, "/v1/streams/a/k/events", events, "Idempotency-Key", ""), 400, "invalid", "Idempotency-Key")
	wantProblem(t, f.post(t, "/v1/streams/a/k/events", events, "Idempotency-Key", strings.Repeat("x", 300)), 413, "too_large", "command_id")
}

func TestNoCreate(t *testing.T) {
	f := open(t)
	wantProblem(t, f.post(t, "/v1/streams/a/k/events?no_create=true", events), 404, "not_found", "")
	wantProblem(t, f.post(t, "/v1/commits", `{"no_create":true,"streams":[{"topic":"a","events":[{"type":"T"}]}]}`), 404, "not_found", "")
	if f.topics.Made() != 0 {
		t.Error("a topic was made")
	}
}

// appends are the routes that take appends, each with a body.
var appends = map[string]string{
	"/v1/streams/a/k/events": events,
	"/v1/topics/a/events":    events,
	"/v1/commits":            `{"streams":[{"topic":"a","key":"k","events":[{"type":"T"}]}]}`,
}

// Every code that the gateway can give arrives with its status.
func TestEveryError(t *testing.T) {
	f := open(t, "a")
	for _, row := range errs.Table() {
		f.shard.Fail(errs.New(row.Code, "it is %s", row.Code).With("field", "x").With("reason", "why"))
		if a := f.do("HEAD", "/v1/streams/a/k/events", ""); a.StatusCode != row.HTTP {
			t.Errorf("%s is %d, want %d", row.Code, a.StatusCode, row.HTTP)
		}
		for path, body := range appends {
			a := f.post(t, path, body)
			p := wantProblem(t, a, row.HTTP, string(row.Code), "x")
			if p.Details["reason"] != "why" || p.Title != row.Meaning {
				t.Errorf("%s: %+v", row.Code, p)
			}
			retry := row.Retry == errs.RetryLater || row.Retry == errs.RetryYes
			if (a.Header.Get("Retry-After") != "") != retry {
				t.Errorf("%s: Retry-After %q", row.Code, a.Header.Get("Retry-After"))
			}
		}
		if row.Code == errs.Conflict {
			wantProblem(t, f.post(t, "/v1/topics/a/events", events, "If-Match", "*"), 412, "conflict", "x")
		}
	}
	for path, body := range appends {
		wantProblem(t, f.post(t, path, body, "Content-Encoding", "gzip"), 415, "invalid", "Content-Encoding")
		wantProblem(t, f.post(t, path, strings.Repeat(" ", 9<<20+1)), 413, "too_large", "body")
		wantProblem(t, f.post(t, strings.Replace(path, "/a/", "/none/", 1)+"?no_create=true", strings.Replace(body, `"a"`, `"none"`, 1)), 404, "not_found", "")
	}
}

// again is a shard that has seen every commit before.
type again struct{ *gatewaytest.Shard }

func (again) Submit(calls []*event.Call) {
	for _, c := range calls {
		c.Outcome = event.Outcome{Streams: []event.StreamOutcome{{FirstRevision: 1, LastRevision: 1, FirstOffset: 1, LastOffset: 1}}, Repeated: true}
		c.Done(c)
	}
}

func TestARepeatIs200(t *testing.T) {
	l := limits.Default()
	f := openOver(t, Settings{}, again{gatewaytest.NewShard()}, &l, "a")
	for path, body := range appends {
		if a := f.post(t, path, body); a.StatusCode != 200 || !into[outcome](t, a).Repeated {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	l := limits.Default()
	l.CommitBytes, l.EventBytes = 1024, 1024
	f := openOver(t, Settings{}, gatewaytest.NewShard(), &l, "a")
	most := 2*1024 + limits.MiB
	p := wantProblem(t, f.post(t, "/v1/streams/a/k/events", strings.Repeat(" ", most+1)), 413, "too_large", "body")
	if p.Details["limit"] != "commit_bytes" {
		t.Errorf("%+v", p)
	}
	wantProblem(t, f.post(t, "/v1/streams/a/k/events", `{"events":[{"type":"T","data":"`+strings.Repeat("x", 2048)+`"}]}`), 413, "too_large", "events[0].data")
	address := f.listen(t)
	unsized := struct{ *strings.Reader }{strings.NewReader(strings.Repeat(" ", most+1))}
	resp, err := http.Post(address+"/v1/streams/a/k/events", "application/json", unsized)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("without a length: %s", resp.Status)
	}
	resp, err = http.Post(address+"/v1/streams/a/k/events", "application/json", struct{ *strings.Reader }{strings.NewReader(events)})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 201 {
		t.Errorf("small, without a length: %s", resp.Status)
	}
	wantProblem(t, f.post(t, "/v1/streams/a/k/events", events, "Content-Encoding", "gzip"), 415, "invalid", "Content-Encoding")
}
