package http

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/api/jsonwalk"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

// FuzzRoutes sends anything anywhere: no panic, no status that the table does not have, problems always as documents, and what
// was taken can be read and is valid JSON.
func FuzzRoutes(f *testing.F) {
	for _, seed := range []struct{ method, path, contentType, accept, header, body string }{
		{"POST", "/v1/streams/a/k/events", typeJSON, "", "", events},
		{"POST", "/v1/streams/a/k/events?no_create=true", typeJSON, "", `"1"`, `{"events":[{"type":"T","data_base64":"AA==","tags":["a"],"metadata":{"a":"b"},"time":"2024-01-01T00:00:00Z"}],"expectation":1}`},
		{"POST", "/v1/topics/a/events", typeCloudBatch, "", "*", "[" + cloud("a", "b") + "," + cloud("c", "d") + "]"},
		{"POST", "/v1/topics/a/events", typeCloudEvent, "", "", cloud("a", "b")},
		{"POST", "/v1/streams/a/%2F/events", "text/plain", "", "T", "x"},
		{"POST", "/v1/commits", typeJSON, "", "", `{"streams":[{"topic":"a","key":"\u0000","events":[{"type":"T"}]}],"command_id":"c"}`},
		{"GET", "/v1/streams/a/k/events?from=pos:x&direction=backwards&limit=3&type=T", "", typeLines, "", ""},
		{"GET", "/v1/topics/a/events?envelope=cloudevents&key_prefix=k", "", typeCloudBatch, "", ""},
		{"GET", "/v1/shards/1/events?from=-2h&follow=false", "", typeStream, "AQEB", ""},
		{"GET", "/v1/topics/a/streams?prefix=%ff&after=", "", "", "", ""},
		{"HEAD", "/v1/streams/a//events", "", "", "", ""},
		{"PUT", "/v1/cursors/c", typeJSON, "", `"A"`, `{"position":"` + token(0) + `"}`},
		{"PUT", "/v1/cursors/c", typeJSON, "", "", `{"position":"` + token(0) + `","expected_position":""}`},
		{"GET", "/v1/cursors?prefix=c&after=%00&limit=1", "", "", "", ""},
		{"DELETE", "/v1/cursors/c", "", "", "", ""},
		{"OPTIONS", "*", "", "", "", ""},
		{"GET", "//..%2f/./", "", "", "", ""},
	} {
		f.Add(seed.method, seed.path, seed.contentType, seed.accept, seed.header, []byte(seed.body))
	}
	known := map[int]bool{200: true, 201: true, 204: true, 405: true, 406: true, 408: true, 412: true, 415: true}
	for _, row := range errs.Table() {
		known[row.HTTP] = row.HTTP < 500
	}
	f.Fuzz(func(t *testing.T, method, target, contentType, accept, header string, body []byte) {
		r, err := request(method, target, body)
		if err != nil {
			t.Skip()
		}
		for name, value := range map[string]string{"Content-Type": contentType, "Accept": accept, "If-Match": header, "Ce-Type": header, "Last-Event-Id": header, "Idempotency-Key": header} {
			if value != "" && len(header)%3 != len(name)%3 {
				r.Header.Set(name, value)
			}
		}
		if follows(r) {
			t.Skip() // it does not end
		}
		door := open(t, "a")
		w := httptest.NewRecorder()
		door.door.ServeHTTP(w, r)
		if !known[w.Code] {
			t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
		if media := w.Header().Get("Content-Type"); w.Code >= 400 && media != problemType || media == typeJSON && r.Method != "HEAD" && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %s: %d %s %s", method, target, w.Code, media, w.Body)
		}
		if w.Code == http.StatusOK && method == http.MethodPut {
			if list, _, err := door.gate.ListCursors(gateway.Caller{}, "", "", 0); err != nil || len(list) != 1 || w.Header().Get("ETag") != `"`+list[0].Position+`"` {
				t.Fatalf("%s: the cursors are %v, and the answer was %v", target, list, w.Header())
			}
		}
		if w.Code == http.StatusCreated {
			if p, _ := door.page(t, "/v1/shards/1/events"); len(p.Events) == 0 {
				t.Fatalf("%s %s: 201, and nothing is there", method, target)
			}
		}
	})
}

func follows(r *http.Request) bool {
	form, err := negotiate(r.Header)
	query := r.URL.Query()
	asked := query.Has("follow") && query.Get("follow") != "false"
	return err == nil && (asked || form == shapeStream && !query.Has("follow") && query.Get("direction") != "backwards")
}

func request(method, target string, body []byte) (*http.Request, error) {
	r, err := http.NewRequest(method, "http://x", strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	if r.URL, err = r.URL.Parse(target); err != nil {
		return nil, err
	}
	r.RemoteAddr = "127.0.0.1:1"
	return r, nil
}

// FuzzJSON holds the walk through a body against encoding/json: the same members, with the same values.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a" : {"b":[1,2,{"c":"}\""}]} , "d":null}`, `[1, "a,b" ,[],{}]`, `{}`, `[]`, `{"\u0061":"\\"}`, ` [ ] `, `{"a":-1.5e3}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		v, err := checkJSON(doc)
		if err != nil {
			return
		}
		if w, ok := jsonwalk.Object(v); ok {
			got := map[string]json.RawMessage{}
			for name, value, more := w.Next(); more; name, value, more = w.Next() {
				got[string(unquoteName(name))] = value
			}
			var want map[string]json.RawMessage
			if err := json.Unmarshal(v, &want); err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("%q: %q, want %q", doc, got, want)
			}
			for name, value := range want {
				same(t, doc, got[name], value)
			}
		}
		if w, ok := jsonwalk.List(v); ok {
			var want []json.RawMessage
			if err := json.Unmarshal(v, &want); err != nil {
				t.Fatal(err)
			}
			for _, one := range want {
				value, more := w.Next()
				if !more {
					t.Fatalf("%q: too short", doc)
				}
				same(t, doc, value, one)
			}
			if _, more := w.Next(); more {
				t.Fatalf("%q: too long", doc)
			}
		}
	})
}

func same(t *testing.T, doc, got, want []byte) {
	t.Helper()
	if string(got) != string(want) {
		t.Fatalf("%q: %q, want %q", doc, got, want)
	}
	if len(got) > 0 && isString(got) {
		var text string
		if err := json.Unmarshal(got, &text); err != nil || text != string(unquote(got)) {
			t.Fatalf("%q is %q, want %q (%v)", got, unquote(got), text, err)
		}
	}
	if quoted := appendQuoted(nil, string(got)); !json.Valid(quoted) {
		t.Fatalf("%q is no JSON", quoted)
	}
}
