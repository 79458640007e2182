package http

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// tagged appends four events to a/k: tags eu, eu and vip, vip, none; data {"n": 1} to {"n": 4}.
func tagged(t testing.TB, f *fixture) {
	t.Helper()
	for i, tags := range []string{`["eu"]`, `["eu","vip"]`, `["vip"]`, `[]`} {
		f.must(t, "/v1/streams/a/k/events", fmt.Sprintf(`{"events":[{"id":"e%d","type":"T","tags":%s,"data":{"n":%d}}]}`, i, tags, i+1))
	}
}

func TestFilters(t *testing.T) {
	f := open(t)
	tagged(t, f)
	for filter, want := range map[string]string{
		"tag=eu": "[1 2]", "tag=eu&tag=vip": "[2]", "tag=none": "[]",
		"where=" + url.QueryEscape(`data.n > 2`):                           "[3 4]",
		"where=" + url.QueryEscape(`"eu" in tags && revision < 2`):         "[1]",
		"where=" + url.QueryEscape(`data.nothing == 1`):                    "[]",
		"tag=vip&type=T&where=" + url.QueryEscape(`data.n != 2`):           "[3]",
		"direction=backwards&limit=2&where=" + url.QueryEscape(`data.n<4`): "[3 2]",
	} {
		for _, path := range []string{"/v1/streams/a/k/events?", "/v1/topics/a/events?", "/v1/shards/1/events?"} {
			p, a := f.page(t, path+filter)
			if got := fmt.Sprint(offsets(p)); got != want {
				t.Errorf("%s%s: %s, want %s", path, filter, got, want)
			}
			if a.Header.Get("ETag") != "" {
				t.Errorf("%s%s has the revision %s, though events may be left out", path, filter, a.Header.Get("ETag"))
			}
		}
		lines := f.do("GET", "/v1/topics/a/events?"+filter, "", "Accept", "application/x-ndjson")
		if got := fmt.Sprintf("[%d]", strings.Count(lines.body, "\n")); got != fmt.Sprintf("[%d]", len(strings.Fields(strings.Trim(want, "[]")))) {
			t.Errorf("lines with %s: %s", filter, lines.body)
		}
	}
}

// Next links keep every part of the filter.
func TestNextKeepsFilters(t *testing.T) {
	f := open(t)
	for i := range 12 {
		f.must(t, "/v1/streams/a/k/events", fmt.Sprintf(`{"events":[{"id":"e%d","type":"T","tags":["x","y"],"data":{"n":%d}}]}`, i, i%3))
	}
	path := "/v1/topics/a/events?limit=2&tag=x&tag=y&type=T&where=" + url.QueryEscape(`data.n == 1 && "x" in tags`)
	var got []uint64
	for pages := 0; path != ""; pages++ {
		p, _ := f.page(t, path)
		got = append(got, offsets(p)...)
		if path = p.Next; pages > 10 {
			t.Fatal("it does not end")
		}
	}
	if fmt.Sprint(got) != "[2 5 8 11]" {
		t.Error(got)
	}
}

func TestFilterRefusals(t *testing.T) {
	f := open(t)
	tagged(t, f)
	for query, want := range map[string]struct {
		status      int
		code, field string
	}{
		"tag=":                                   {400, "invalid", "tag"},
		strings.Repeat("tag=a&", 33) + "limit=1": {413, "too_large", "tag"},
		"where=":                                 {400, "invalid", "where"},
		"where=true&where=true":                  {400, "invalid", "where"},
		"where=" + url.QueryEscape("data.n >"):   {400, "invalid", "where"},
		"where=key":                              {400, "invalid", "where"},
		"where=" + strings.Repeat("1", 5000):     {413, "too_large", "where"},
	} {
		p := wantProblem(t, f.do("GET", "/v1/topics/a/events?"+query, ""), want.status, want.code, want.field)
		if query == "where="+url.QueryEscape("data.n >") && (p.Details["line"] != "1" || p.Details["column"] != "9") {
			t.Errorf("%+v", p)
		}
	}
}

// An expression that takes too much ends the read where it is, with a problem, whatever the form.
func TestAnExpressionThatTakesTooMuch(t *testing.T) {
	f := open(t)
	tagged(t, f)
	f.must(t, "/v1/streams/a/k/events", `{"events":[{"type":"T","data":{"n":5,"l":[`+strings.Repeat("1,", 2000)+`1]}}]}`)
	path := "/v1/topics/a/events?where=" + url.QueryEscape(`data.n < 5 || data.l.all(a, data.l.all(b, a == b))`)
	wantProblem(t, f.do("GET", path, ""), 413, "too_large", "where")
	address := f.listen(t)
	s := subscribe(t, address+path, "")
	defer s.close()
	var names []string
	for e, ok := s.next(); ok; e, ok = s.next() {
		names = append(names, e.name)
		if e.name == "problem" && !strings.Contains(e.data, `"where_steps"`) {
			t.Error(e.data)
		}
	}
	if len(names) == 0 || names[len(names)-1] != "problem" {
		t.Errorf("%q", names)
	}
}
