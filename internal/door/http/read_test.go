package http

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/api/cloudevents"
	"github.com/gesta-db/gesta/internal/errs"
)

// fill appends n events each to the streams a/x and a/y, alternating, types One and Two: offsets 1 to 2n.
func fill(t testing.TB, f *fixture, n int) {
	t.Helper()
	for i := range n {
		f.must(t, "/v1/streams/a/x/events", fmt.Sprintf(`{"events":[{"id":"x%d","type":"One","data":%d}]}`, i, i))
		f.must(t, "/v1/streams/a/y/events", fmt.Sprintf(`{"events":[{"id":"y%d","type":"Two","data":%d}]}`, i, i))
	}
}

func offsets(p pageOfEvents) (list []uint64) {
	for _, e := range p.Events {
		list = append(list, e.Offset)
	}
	return list
}

func TestPages(t *testing.T) {
	f := open(t)
	fill(t, f, 5)
	for path, want := range map[string]string{
		"/v1/shards/1/events?limit=3":                                   "[1 2 3]",
		"/v1/shards/1/events?from=9":                                    "[9 10]",
		"/v1/topics/a/events":                                           "[1 2 3 4 5 6 7 8 9 10]",
		"/v1/topics/a/events?type=Two&limit=2":                          "[2 4]",
		"/v1/topics/a/events?type=Two&type=One&limit=2":                 "[1 2]",
		"/v1/topics/a/events?key_prefix=y&limit=2":                      "[2 4]",
		"/v1/topics/a/events?from=end":                                  "[]",
		"/v1/streams/a/x/events?from=3":                                 "[5 7 9]",
		"/v1/streams/a/x/events?direction=backwards&limit=2":            "[9 7]",
		"/v1/streams/a/none/events":                                     "[]",
		"/v1/shards/1/events?direction=backwards&type=Two&limit=2":      "[10 8]",
		"/v1/streams/a/x/events?direction=forwards&follow=false&from=5": "[9]",
	} {
		p, a := f.page(t, path)
		if got := fmt.Sprint(offsets(p)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		if a.Header.Get("Content-Type") != "application/json" || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, a.Header)
		}
	}
}

// Following next links gives everything once, in both directions and whatever the filter; position goes on after the end.
func TestNext(t *testing.T) {
	f := open(t)
	fill(t, f, 8)
	for _, c := range []struct{ path, want string }{
		{"/v1/shards/1/events?limit=3", "[1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16]"},
		{"/v1/topics/a/events?limit=4&type=Two", "[2 4 6 8 10 12 14 16]"},
		{"/v1/streams/a/x/events?limit=1&direction=backwards", "[15 13 11 9 7 5 3 1]"},
		{"/v1/shards/1/events?limit=16", "[1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16]"},
	} {
		var got []uint64
		var p pageOfEvents
		for path := c.path; path != ""; path = p.Next {
			var a answer
			p, a = f.page(t, path)
			got = append(got, offsets(p)...)
			if link := a.Header.Get("Link"); (p.Next == "") != (link == "") || p.Next != "" && link != "<"+p.Next+`>; rel="next"` {
				t.Errorf("%s: next %q, Link %q", path, p.Next, link)
			}
			if a.Header.Get("Gesta-Position") != p.Position || p.Position == "" {
				t.Errorf("%s: position %q, header %q", path, p.Position, a.Header.Get("Gesta-Position"))
			}
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, want %s", c.path, got, c.want)
		}
	}
	p, _ := f.page(t, "/v1/topics/a/events?from=end")
	fill(t, f, 1)
	if p, _ = f.page(t, "/v1/topics/a/events?from=pos:"+p.Position); fmt.Sprint(offsets(p)) != "[17 18]" {
		t.Errorf("after the end: %v", offsets(p))
	}
}

// A page ends early when its events are large.
func TestPagesAreBoundedInBytes(t *testing.T) {
	f := open(t)
	large := `{"events":[{"type":"T","data":"` + strings.Repeat("x", 1<<20-2) + `"}]}`
	for range 6 {
		f.must(t, "/v1/streams/a/k/events", large)
	}
	p, _ := f.page(t, "/v1/streams/a/k/events")
	if len(p.Events) != 4 || p.Next == "" {
		t.Fatalf("%d events, next %q", len(p.Events), p.Next)
	}
	if p, _ = f.page(t, p.Next); len(p.Events) != 2 || p.Next != "" {
		t.Fatalf("%d events, next %q", len(p.Events), p.Next)
	}
}

