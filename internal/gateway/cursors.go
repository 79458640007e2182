package gateway

import (
	"context"
	"time"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// Cursors is what the gateway needs of who keeps positions under names.
type Cursors interface {
	Cursor(name string) (Cursor, bool)
	// Cursors lists cursors in the order of their names: those with the prefix, after a name.
	Cursors(prefix, after string, limit int) (cursors []Cursor, more bool)
	// SetCursor makes or moves a cursor, durably. Expect is nil, or the position that it must have, empty when it must not be there
	// yet; otherwise: conflict.
	SetCursor(ctx context.Context, name, position string, expect *string) (Cursor, error)
	// DeleteCursor forgets a cursor, durably. Unknown: not_found.
	DeleteCursor(ctx context.Context, name string) error
}

// Cursor is a position under a name.
type Cursor struct {
	Name     string
	Position string
	Updated  time.Time
}

// GetCursor gives a cursor by its name.
func (g *Gateway) GetCursor(who Caller, name string) (Cursor, error) {
	if err := g.cursor(who, ActInspect, name); err != nil {
		return Cursor{}, err
	}
	c, ok := g.cursors.Cursor(name)
	if !ok {
		return Cursor{}, errs.New(errs.NotFound, "there is no cursor %s; it is made when it is first set", name).With("cursor", name)
	}
	return c, nil
}

// ListCursors lists cursors in the order of their names.
func (g *Gateway) ListCursors(who Caller, prefix, after string, limit uint32) ([]Cursor, bool, error) {
	if err := g.auth.Authorize(who, ActInspect, nil); err != nil {
		return nil, false, err
	}
	n, err := page(limit)
	if err != nil {
		return nil, false, err
	}
	found, more := g.cursors.Cursors(prefix, after, n)
	return found, more, nil
}

// SetCursor makes or moves a cursor to a position of this cluster. Created tells that there was none when the call came.
func (g *Gateway) SetCursor(ctx context.Context, who Caller, name, at string, expect *string) (c Cursor, created bool, err error) {
	if err := g.cursor(who, ActRead, name); err != nil {
		return Cursor{}, false, err
	}
	if err := g.admitAppend(); err != nil {
		return Cursor{}, false, err
	}
	if err := g.ownPosition(ctx, at); err != nil {
		return Cursor{}, false, err
	}
	_, there := g.cursors.Cursor(name)
	c, err = g.cursors.SetCursor(ctx, name, at, expect)
	return c, err == nil && !there, err
}

// DeleteCursor forgets a cursor.
func (g *Gateway) DeleteCursor(ctx context.Context, who Caller, name string) error {
	if err := g.cursor(who, ActRead, name); err != nil {
		return err
	}
	if err := g.admitAppend(); err != nil {
		return err
	}
	return g.cursors.DeleteCursor(ctx, name)
}

// cursor checks what all calls about one cursor have in common. Names are of the same kind as those of topics.
func (g *Gateway) cursor(who Caller, action Action, name string) error {
	if err := g.auth.Authorize(who, action, nil); err != nil {
		return err
	}
	if err := event.CheckTopic(name); err != nil {
		return errs.New(errs.CodeOf(err), "a cursor's name follows the rules of a topic's: %w", err).With("field", "name")
	}
	return nil
}

// ownPosition refuses a position from which no read here could go on.
func (g *Gateway) ownPosition(ctx context.Context, token string) error {
	place, err := position.ParseList(token)
	if err != nil {
		return errs.New(errs.Invalid, "the position does not parse (%w); take one that an append or a read has given", err).With("field", "position")
	}
	for _, p := range place {
		if err := g.ownPlace(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// ownPlace holds a position against its shard: as this node knows it, or else as its leader does, whom this node may lag behind.
func (g *Gateway) ownPlace(ctx context.Context, p position.Position) error {
	shard, ok := g.shards.Shard(p.Shard)
	if !ok {
		return errForeign()
	}
	s := shard.Status()
	last := position.Position{Shard: s.Shard, History: s.History, Offset: s.LastOffset}
	if p.History != last.History || p.Offset > last.Offset {
		var err error
		if _, last, err = shard.Head(ctx, nil, nil); err != nil {
			return err
		}
	}
	switch {
	case p.History != last.History:
		return errForeign()
	case p.Offset > last.Offset:
		return errs.New(errs.Invalid, "the position is beyond the end of the shard (offset %d); take one that this cluster has given", last.Offset).With("field", "position")
	}
	return nil
}

func errForeign() error {
	return errs.New(errs.Invalid, "the position belongs to another cluster or history; take one that this cluster has given").With("field", "position")
}
