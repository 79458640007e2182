package http

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

// query is what stands behind the question mark. Names that mean nothing are refused: to leave out a filter in silence would be
// a wrong answer.
type query url.Values

// repeated tells whether a parameter may be given several times.
func repeated(name string) bool { return name == "type" || name == "tag" }

func parseQuery(r *http.Request, allowed ...string) (query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse("query", "the query is malformed: %w", err)
	}
	for name, given := range values {
		switch {
		case !slices.Contains(allowed, name):
			return nil, refuse(strings.ToValidUTF8(name, ""), "there is no parameter %.80q here; there are: %s", name, cmp.Or(strings.Join(allowed, ", "), "none"))
		case len(given) > 1 && !repeated(name):
			return nil, refuse(name, "the parameter %s is given twice", name)
		}
	}
	return query(values), nil
}

func (q query) has(name string) bool { _, ok := q[name]; return ok }

func (q query) text(name string) string { return url.Values(q).Get(name) }

func (q query) boolean(name string, otherwise bool) (bool, error) {
	switch v := q.text(name); {
	case !q.has(name):
		return otherwise, nil
	case v == "true", v == "":
		return true, nil
	case v == "false":
		return false, nil
	default:
		return false, refuse(name, "%s is %.40q; it is true or false", name, v)
	}
}

// limit reads how many are wanted: otherwise when it is not given.
func (q query) limit(otherwise uint64) (uint64, error) {
	if !q.has("limit") {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(q.text("limit"), 10, 64)
	if err != nil || n == 0 {
		return 0, refuse("limit", "limit is %.40q; it must be a number from 1", q.text("limit"))
	}
	return n, nil
}

func (q query) page(otherwise uint64) (uint64, error) {
	n, err := q.limit(otherwise)
	if n > gateway.LargestPage {
		return 0, errs.New(errs.TooLarge, "limit is %d; a page has at most %d", n, gateway.LargestPage).With("field", "limit").With("max", strconv.Itoa(gateway.LargestPage))
	}
	return n, err
}

// with gives the path and query of r with one parameter changed.
func with(r *http.Request, name, value string) string {
	values := r.URL.Query()
	values.Set(name, value)
	return r.URL.EscapedPath() + "?" + values.Encode()
}
