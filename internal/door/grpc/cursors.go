package grpc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/gateway"
)

// cursorsServer is the service Cursors.
type cursorsServer struct {
	gestav1.UnimplementedCursorsServer
	door *Door
}

func (c cursorsServer) GetCursor(ctx context.Context, q *gestav1.GetCursorRequest) (*gestav1.GetCursorResponse, error) {
	who, _ := c.door.callerOf(ctx)
	found, err := c.door.gate.GetCursor(who, q.GetName())
	if err != nil {
		return nil, err
	}
	return &gestav1.GetCursorResponse{Cursor: cursorMessage(found)}, nil
}

func (c cursorsServer) SetCursor(ctx context.Context, q *gestav1.SetCursorRequest) (*gestav1.SetCursorResponse, error) {
	who, _ := c.door.callerOf(ctx)
	set, _, err := c.door.gate.SetCursor(ctx, who, q.GetName(), q.GetPosition(), q.ExpectedPosition)
	if err != nil {
		return nil, err
	}
	return &gestav1.SetCursorResponse{Cursor: cursorMessage(set)}, nil
}

func (c cursorsServer) ListCursors(ctx context.Context, q *gestav1.ListCursorsRequest) (*gestav1.ListCursorsResponse, error) {
	who, _ := c.door.callerOf(ctx)
	found, more, err := c.door.gate.ListCursors(who, q.GetPrefix(), q.GetAfter(), q.GetLimit())
	if err != nil {
		return nil, err
	}
	list := &gestav1.ListCursorsResponse{More: more}
	for _, f := range found {
		list.Cursors = append(list.Cursors, cursorMessage(f))
	}
	return list, nil
}

func (c cursorsServer) DeleteCursor(ctx context.Context, q *gestav1.DeleteCursorRequest) (*gestav1.DeleteCursorResponse, error) {
	who, _ := c.door.callerOf(ctx)
	if err := c.door.gate.DeleteCursor(ctx, who, q.GetName()); err != nil {
		return nil, err
	}
	return &gestav1.DeleteCursorResponse{}, nil
}

func cursorMessage(c gateway.Cursor) *gestav1.Cursor {
	return &gestav1.Cursor{Name: c.Name, Position: c.Position, Updated: timestamppb.New(c.Updated)}
}
