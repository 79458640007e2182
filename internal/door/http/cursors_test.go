package http

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/limits"
)

// token is a position of the shard in memory.
func token(offset uint64) string {
	return position.Position{Shard: gateway.FirstShard, History: gatewaytest.History, Offset: offset}.String()
}

// put asks for a cursor to be at a position.
func (f *fixture) put(name, at string, headers ...string) answer {
	return f.do("PUT", "/v1/cursors/"+name, fmt.Sprintf(`{"position":%q}`, at), append([]string{"Content-Type", typeJSON}, headers...)...)
}

// wantCursor holds an answer to a cursor that is at a position.
func wantCursor(t *testing.T, a answer, name, at string) {
	t.Helper()
	if a.StatusCode != 200 && a.StatusCode != 201 || a.Header.Get("ETag") != `"`+at+`"` {
		t.Fatalf("%d, ETag %s, want %q: %s", a.StatusCode, a.Header.Get("ETag"), at, a.body)
	}
	if got := into[cursor](t, a); got.Name != name || got.Position != at || got.Updated.IsZero() {
		t.Errorf("%+v, want %s at %s", got, name, at)
	}
}

// withEvents has a topic with some, so that there are positions.
func withEvents(t *testing.T, n int) *fixture {
	t.Helper()
	f := open(t, "a")
	for range n {
		f.must(t, "/v1/streams/a/k/events", events)
	}
	return f
}

func TestCursorIsMadeMovedAndDeleted(t *testing.T) {
	f := withEvents(t, 2)
	first, second := token(1), token(2)
	wantProblem(t, f.do("GET", "/v1/cursors/billing", ""), 404, "not_found", "")
	made := f.put("billing", first, "If-None-Match", "*")
	if wantCursor(t, made, "billing", first); made.StatusCode != 201 {
		t.Errorf("made with %d", made.StatusCode)
	}
	if moved := f.put("billing", first); moved.StatusCode != 200 {
		t.Errorf("moved with %d", moved.StatusCode)
	}
	wantCursor(t, f.do("GET", "/v1/cursors/billing", ""), "billing", first)
	wantCursor(t, f.put("billing", second, "If-Match", `"`+first+`"`), "billing", second)
	wantCursor(t, f.put("billing", first), "billing", first) // back, on no condition
	a := f.do("HEAD", "/v1/cursors/billing", "")
	if a.StatusCode != 200 || a.Header.Get("ETag") != `"`+first+`"` {
		t.Errorf("HEAD: %d %v", a.StatusCode, a.Header)
	}
	if a := f.do("DELETE", "/v1/cursors/billing", ""); a.StatusCode != 204 || a.body != "" {
		t.Errorf("DELETE: %d %s", a.StatusCode, a.body)
	}
	wantProblem(t, f.do("DELETE", "/v1/cursors/billing", ""), 404, "not_found", "")
	if a := f.do("HEAD", "/v1/cursors/billing", ""); a.StatusCode != 404 {
		t.Errorf("HEAD: %d", a.StatusCode)
	}
}

// What is expected in the body fails as a conflict, what is expected in a header as a precondition; both tell where the cursor is.
func TestCursorConditions(t *testing.T) {
	f := withEvents(t, 3)
	at, to := token(2), token(3)
	wantCursor(t, f.put("c", at), "c", at)
	body := func(name, expected string) answer {
		return f.do("PUT", "/v1/cursors/"+name, fmt.Sprintf(`{"expected_position":%s,"position":%q}`, expected, to), "Content-Type", typeJSON)
	}
	for name, one := range map[string]struct {
		a      answer
		status int
		actual string
	}{
		"field, moved":             {body("c", `"`+token(1)+`"`), 409, at},
		"field, made":              {body("c", `""`), 409, at},
		"field, not there":         {body("d", `"`+token(1)+`"`), 409, ""},
		"If-Match, moved":          {f.put("c", to, "If-Match", `"`+token(1)+`"`), 412, at},
		"If-Match, no position":    {f.put("c", to, "If-Match", `"somewhere"`), 412, at},
		"If-Match, not there":      {f.put("d", to, "If-Match", `"`+at+`"`), 412, ""},
		"If-None-Match, there now": {f.put("c", to, "If-None-Match", "*"), 412, at},
	} {
		p := wantProblem(t, one.a, one.status, "conflict", "")
		want := ""
		if one.actual != "" {
			want = `"` + one.actual + `"`
		}
		if one.a.Header.Get("ETag") != want || p.Details["actual_position"] != one.actual {
			t.Errorf("%s: ETag %s and %v, want %s", name, one.a.Header.Get("ETag"), p.Details, want)
		}
	}
	wantCursor(t, f.do("GET", "/v1/cursors/c", ""), "c", at) // none of them moved it
	wantProblem(t, f.do("GET", "/v1/cursors/d", ""), 404, "not_found", "")
	wantCursor(t, body("c", "null"), "c", to)
	wantCursor(t, body("d", `""`), "d", to)
	wantCursor(t, body("c", `"`+to+`"`), "c", to)
	wantCursor(t, f.put("c", at, "If-Match", ` "`+to+`" `), "c", at)
}