// A page up to the newest event carries the revision it shows, so that it can be expected.
func TestETagOfPages(t *testing.T) {
	f := open(t)
	fill(t, f, 3)
	for path, want := range map[string]string{
		"/v1/streams/a/none/events":                   `"0"`,
		"/v1/streams/a/x/events":                      `"3"`,
		"/v1/streams/a/x/events?from=2":               `"3"`,
		"/v1/streams/a/x/events?limit=3":              `"3"`,
		"/v1/streams/a/x/events?envelope=cloudevents": `"3"`,
		"/v1/streams/a/x/events?limit=2":              "",
		"/v1/streams/a/x/events?type=One":             "",
		"/v1/streams/a/x/events?from=end":             "",
		"/v1/streams/a/x/events?from=4":               "",
		"/v1/streams/a/x/events?direction=backwards":  "",
		"/v1/topics/a/events":                         "",
	} {
		if a := f.do("GET", path, ""); a.StatusCode != 200 || a.Header.Get("ETag") != want {
			t.Errorf("%s: %d, ETag %q, want %q", path, a.StatusCode, a.Header.Get("ETag"), want)
		}
	}
}

func TestHead(t *testing.T) {
	f := open(t)
	a := f.do("HEAD", "/v1/streams/a/x/events", "")
	if a.StatusCode != 200 || a.Header.Get("ETag") != `"0"` || a.Header.Get("Gesta-Revision") != "0" || a.Header.Get("Gesta-Recorded-Time") != "" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	fill(t, f, 3)
	a = f.do("HEAD", "/v1/streams/a/x/events", "")
	if a.Header.Get("ETag") != `"3"` || a.Header.Get("Gesta-Revision") != "3" || a.Header.Get("Gesta-Offset") != "5" || a.Header.Get("Gesta-Position") == "" ||
		a.Header.Get("Gesta-Recorded-Time") == "" || a.body != "" {
		t.Errorf("%v %q", a.Header, a.body)
	}
}

func TestRefusedReads(t *testing.T) {
	f := open(t, "a")
	other := "AQEBEQAAAAAAAAAFu8Xjjw"
	for _, c := range []struct {
		path   string
		status int
		code   string
		field  string
	}{
		{"/v1/streams/a/k/events?from=nonsense", 400, "invalid", "from"},
		{"/v1/streams/a/k/events?from=pos:" + other, 400, "invalid", "from"},
		{"/v1/streams/a/k/events?from=id:", 400, "invalid", "from"},
		{"/v1/topics/a/events?from=5", 400, "invalid", "from"},
		{"/v1/topics/a/events?from=id:x", 400, "invalid", "from"},
		{"/v1/shards/1/events?from=id:x", 400, "invalid", "from"},
		{"/v1/streams/a/k/events?direction=up", 400, "invalid", "direction"},
		{"/v1/streams/a/k/events?follow=true", 400, "invalid", "follow"},
		{"/v1/streams/a/k/events?follow=1", 400, "invalid", "follow"},
		{"/v1/streams/a/k/events?follow=true&direction=backwards", 400, "invalid", "follow"},
		{"/v1/streams/a/k/events?limit=0", 400, "invalid", "limit"},
		{"/v1/streams/a/k/events?limit=x", 400, "invalid", "limit"},
		{"/v1/streams/a/k/events?limit=1&limit=2", 400, "invalid", "limit"},
		{"/v1/streams/a/k/events?limit=10001", 413, "too_large", "limit"},
		{"/v1/streams/a/k/events?type=", 400, "invalid", "type"},
		{"/v1/streams/a/k/events?" + strings.Repeat("type=T&", 257), 413, "too_large", "type"},
		{"/v1/streams/a/k/events?key_prefix=k", 400, "invalid", "key_prefix"},
		{"/v1/streams/a/k/events?envelope=x", 400, "invalid", "envelope"},
		{"/v1/streams/a/k/events?a=%zz", 400, "invalid", "query"},
		{"/v1/streams/a/k/events?a;b", 400, "invalid", "query"},
		{"/v1/streams/A/k/events", 400, "invalid", "topic"},
		{"/v1/streams/none/k/events", 404, "not_found", ""},
		{"/v1/topics/none/events", 404, "not_found", ""},
		{"/v1/topics/A/events", 400, "invalid", "topic"},
		{"/v1/topics/a/events?key_prefix=" + strings.Repeat("k", 1025), 413, "too_large", "key_prefix"},
		{"/v1/shards/2/events", 404, "not_found", "shard"},
		{"/v1/shards/one/events", 400, "invalid", "shard"},
		{"/v1/topics?limit=10001", 413, "too_large", "limit"},
		{"/v1/topics?x=1", 400, "invalid", "x"},
		{"/v1/topics/none", 404, "not_found", ""},
		{"/v1/topics/A", 400, "invalid", "topic"},
		{"/v1/topics/a?x=1", 400, "invalid", "x"},
		{"/v1/topics/none/streams", 404, "not_found", ""},
		{"/v1/topics/a/streams?limit=0", 400, "invalid", "limit"},
		{"/v1/topics/a/streams?prefix=%FF", 400, "invalid", "prefix"},
		{"/v1/status?x=1", 400, "invalid", "x"},
	} {
		wantProblem(t, f.do("GET", c.path, ""), c.status, c.code, c.field)
		if path, _, _ := strings.Cut(c.path, "?"); strings.HasSuffix(path, "/events") {
			continue
		}
		if a := f.do("HEAD", c.path, ""); a.StatusCode != c.status {
			t.Errorf("HEAD %s: %d, want %d", c.path, a.StatusCode, c.status)
		}
	}
	for _, path := range []string{"/v1/topics/a/events", "/v1/streams/a/k/events", "/v1/shards/1/events"} {
		wantProblem(t, f.do("GET", path, "", "Accept", "image/png"), 406, "invalid", "Accept")
		wantProblem(t, f.do("GET", path+"?limit=10001", ""), 413, "too_large", "limit")
	}
	wantProblem(t, f.do("HEAD", "/v1/streams/a/k/events?from=1", ""), 400, "invalid", "from")
	wantProblem(t, f.do("GET", "/v1/topics/a/events", "", "Accept", "text/event-stream", "Last-Event-ID", "x"), 400, "invalid", "Last-Event-ID")
	wantProblem(t, f.do("GET", "/v1/topics/a/events?envelope=gesta", "", "Accept", typeCloudBatch), 400, "invalid", "envelope")
}

