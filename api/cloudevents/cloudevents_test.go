package cloudevents

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/gesta-db/gesta/api/eventwire"
)

var sameButEmpty = cmp.Options{cmpopts.EquateEmpty()}

func TestParse(t *testing.T) {
	at := time.Date(2014, 8, 23, 4, 31, 18, 0, time.UTC)
	for name, c := range map[string]struct {
		line string
		key  string
		want eventwire.Event
	}{
		"a line of a history": {
			`{"specversion":"1.0","id":"94-0","source":"git","type":"FileCreated","subject":"a/b.go","time":"2014-08-22T21:31:18-07:00","datacontenttype":"application/json","data":{"commit":"94b", "added":23}}`,
			"a/b.go",
			eventwire.Event{ID: "94-0", Source: "git", Type: "FileCreated", Time: at, ContentType: "application/json", Data: []byte(`{"commit":"94b", "added":23}`)},
		},
		"the least": {
			` { "type" : "T" , "specversion" : "1.0" , "source" : "/s" } ` + "\r\n",
			"", eventwire.Event{Type: "T", Source: "/s"},
		},
		"data of every kind of JSON": {
			`{"specversion":"1.0","source":"s","type":"T","data":null}`,
			"", eventwire.Event{Type: "T", Source: "s", Data: []byte("null")},
		},
		"a string of JSON stays JSON": {
			`{"specversion":"1.0","source":"s","type":"T","data":"a\u0062"}`,
			"", eventwire.Event{Type: "T", Source: "s", Data: []byte(`"a\u0062"`)},
		},
		"text": {
			`{"specversion":"1.0","source":"s","type":"T","datacontenttype":"text/plain","data":"a\u0062"}`,
			"", eventwire.Event{Type: "T", Source: "s", ContentType: "text/plain", Data: []byte("ab")},
		},
		"binary": {
			`{"specversion":"1.0","source":"s","type":"T","datacontenttype":"image/png","data_base64":"AP8="}`,
			"", eventwire.Event{Type: "T", Source: "s", ContentType: "image/png", Data: []byte{0, 255}},
		},
		"attributes of every kind": {
			`{"specversion":"1.0","source":"s","type":"T","correlationid":"c","actor":"ann","n":-5,"yes":true,"unset":null,"partition_key":"x","dataschema":"u"}`,
			"", eventwire.Event{Type: "T", Source: "s", Metadata: map[string]string{
				"correlation_id": "c", "actor": "ann", "n": "-5", "yes": "true", "partition_key": "x", "dataschema": "u"}},
		},
		"Gesta's own": {
			`{"specversion":"1.0","source":"urn:gesta:unstated","type":"T","gestaschemaversion":3,"gestatags":"[\"a\"]","gestametadata":{"X":"y"},"gestatopic":"t","gestaoffset":9,"gestarevision":2,"gestarecorded":"2020-01-01T00:00:00Z"}`,
			"", eventwire.Event{Type: "T", SchemaVersion: 3, Tags: []string{"a"}, Metadata: map[string]string{"X": "y"}},
		},
	} {
		key, e, err := ParseJSON([]byte(c.line))
		if err != nil || key != c.key {
			t.Errorf("%s: key %q, %v", name, key, err)
		}
		if d := cmp.Diff(c.want, e, sameButEmpty); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const head = `{"specversion":"1.0","source":"s","type":"T"`
	for line, says := range map[string]string{
		"":                                   "empty",
		"  \n":                               "empty",
		"[]":                                 "not a JSON object",
		"[" + head + "}]":                    "batches",
		`"x"`:                                "not a JSON object",
		head:                                 "not JSON",
		head + `}}`:                          "not JSON",
		"{}":                                 "specversion is missing",
		`{"specversion":"0.3"}`:              "only 1.0",
		`{"specversion":1.0}`:                "must be a string",
		`{"specversion":"1.0"}`:              "source is missing",
		head + `,"type":"U"}`:                "type comes twice",
		head + `,"t\u0079pe":"U"}`:           "type comes twice",
		head + `,"id":7}`:                    "id must be a string",
		head + `,"time":"yesterday"}`:        "RFC 3339",
		head + `,"x":{"y":1}}`:               "x must be",
		head + `,"data_base64":"%"}`:         "base64",
		head + `,"data_base64":12}`:          "base64",
		head + `,"data":1,"data_base64":""}`: "both",
		head + `,"gestaschemaversion":-1}`:   "gestaschemaversion",
		head + `,"gestatags":7}`:             "gestatags",
		head + `,"gestametadata":"[]"}`:      "gestametadata",
		`{"specversion":"1.0","source":"s","type":null}`: "type is missing",
		`{"specversion":"1.0","source":"s","type":""}`:   "type is empty",
		`{"specversion":"1.0","source":"","type":"T"}`:   "source is empty",
		head + ",\"subject\":\"\xff\"}":                  "UTF-8",
	} {
		_, _, err := ParseJSON([]byte(line))
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", line, err, says)
		}
	}
}