func TestCursorRefusals(t *testing.T) {
	f := withEvents(t, 1)
	at := token(1)
	good := fmt.Sprintf(`{"position":%q}`, at)
	for _, one := range []struct {
		name, body string
		headers    []string
		status     int
		code       string
		field      string
	}{
		{"C", good, nil, 400, "invalid", "name"},
		{"", good, nil, 400, "invalid", "name"},
		{"a%2Fb", good, nil, 400, "invalid", "name"},
		{"%FF", good, nil, 400, "invalid", "name"},
		{strings.Repeat("c", 129), good, nil, 413, "too_large", "name"},
		{"c?expect=x", good, nil, 400, "invalid", "expect"},
		{"c", "", nil, 400, "invalid", "body"},
		{"c", "{", nil, 400, "invalid", "body"},
		{"c", "[]", nil, 400, "invalid", "body"},
		{"c", "{}", nil, 400, "invalid", "position"},
		{"c", `{"position":null}`, nil, 400, "invalid", "position"},
		{"c", `{"position":7}`, nil, 400, "invalid", "position"},
		{"c", `{"position":""}`, nil, 400, "invalid", "position"},
		{"c", `{"position":"start"}`, nil, 400, "invalid", "position"},
		{"c", fmt.Sprintf(`{"position":%q}`, token(2)), nil, 400, "invalid", "position"},
		{"c", fmt.Sprintf(`{"position":%q,"position":%q}`, at, at), nil, 400, "invalid", "position"},
		{"c", fmt.Sprintf(`{"position":%q,"expected_position":[]}`, at), nil, 400, "invalid", "expected_position"},
		{"c", fmt.Sprintf(`{"position":%q,"offset":1}`, at), nil, 400, "invalid", "offset"},
		{"c", fmt.Sprintf(`{"position":%q,"expected_position":""}`, at), []string{"If-None-Match", "*"}, 400, "invalid", "expected_position"},
		{"c", good, []string{"If-None-Match", "*", "If-Match", `"` + at + `"`}, 400, "invalid", "If-Match"},
		{"c", good, []string{"If-Match", `"a"`, "If-Match", `"b"`}, 400, "invalid", "If-Match"},
		{"c", good, []string{"If-Match", `"a", "b"`}, 400, "invalid", "If-Match"},
		{"c", good, []string{"If-Match", "*"}, 400, "invalid", "If-Match"},
		{"c", good, []string{"If-Match", at}, 400, "invalid", "If-Match"},
		{"c", good, []string{"If-Match", `""`}, 400, "invalid", "If-Match"},
		{"c", good, []string{"If-Match", `W/"` + at + `"`}, 400, "invalid", "If-Match"},
		{"c", good, []string{"If-None-Match", `"` + at + `"`}, 400, "invalid", "If-None-Match"},
		{"c", good, []string{"Content-Encoding", "gzip"}, 415, "invalid", "Content-Encoding"},
	} {
		a := f.do("PUT", "/v1/cursors/"+one.name, one.body, append(one.headers, "Content-Type", typeJSON)...)
		t.Run(one.name+" "+one.body, func(t *testing.T) { wantProblem(t, a, one.status, one.code, one.field) })
	}
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		wantProblem(t, f.do("PUT", "/v1/cursors/c", good, "Content-Type", contentType), 415, "invalid", "Content-Type")
	}
	if a := f.do("GET", "/v1/cursors", ""); len(into[cursorList](t, a).Cursors) != 0 {
		t.Errorf("something was kept: %s", a.body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		wantProblem(t, f.do(method, "/v1/cursors/C", ""), 400, "invalid", "name")
		wantProblem(t, f.do(method, "/v1/cursors/c?limit=1", ""), 400, "invalid", "limit")
	}
	if a := f.do("HEAD", "/v1/cursors/C", ""); a.StatusCode != 400 {
		t.Errorf("HEAD: %d", a.StatusCode)
	}
	for header, value := range map[string]string{"If-Match": `"` + at + `"`, "If-None-Match": "*"} {
		wantProblem(t, f.do("DELETE", "/v1/cursors/c", "", header, value), 400, "invalid", header)
	}
}

