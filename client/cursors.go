package client

import (
	"context"
	"iter"
	"time"

	"google.golang.org/grpc"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// Cursor is a position under a name: where a reader left off.
type Cursor struct {
	Name     string    `json:"name"`
	Position string    `json:"position"`
	Updated  time.Time `json:"updated"`
}

// CursorOption is a condition on moving a cursor.
type CursorOption func(*gestav1.SetCursorRequest)

// From moves a cursor only from this position; empty: only when there is no such cursor yet. Two readers that share a cursor
// move it so, and the slower one learns by CodeConflict that the other was there.
func From(position string) CursorOption {
	return func(r *gestav1.SetCursorRequest) { r.ExpectedPosition = &position }
}

// Cursor gives a cursor by its name. Errors: CodeNotFound.
func (c *Client) Cursor(ctx context.Context, name string) (Cursor, error) {
	m, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.GetCursorResponse, error) {
		return gestav1.NewCursorsClient(conn).GetCursor(ctx, &gestav1.GetCursorRequest{Name: name})
	})
	if err != nil {
		return Cursor{}, err
	}
	return cursorOf(m.GetCursor()), nil
}

// SetCursor makes or moves a cursor, durably. Errors: CodeInvalid for a name or a position that is not of this cluster,
// CodeConflict with From, CodeUnknownOutcome.
func (c *Client) SetCursor(ctx context.Context, name, position string, opts ...CursorOption) (Cursor, error) {
	req := &gestav1.SetCursorRequest{Name: name, Position: position}
	for _, o := range opts {
		o(req)
	}
	m, err := unary(ctx, c, writing, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.SetCursorResponse, error) {
		return gestav1.NewCursorsClient(conn).SetCursor(ctx, req)
	})
	if err != nil {
		return Cursor{}, err
	}
	return cursorOf(m.GetCursor()), nil
}

// DeleteCursor forgets a cursor. Errors: CodeNotFound, CodeUnknownOutcome.
func (c *Client) DeleteCursor(ctx context.Context, name string) error {
	_, err := unary(ctx, c, writing, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.DeleteCursorResponse, error) {
		return gestav1.NewCursorsClient(conn).DeleteCursor(ctx, &gestav1.DeleteCursorRequest{Name: name})
	})
	return err
}

// Cursors yields the cursors whose names begin with prefix, in the order of their names. An error is yielded last.
func (c *Client) Cursors(ctx context.Context, prefix string) iter.Seq2[Cursor, error] {
	return func(yield func(Cursor, error) bool) {
		req := &gestav1.ListCursorsRequest{Prefix: prefix}
		for more := true; more; {
			m, err := unary(ctx, c, reading, func(ctx context.Context, conn *grpc.ClientConn) (*gestav1.ListCursorsResponse, error) {
				return gestav1.NewCursorsClient(conn).ListCursors(ctx, req)
			})
			if err != nil {
				yield(Cursor{}, err)
				return
			}
			for _, found := range m.GetCursors() {
				if !yield(cursorOf(found), nil) {
					return
				}
				req.After = found.GetName()
			}
			more = m.GetMore() && len(m.GetCursors()) > 0
		}
	}
}

func cursorOf(m *gestav1.Cursor) Cursor {
	return Cursor{Name: m.GetName(), Position: m.GetPosition(), Updated: timeOf(m.GetUpdated())}
}
