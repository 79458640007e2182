package gatewaytest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

// Cursor is the gateway's, for tests that may know this package alone.
type Cursor = gateway.Cursor

// Cursors are kept in memory.
type Cursors struct {
	mu   sync.Mutex
	all  map[string]Cursor
	fail error
}

// NewCursors gives none.
func NewCursors() *Cursors { return &Cursors{all: map[string]Cursor{}} }

// Fail makes every change fail with err until Fail(nil).
func (c *Cursors) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

// Cursor looks one up.
func (c *Cursors) Cursor(name string) (Cursor, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.all[name]
	return found, ok
}

// Cursors lists them.
func (c *Cursors) Cursors(prefix, after string, limit int) (list []Cursor, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.all)) {
		if strings.HasPrefix(name, prefix) && name > after {
			list = append(list, c.all[name])
		}
	}
	return list[:min(len(list), limit)], len(list) > limit
}

// SetCursor makes or moves one.
func (c *Cursors) SetCursor(_ context.Context, name, position string, expect *string) (Cursor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return Cursor{}, c.fail
	}
	if was := c.all[name].Position; expect != nil && was != *expect {
		return Cursor{}, errs.New(errs.Conflict, "cursor %s is at %q, expected %q", name, was, *expect).With("cursor", name).With("actual_position", was)
	}
	c.all[name] = Cursor{Name: name, Position: position, Updated: time.Unix(1, 0)}
	return c.all[name], nil
}

// DeleteCursor forgets one.
func (c *Cursors) DeleteCursor(_ context.Context, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return c.fail
	}
	if _, ok := c.all[name]; !ok {
		return errs.New(errs.NotFound, "there is no cursor %s", name).With("cursor", name)
	}
	delete(c.all, name)
	return nil
}
