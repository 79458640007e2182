package cli

import "encoding/json"

// listing prints objects as rows or as lines, up to a limit, or to a page on a terminal.
type listing struct {
	app   *app
	lines *lines
	table *table
	noun  string
	limit uint64 // 0: none
	paged bool   // the limit is the page's, not the user's
	n     uint64
}

func newListing(a *app, o output, limit uint64, noun string, columns ...column) *listing {
	l := &listing{app: a, noun: noun, limit: limit}
	if o.json() {
		l.lines = newLines(a.World)
		return l
	}
	l.table = newTable(a.Out, o.width(a.World), columns...)
	if l.limit == 0 && o.cutting(a.World) {
		l.limit, l.paged = page, true
	}
	return l
}

// add prints one object; false means that no more are wanted, and everything is printed.
func (l *listing) add(object any, row ...string) (bool, error) {
	if l.limit > 0 && l.n == l.limit {
		err := l.flush()
		if l.paged {
			l.app.note("… more %s: --limit N shows N, --prefix TEXT narrows it, -o json shows everything", l.noun)
		}
		return false, err
	}
	l.n++
	if l.lines == nil {
		return true, l.table.row(row...)
	}
	encoded, err := json.Marshal(object)
	if err != nil {
		return false, err
	}
	return true, l.lines.write(encoded)
}

// end prints what is left, and what to say when there was nothing.
func (l *listing) end(nothing string) error {
	if l.n == 0 {
		l.app.note("%s", nothing)
	}
	return l.flush()
}

func (l *listing) flush() error {
	if l.lines != nil {
		return l.lines.flush()
	}
	return l.table.flush()
}

// facts prints pairs of a name and a value, one a line.
func (a *app) facts(o output, pairs ...string) error {
	t := newTable(a.Out, o.width(a.World), column{}, column{min: 10})
	t.bare = true
	for i := 0; i+1 < len(pairs); i += 2 {
		if err := t.row(pairs[i], pairs[i+1]); err != nil {
			return err
		}
	}
	return t.flush()
}