func TestDraining(t *testing.T) {
	f := open(t, "a")
	f.gate.Drain()
	for _, a := range []answer{f.do("GET", "/v1/topics/a/events", ""), f.do("GET", "/v1/streams/a/k/events", ""), f.do("GET", "/v1/shards/1/events", ""), f.post(t, "/v1/topics/a/events", events), f.do("HEAD", "/v1/streams/a/k/events", "")} {
		if a.StatusCode != 503 || a.Header.Get("Retry-After") != "1" {
			t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
		}
	}
	f.gate.Refuse(errs.New(errs.NoSpace, "12MiB free"))
	wantProblem(t, f.post(t, "/v1/topics/a/events", events), 507, "no_space", "")
}

func TestNegotiate(t *testing.T) {
	for accept, want := range map[string]shape{
		"":                                     shapePage,
		"*/*":                                  shapePage,
		"application/json":                     shapePage,
		"application/*":                        shapePage,
		"text/html, */*;q=0.8":                 shapePage,
		"text/event-stream":                    shapeStream,
		"Text/Event-Stream; charset=utf-8":     shapeStream,
		"application/x-ndjson":                 shapeLines,
		"application/ndjson, application/json": shapePage,
		"application/json;q=0.5,application/x-ndjson;q=0.9": shapeLines,
		"application/cloudevents-batch+json":                shapeBatch,
		"application/json;q=0, text/event-stream":           shapeStream,
	} {
		h := http.Header{}
		if accept != "" {
			h.Set("Accept", accept)
		}
		if got, err := negotiate(h); err != nil || got != want {
			t.Errorf("%q: %v %v, want %v", accept, got, err, want)
		}
	}
}

func TestEnvelopes(t *testing.T) {
	f := open(t)
	fill(t, f, 2)
	a := f.do("GET", "/v1/streams/a/x/events", "", "Accept", typeCloudBatch)
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || len(list) != 2 || a.Header.Get("Content-Type") != typeCloudBatch {
		t.Fatalf("%v: %s", err, a.body)
	}
	key, e, err := cloudevents.ParseJSON(list[1])
	if err != nil || key != "x" || e.ID != "x1" || string(e.Data) != "1" {
		t.Errorf("%v %+v %v", key, e, err)
	}
	if a := f.do("GET", "/v1/streams/a/x/events?envelope=cloudevents", ""); !strings.Contains(a.body, `{"events":[{"specversion":"1.0"`) {
		t.Error(a.body)
	}
	if a := f.do("GET", "/v1/streams/a/x/events?envelope=cloudevents", "", "Accept", typeLines); !strings.HasPrefix(a.body, `{"specversion":"1.0"`) {
		t.Error(a.body)
	}
	// What was read as a batch can be posted as one.
	if a := f.do("POST", "/v1/topics/b/events", a.body, "Content-Type", typeCloudBatch); a.StatusCode != 201 {
		t.Error(a.body)
	}
}