func TestLargeCursorBody(t *testing.T) {
	l := limits.Default()
	l.CommitBytes = 1024
	f := openOver(t, Settings{}, gatewaytest.NewShard(), &l)
	wantProblem(t, f.put("c", strings.Repeat("A", 2*limits.MiB)), 413, "too_large", "body")
}

func TestCursorList(t *testing.T) {
	f := withEvents(t, 1)
	if a := f.do("GET", "/v1/cursors", ""); a.StatusCode != 200 || !strings.Contains(a.body, `"cursors": []`) {
		t.Errorf("none: %d %s", a.StatusCode, a.body)
	}
	for _, name := range []string{"mail", "bills", "billing"} {
		wantCursor(t, f.put(name, token(1)), name, token(1))
	}
	var names []string
	for path := "/v1/cursors?prefix=bill&limit=1"; path != ""; {
		a := f.do("GET", path, "")
		list := into[cursorList](t, a)
		link := ""
		if list.Next != "" {
			link = "<" + list.Next + `>; rel="next"`
		}
		if a.StatusCode != 200 || a.Header.Get("Link") != link || len(list.Cursors) != 1 {
			t.Fatalf("%s: %d, Link %q, want %q: %s", path, a.StatusCode, a.Header.Get("Link"), link, a.body)
		}
		names, path = append(names, list.Cursors[0].Name), list.Next
	}
	if strings.Join(names, " ") != "billing bills" {
		t.Errorf("paged through %v", names)
	}
	if list := into[cursorList](t, f.do("GET", "/v1/cursors?after=billing", "")); len(list.Cursors) != 2 || list.Cursors[1].Name != "mail" || list.Next != "" {
		t.Errorf("after billing: %+v", list)
	}
	for path, status := range map[string]int{"/v1/cursors": 200, "/v1/cursors?limit=0": 400, "/v1/cursors?limit=10001": 413, "/v1/cursors?name=x": 400} {
		for _, method := range []string{"GET", "HEAD"} {
			if a := f.do(method, path, ""); a.StatusCode != status {
				t.Errorf("%s %s: %d, want %d", method, path, a.StatusCode, status)
			}
		}
	}
}

func TestCursorsWhenChangesAreRefused(t *testing.T) {
	f := withEvents(t, 1)
	wantCursor(t, f.put("c", token(1)), "c", token(1))
	refused := func(status int, code string) {
		t.Helper()
		wantProblem(t, f.put("c", token(0)), status, code, "")
		wantProblem(t, f.put("c", token(0), "If-Match", `"`+token(1)+`"`), status, code, "")
		wantProblem(t, f.do("DELETE", "/v1/cursors/c", ""), status, code, "")
		wantCursor(t, f.do("GET", "/v1/cursors/c", ""), "c", token(1))
	}
	f.cursors.Fail(errs.New(errs.UnknownOutcome, "the caller stopped waiting"))
	refused(504, "unknown_outcome")
	f.cursors.Fail(nil)
	f.gate.Refuse(errs.New(errs.NoSpace, "12MiB free"))
	refused(507, "no_space")
	f.gate.Refuse(nil)
	f.gate.Drain()
	refused(503, "unavailable")
}

// Over a real connection, also a body that does not come.
func TestCursorsOverTheWire(t *testing.T) {
	f := openWith(t, Settings{ReadTimeout: 20 * time.Millisecond}, "a")
	address := f.listen(t)
	send := func(method, path string, body io.Reader) answer {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, address+path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", typeJSON)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		a := answer{resp, string(got)}
		if why := theContract().check(f.pattern(r), method, typeJSON, "{}", true, a); why != "" {
			t.Error(why)
		}
		return a
	}
	wantCursor(t, send("PUT", "/v1/cursors/c", strings.NewReader(fmt.Sprintf(`{"position":%q}`, token(0)))), "c", token(0))
	if a := send("DELETE", "/v1/cursors/c", nil); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	r, closeIt := newPipe()
	defer closeIt()
	wantProblem(t, send("PUT", "/v1/cursors/c", r), http.StatusRequestTimeout, "unavailable", "body")
}

// Pages of allowed origins are told that they may put and delete.
func TestCursorsFromABrowser(t *testing.T) {
	const page = "https://app.example"
	f := openWith(t, Settings{CORSOrigins: []string{page}})
	a := f.do("OPTIONS", "/v1/cursors/c", "", "Origin", page, "Access-Control-Request-Method", "PUT")
	if got := a.Header.Get("Access-Control-Allow-Methods"); a.StatusCode != 204 || got != "GET, HEAD, PUT, DELETE" {
		t.Errorf("%d, may %s", a.StatusCode, got)
	}
}
