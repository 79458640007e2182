package gateway

import (
	"context"
	"fmt"
	"strconv"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// mostTypes bounds the types of a filter: each is compared with every event's.
const mostTypes = 256

// Filter leaves out what does not match; all given parts must match.
type Filter struct {
	// Types keeps events of one of these.
	Types []string
	// KeyPrefix keeps events whose key begins with it.
	KeyPrefix string
	// Tags keeps events that carry all of these.
	Tags []string
	// Where keeps events of which this expression is true (package filter).
	Where string
}

// Narrow checks a filter and adds it to what is read. The error's detail "field" is types, key_prefix, tags or where: the doors put
// their own name for it in its place.
func (g *Gateway) Narrow(spec *event.ReadSpec, f Filter) (err error) {
	if spec.Types, err = texts("types", f.Types, mostTypes); err != nil {
		return err
	}
	if spec.Tags, err = texts("tags", f.Tags, g.limits.Tags); err != nil {
		return err
	}
	if f.KeyPrefix != "" {
		if err := event.CheckKey(f.KeyPrefix, g.limits); err != nil {
			return errs.As(err).With("field", "key_prefix")
		}
		spec.KeyPrefix = []byte(f.KeyPrefix)
	}
	if f.Where == "" {
		return nil
	}
	where, err := g.language().Compile(f.Where)
	if err != nil {
		return err
	}
	spec.Where = where
	return nil
}

func texts(field string, given []string, most int) (list [][]byte, err error) {
	if len(given) > most {
		return nil, errs.New(errs.TooLarge, "there are %d %s; there may be at most %d", len(given), field, most).With("field", field).With("max", strconv.Itoa(most))
	}
	for _, s := range given {
		if s == "" {
			return nil, errs.New(errs.Invalid, "one of the %s is empty; leave it out", field).With("field", field)
		}
		list = append(list, []byte(s))
	}
	return list, nil
}

// awaited ends a search that nobody waits for any more: a condition may be held against very many events before one matches.
type awaited struct {
	event.Predicate
	ctx context.Context // of the call of Next that is under way
}

func (a *awaited) Match(recorded []byte, v *eventwire.View) (bool, error) {
	if err := a.ctx.Err(); err != nil {
		return false, err
	}
	return a.Predicate.Match(recorded, v)
}

// String is the condition's text, for a read that goes on at another node; empty when it has none.
func (a *awaited) String() string {
	if s, ok := a.Predicate.(fmt.Stringer); ok {
		return s.String()
	}
	return ""
}