func TestLines(t *testing.T) {
	f := open(t)
	fill(t, f, 4)
	f.must(t, "/v1/streams/a/z/events", "{\"events\":[{\"type\":\"T\",\"data\":{\n\"a\":1}}]}")
	a := f.do("GET", "/v1/topics/a/events", "", "Accept", "application/x-ndjson")
	lines := strings.Split(strings.TrimSuffix(a.body, "\n"), "\n")
	if len(lines) != 9 || a.Header.Get("Content-Type") != typeLines {
		t.Fatalf("%d lines: %s", len(lines), a.body)
	}
	for i, line := range lines {
		var e ownEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Offset != uint64(i+1) {
			t.Errorf("%s: %v", line, err)
		}
		if i == 8 && string(e.DataBase64) != "{\n\"a\":1}" {
			t.Errorf("data with a line break: %s", line)
		}
	}
	if a := f.do("GET", "/v1/topics/a/events?limit=2&direction=backwards", "", "Accept", "application/x-ndjson"); strings.Count(a.body, "\n") != 2 {
		t.Error(a.body)
	}
}

// Lines that follow end with a line that is no event, and cut off, so that nobody takes them for whole.
func TestLinesThatFollow(t *testing.T) {
	f := open(t)
	fill(t, f, 2)
	address := f.listen(t)
	r, _ := http.NewRequestWithContext(t.Context(), "GET", address+"/v1/topics/a/events?follow=true", nil)
	r.Header.Set("Accept", typeLines)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	d := json.NewDecoder(resp.Body)
	for i := range 6 {
		if i == 4 {
			fill(t, f, 1)
		}
		var e ownEvent
		if err := d.Decode(&e); err != nil || e.Offset != uint64(i+1) {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	f.door.drain()
	var last struct{ Problem problem }
	if err := d.Decode(&last); err != nil || last.Problem.Code != errs.Unavailable || last.Problem.Details["reason"] != "draining" {
		t.Errorf("%+v, %v", last, err)
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the answer ended as if it were whole")
	}
}

func TestLists(t *testing.T) {
	f := open(t, "b", "c")
	fill(t, f, 2)
	if l := into[topicList](t, f.do("GET", "/v1/topics", "")); len(l.Topics) != 3 || l.Topics[0].Name != "a" || l.Topics[0].Events != 4 || l.Topics[0].Shard != 1 || l.Next != "" {
		t.Errorf("%+v", l)
	}
	l := into[topicList](t, f.do("GET", "/v1/topics?limit=1&prefix=", ""))
	var names []string
	for {
		for _, one := range l.Topics {
			names = append(names, one.Name)
		}
		if l.Next == "" {
			break
		}
		l = into[topicList](t, f.do("GET", l.Next, ""))
	}
	if fmt.Sprint(names) != "[a b c]" {
		t.Error(names)
	}
	if one := into[topic](t, f.do("GET", "/v1/topics/a", "")); one.Name != "a" || one.Events != 4 {
		t.Errorf("%+v", one)
	}
	s := into[streamList](t, f.do("GET", "/v1/topics/a/streams?limit=1", ""))
	if len(s.Streams) != 1 || s.Streams[0].Key != "x" || s.Streams[0].Revision != 2 || s.Streams[0].Events != "/v1/streams/a/x/events" || s.Next == "" {
		t.Fatalf("%+v", s)
	}
	if s := into[streamList](t, f.do("GET", s.Next, "")); len(s.Streams) != 1 || s.Streams[0].Key != "y" || s.Next != "" {
		t.Errorf("%+v", s)
	}
	if s := into[streamList](t, f.do("GET", "/v1/topics/a/streams?prefix="+url.QueryEscape("/ü"), "")); s.Streams == nil || len(s.Streams) != 0 {
		t.Errorf("%+v", s)
	}
	for _, path := range []string{"/v1/topics", "/v1/topics/a", "/v1/topics/a/streams", "/v1/status"} {
		if a := f.do("HEAD", path, ""); a.StatusCode != 200 {
			t.Errorf("HEAD %s: %d", path, a.StatusCode)
		}
	}
	got := into[status](t, f.do("GET", "/v1/status", ""))
	if got.NodeID != "n1" || !got.Ready || got.Topics != 3 || len(got.Shards) != 1 || got.Shards[0].LastOffset != 4 || got.Shards[0].History != "1234" {
		t.Errorf("%+v", got)
	}
}