func TestMarshalIsWhatReadersSee(t *testing.T) {
	r := eventwire.Recorded{
		Event: eventwire.Event{
			ID: "1", Type: "Placed", SchemaVersion: 2, ContentType: "application/json", Data: []byte(`{"total": 12}`),
			Time: time.Date(2024, 1, 2, 3, 4, 5, 60_000_000, time.FixedZone("", 3600)), Source: "/shop", Tags: []string{"a", `b"`},
			Metadata: map[string]string{"correlation_id": "c", "actor": "Ann\n", "X-Y": "z", "data": "d", "correlationid": "e"},
		},
		Offset: 12, Revision: 3, Topic: "orders", Key: "o/7", RecordedTime: time.Unix(1, 5),
	}
	const want = `{"specversion":"1.0","id":"1","source":"/shop","type":"Placed","subject":"o/7","time":"2024-01-02T02:04:05.06Z",` +
		`"datacontenttype":"application/json","actor":"Ann\n","correlationid":"c",` +
		`"gestametadata":"{\"X-Y\":\"z\",\"correlationid\":\"e\",\"data\":\"d\"}","gestaschemaversion":2,"gestatags":"[\"a\",\"b\\\"\"]",` +
		`"gestatopic":"orders","gestarevision":3,"gestaoffset":12,"gestarecorded":"1970-01-01T00:00:01.000000005Z","data":{"total": 12}}`
	got, err := MarshalJSON(&r)
	if err != nil || string(got) != want {
		t.Fatalf("%v\ngot  %s\nwant %s", err, got, want)
	}
}

// TestDataForms: whatever the bytes and the content type, they come back exactly, in the form that reads best.
func TestDataForms(t *testing.T) {
	for _, c := range []struct{ contentType, data, form string }{
		{"", `{"a":1}`, `"data":{"a":1}`},
		{"", "{\n\"a\":1}", `"data_base64":`},
		{"", " 1", `"data_base64":`},
		{"", "plain", `"data_base64":`},
		{"application/json; charset=utf-8", `"x"`, `"data":"x"`},
		{"Application/Vnd.X+JSON", `1e400`, `"data":1e400`},
		{"application/json", "{", `"data_base64":`},
		{"application/json", "\"\xff\"", `"data_base64":`},
		{"text/plain", "a\nb", `"data":"a\nb"`},
		{"text/plain", "\x00", `"data_base64":`},
		{"text/plain", `{"a":1}`, `"data":"{\"a\":1}"`},
		{"application/octet-stream", "\xff", `"data_base64":"/w=="`},
		{"+json", "x", `"data":"x"`},
	} {
		r := eventwire.Recorded{Event: eventwire.Event{ID: "1", Type: "T", Source: "s", ContentType: c.contentType, Data: []byte(c.data)}}
		line := mustMarshal(t, &r)
		if !strings.Contains(string(line), c.form) {
			t.Errorf("%q as %q: %s", c.data, c.contentType, line)
		}
		if _, e, err := ParseJSON(line); err != nil || string(e.Data) != c.data {
			t.Errorf("%q as %q came back as %q, %v", c.data, c.contentType, e.Data, err)
		}
	}
}

