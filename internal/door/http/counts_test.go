package http

import (
	"fmt"
	"testing"
)

func TestCounts(t *testing.T) {
	f := open(t)
	fill(t, f, 3) // six events, recorded at 1 to 6 nanoseconds
	for query, want := range map[string]string{
		"?from=1970-01-01&to=time:1970-01-01T00:00:00.000000008Z&buckets=2":      "[3 3] 4e-09",
		"?from=1970-01-01T00:00:00Z&to=1970-01-01T00:00:00.000000007Z&buckets=2": "[3 3] 4e-09", // 7 parts into 8
		"?from=time:1970-01-01&to=1970-01-02&buckets=1":                          "[6] 86400",
		"?buckets=3":                                "[0 0 0] 28800",
		"?from=-2h&to=end&buckets=2":                "[0 0] 3600",
		"?from=2026-01-01&to=2026-01-02":            "[0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0] 3600",
		"?to=2026-01-02T12:00:00%2B02:00&buckets=1": "[0] 86400",
	} {
		a := f.do("GET", "/v1/topics/a/counts"+query, "")
		if a.StatusCode != 200 {
			t.Errorf("%s: %d %s", query, a.StatusCode, a.body)
			continue
		}
		c := into[counts](t, a)
		if got := fmt.Sprint(c.Counts, c.WidthSeconds); got != want || !c.From.Before(c.To) {
			t.Errorf("%s: %s, want %s: %s", query, got, want, a.body)
		}
	}
	if a := f.do("HEAD", "/v1/topics/a/counts", ""); a.StatusCode != 200 {
		t.Errorf("HEAD: %d", a.StatusCode)
	}
}

func TestCountsRefusals(t *testing.T) {
	f := open(t)
	fill(t, f, 1)
	for query, want := range map[string]struct {
		status      int
		code, field string
	}{
		"a/counts?from=tomorrow":                 {400, "invalid", "from"},
		"a/counts?from=17":                       {400, "invalid", "from"},
		"a/counts?to=id:x":                       {400, "invalid", "to"},
		"a/counts?from=2026-01-02&to=2026-01-01": {400, "invalid", "from"},
		"a/counts?from=2026-01-02&to=2026-01-02": {400, "invalid", "from"},
		"a/counts?buckets=0":                     {400, "invalid", "buckets"},
		"a/counts?buckets=many":                  {400, "invalid", "buckets"},
		"a/counts?buckets=10001":                 {413, "too_large", "buckets"},
		"a/counts?limit=1":                       {400, "invalid", "limit"},
		"A/counts":                               {400, "invalid", "topic"},
		"none/counts":                            {404, "not_found", ""},
	} {
		wantProblem(t, f.do("GET", "/v1/topics/"+query, ""), want.status, want.code, want.field)
		if a := f.do("HEAD", "/v1/topics/"+query, ""); a.StatusCode != want.status {
			t.Errorf("HEAD %s: %d", query, a.StatusCode)
		}
	}
}
