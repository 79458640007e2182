package cli

import (
	"context"
	"strings"
	"time"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/client"
)

type cursorsCmd struct {
	List   cursorsListCmd   `cmd:"" help:"List the cursors."`
	Get    cursorsGetCmd    `cmd:"" help:"Tell where a cursor is."`
	Set    cursorsSetCmd    `cmd:"" help:"Make a cursor, or move it."`
	Delete cursorsDeleteCmd `cmd:"" help:"Forget a cursor."`
}

type cursorsListCmd struct {
	remote `embed:""`
	output `embed:""`
	Prefix string `placeholder:"TEXT" help:"Only cursors whose name begins with this."`
	Limit  amount `placeholder:"N" help:"At most N cursors."`
}

type cursorsGetCmd struct {
	remote `embed:""`
	output `embed:""`
	Name   string `arg:"" help:"The cursor's name."`
}

type cursorsSetCmd struct {
	remote   `embed:""`
	output   `embed:""`
	Expect   *string `placeholder:"TOKEN" help:"Move it only from this position; an empty text: only make it."`
	Name     string  `arg:"" help:"The cursor's name: a to z, 0 to 9, dot, dash and underscore."`
	Position string  `arg:"" help:"A position, as append -o json tells it, and cursors get of another."`
}

type cursorsDeleteCmd struct {
	remote `embed:""`
	Name   string `arg:"" help:"The cursor's name."`
}

func (c *cursorsListCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	l := newListing(a, c.output, uint64(c.Limit), "cursors", column{title: "cursor", min: 12}, column{title: "offset", right: true}, column{title: "moved"}, column{title: "position"})
	for found, err := range server.Cursors(a.ctx, c.Prefix) {
		if err != nil {
			return err
		}
		if more, err := l.add(found, found.Name, cursorOffset(found), timeText(found.Updated), found.Position); !more || err != nil {
			return err
		}
	}
	return l.end("no cursors yet; \"gesta read TOPIC --cursor NAME\" makes one")
}

// cursorOffset is where a cursor is in its shard, or SHARD:OFFSET in each of several.
func cursorOffset(c client.Cursor) string {
	list, err := position.ParseList(c.Position)
	switch {
	case err != nil:
		return ""
	case len(list) == 1:
		return number(list[0].Offset)
	}
	var texts []string
	for _, p := range list {
		texts = append(texts, number(uint64(p.Shard))+":"+number(p.Offset))
	}
	return strings.Join(texts, " ")
}

func (a *app) printCursor(o output, c client.Cursor) error {
	if o.json() {
		return a.printJSON(c)
	}
	return a.facts(o, "cursor", c.Name, "offset", cursorOffset(c), "moved", timeText(c.Updated), "position", c.Position)
}

func (c *cursorsGetCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	found, err := server.Cursor(a.ctx, c.Name)
	if err != nil {
		return err
	}
	return a.printCursor(c.output, found)
}

func (c *cursorsSetCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	var when []client.CursorOption
	if c.Expect != nil {
		when = append(when, client.From(*c.Expect))
	}
	set, err := server.SetCursor(a.ctx, c.Name, c.Position, when...)
	if err != nil {
		return err
	}
	return a.printCursor(c.output, set)
}

func (c *cursorsDeleteCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := server.DeleteCursor(a.ctx, c.Name); err != nil {
		return err
	}
	a.note("deleted cursor %s", c.Name)
	return nil
}

// bookmark keeps a cursor behind a reader: it is moved after what was read has been printed, so that an event is printed again
// rather than lost. Readers that share a cursor never move it back.
type bookmark struct {
	server *client.Client
	name   string
	at     string // where the cursor is known to be; empty: nowhere
	moved  time.Time
}

// moveEvery bounds how much is printed again after a crash, and how often a cursor is written; lastMove how long an interrupted
// reader waits for its last one.
const (
	moveEvery = time.Second
	lastMove  = 5 * time.Second
)

// openBookmark finds the cursor; it does not have to be there yet.
func openBookmark(a *app, server *client.Client, name string) (*bookmark, error) {
	b := &bookmark{server: server, name: name, moved: time.Now()}
	c, err := server.Cursor(a.ctx, name)
	if err != nil && client.CodeOf(err) != client.CodeNotFound {
		return nil, err
	}
	b.at = c.Position
	return b, nil
}

// due tells that the cursor was not moved for a while.
func (b *bookmark) due() bool { return b != nil && time.Since(b.moved) >= moveEvery }

// move moves the cursor to a position, unless another reader is beyond it.
func (b *bookmark) move(a *app, to string) error {
	if b == nil || to == "" || to == b.at {
		return nil
	}
	b.moved = time.Now()
	// The cursor is moved for what was printed before an interrupt, too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), lastMove)
	defer cancel()
	for {
		c, err := b.server.SetCursor(ctx, b.name, to, client.From(b.at))
		if client.CodeOf(err) != client.CodeConflict {
			if err == nil {
				b.at = c.Position
			}
			return err
		}
		found, err := b.server.Cursor(ctx, b.name)
		if err != nil && client.CodeOf(err) != client.CodeNotFound {
			return err
		}
		if b.at = found.Position; beyond(b.at, to) {
			return nil
		}
	}
}

// beyond tells whether a is at or after b in every shard.
func beyond(a, b string) bool {
	p, errA := position.ParseList(a)
	q, errB := position.ParseList(b)
	if errA != nil || errB != nil || len(p) != len(q) {
		return false
	}
	for i := range p {
		if order, comparable := p[i].Compare(q[i]); !comparable || order < 0 {
			return false
		}
	}
	return true
}
