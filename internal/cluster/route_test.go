package cluster

import (
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// An append that may have been written by an earlier try is never told that nothing was, unless it was held against the log's ids.
func TestALaterRefusalIsNoFailure(t *testing.T) {
	for _, code := range []errs.Code{errs.Busy, errs.NoSpace, errs.NoLeader, errs.Unavailable, errs.Conflict} {
		for _, again := range []bool{false, true} {
			want := code
			if again && code != errs.Conflict {
				want = errs.UnknownOutcome
			}
			var got error
			c := &event.Call{Err: errs.New(code, "refused")}
			p := &passage{route: &Route{number: 1}, call: c, done: func(c *event.Call) { got = c.Err }, again: again}
			p.end()
			if errs.CodeOf(got) != want {
				t.Errorf("%s, tried before: %v: got %v", code, again, got)
			}
		}
	}
}