func mustMarshal(t interface{ Fatal(...any) }, r *eventwire.Recorded) []byte {
	line, err := MarshalJSON(r)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func TestRoundTrip(t *testing.T) {
	names := rapid.OneOf(rapid.SampledFrom([]string{"correlation_id", "causation_id", "correlationid", "actor", "id", "gestatags", "gestax", "A", ""}), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		r := eventwire.Recorded{Event: eventwire.Event{
			ID: rapid.String().Draw(t, "id"), Type: rapid.StringN(1, -1, -1).Draw(t, "type"), SchemaVersion: rapid.Uint32().Draw(t, "version"),
			ContentType: rapid.SampledFrom([]string{"", "application/json", "text/plain", "x/y"}).Draw(t, "content type"),
			Data: rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(), func(s string) []byte {
				b, _ := json.Marshal(s)
				return b
			})).Draw(t, "data"),
			Source: rapid.String().Draw(t, "source"), Tags: rapid.SliceOf(rapid.String()).Draw(t, "tags"),
			Metadata: rapid.MapOf(names, rapid.String()).Draw(t, "metadata"),
		}, Key: rapid.String().Draw(t, "key"), Offset: rapid.Uint64().Draw(t, "offset"), RecordedTime: time.Unix(3, 0)}
		if rapid.Bool().Draw(t, "timed") {
			r.Time = time.Unix(rapid.Int64Range(-62135596799, 253402300799).Draw(t, "time"), rapid.Int64Range(0, 999999999).Draw(t, "nanos")).UTC()
		}
		line := mustMarshal(t, &r)
		if !json.Valid(line) || strings.ContainsAny(string(line), "\r\n") {
			t.Fatalf("not one line of JSON: %s", line)
		}
		key, e, err := ParseJSON(line)
		if err != nil || key != r.Key {
			t.Fatalf("key %q, %v: %s", key, err, line)
		}
		if d := cmp.Diff(r.Event, e, sameButEmpty); d != "" {
			t.Fatalf("%s\n%s", d, line)
		}
	})
}

// FuzzParseJSON: no line breaks it, and what it accepts it writes and reads again as the same.
func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"git","type":"T","subject":"k","time":"2014-08-22T21:31:18-07:00","data":{"a":[1,"}"]}}`))
	f.Add([]byte(`{"specversion":"1.0","source":"s","type":"T","gestametadata":"{\"a\":\"b\"}","gestatags":["x"],"n":1,"data_base64":"AA=="}`))
	f.Add([]byte(`{"a":[{}],"b\"":-1.5e3 , "":true}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		key, e, err := ParseJSON(line)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		again, err := MarshalJSON(&eventwire.Recorded{Event: e, Key: key})
		if err != nil {
			return // a time in the year 0 whose UTC is before it
		}
		key2, e2, err := ParseJSON(again)
		if err != nil || key2 != key {
			t.Fatalf("%v: %s", err, again)
		}
		if d := cmp.Diff(e, e2, sameButEmpty); d != "" {
			t.Fatalf("%s\n%s", d, again)
		}
	})
}

var sample = []byte(`{"specversion":"1.0","id":"94b4632427097274-0","source":"git","type":"FileCreated","subject":".gitignore","time":"2014-08-22T21:31:18-07:00","datacontenttype":"application/json","data":{"commit":"94b4632427097274646f8455230ba79ff1f2842a","added":23,"removed":0}}`)

func BenchmarkParseJSON(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseJSON(sample); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	key, e, err := ParseJSON(sample)
	if err != nil {
		b.Fatal(err)
	}
	r := eventwire.Recorded{Event: e, Key: key, Topic: "git", Offset: 1, Revision: 1, RecordedTime: e.Time}
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if dst, err = AppendJSON(dst[:0], &r); err != nil {
			b.Fatal(err)
		}
	}
}
