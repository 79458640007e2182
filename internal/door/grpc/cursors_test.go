package grpc

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
)

func token(offset uint64) string {
	return position.Position{Shard: gateway.FirstShard, History: gatewaytest.History, Offset: offset}.String()
}

func TestCursorsService(t *testing.T) {
	f := open(t)
	cursors := gestav1.NewCursorsClient(f.conn)
	first, second := f.append(t, "orders", "1").GetPosition(), f.append(t, "orders", "1").GetPosition()
	set := func(name, at string, expect *string) (*gestav1.SetCursorResponse, error) {
		return cursors.SetCursor(within(t), &gestav1.SetCursorRequest{Name: name, Position: at, ExpectedPosition: expect})
	}
	made, err := set("billing", first, proto.String(""))
	if c := made.GetCursor(); err != nil || c.GetName() != "billing" || c.GetPosition() != first || c.GetUpdated() == nil {
		t.Fatal(made, err)
	}
	if moved, err := set("billing", second, &first); err != nil || moved.GetCursor().GetPosition() != second {
		t.Fatal(moved, err)
	}
	if back, err := set("billing", first, nil); err != nil || back.GetCursor().GetPosition() != first {
		t.Fatal(back, err)
	}
	got, err := cursors.GetCursor(within(t), &gestav1.GetCursorRequest{Name: "billing"})
	if err != nil || got.GetCursor().GetName() != "billing" || got.GetCursor().GetPosition() != first || got.GetCursor().GetUpdated() == nil {
		t.Fatal(got, err)
	}
	for _, name := range []string{"mail", "bills"} {
		if _, err := set(name, second, nil); err != nil {
			t.Fatal(err)
		}
	}
	list, err := cursors.ListCursors(within(t), &gestav1.ListCursorsRequest{Prefix: "bill", Limit: 1})
	if err != nil || len(list.GetCursors()) != 1 || list.GetCursors()[0].GetName() != "billing" || !list.GetMore() {
		t.Fatal(list, err)
	}
	list, err = cursors.ListCursors(within(t), &gestav1.ListCursorsRequest{Prefix: "bill", After: "billing"})
	if err != nil || len(list.GetCursors()) != 1 || list.GetCursors()[0].GetPosition() != second || list.GetMore() {
		t.Fatal(list, err)
	}
	if _, err := cursors.DeleteCursor(within(t), &gestav1.DeleteCursorRequest{Name: "billing"}); err != nil {
		t.Fatal(err)
	}
	_, err = cursors.GetCursor(within(t), &gestav1.GetCursorRequest{Name: "billing"})
	wantCode(t, err, errs.NotFound, "cursor", "billing")
}

func TestCursorErrors(t *testing.T) {
	f := open(t)
	cursors := gestav1.NewCursorsClient(f.conn)
	at := f.append(t, "orders", "1").GetPosition()
	if _, err := cursors.SetCursor(within(t), &gestav1.SetCursorRequest{Name: "c", Position: at}); err != nil {
		t.Fatal(err)
	}
	newer := &gestav1.SetCursorRequest{Name: "c", Position: at}
	newer.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	for name, c := range map[string]struct {
		q       *gestav1.SetCursorRequest
		code    errs.Code
		details []string
	}{
		"moved by another": {&gestav1.SetCursorRequest{Name: "c", Position: at, ExpectedPosition: proto.String(token(0))}, errs.Conflict, []string{"cursor", "c", "actual_position", at}},
		"made by another":  {&gestav1.SetCursorRequest{Name: "c", Position: at, ExpectedPosition: proto.String("")}, errs.Conflict, []string{"actual_position", at}},
		"not there yet":    {&gestav1.SetCursorRequest{Name: "d", Position: at, ExpectedPosition: &at}, errs.Conflict, []string{"cursor", "d", "actual_position", ""}},
		"no name":          {&gestav1.SetCursorRequest{Position: at}, errs.Invalid, []string{"field", "name"}},
		"bad name":         {&gestav1.SetCursorRequest{Name: "C/d", Position: at}, errs.Invalid, []string{"field", "name"}},
		"long name":        {&gestav1.SetCursorRequest{Name: strings.Repeat("c", 129), Position: at}, errs.TooLarge, []string{"field", "name"}},
		"no position":      {&gestav1.SetCursorRequest{Name: "c"}, errs.Invalid, []string{"field", "position"}},
		"beyond the end":   {&gestav1.SetCursorRequest{Name: "c", Position: token(2)}, errs.Invalid, []string{"field", "position"}},
		"a newer field":    {newer, errs.Unsupported, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cursors.SetCursor(within(t), c.q)
			wantCode(t, err, c.code, c.details...)
		})
	}
	_, err := cursors.GetCursor(within(t), &gestav1.GetCursorRequest{Name: "C"})
	wantCode(t, err, errs.Invalid, "field", "name")
	_, err = cursors.DeleteCursor(within(t), &gestav1.DeleteCursorRequest{Name: "d"})
	wantCode(t, err, errs.NotFound, "cursor", "d")
	_, err = cursors.ListCursors(within(t), &gestav1.ListCursorsRequest{Limit: gateway.LargestPage + 1})
	wantCode(t, err, errs.TooLarge)

	f.gate.Refuse(errs.New(errs.NoSpace, "full"))
	_, err = cursors.SetCursor(within(t), &gestav1.SetCursorRequest{Name: "c", Position: at})
	wantCode(t, err, errs.NoSpace)
	f.gate.Refuse(nil)
	f.gate.Drain()
	_, err = cursors.DeleteCursor(within(t), &gestav1.DeleteCursorRequest{Name: "c"})
	wantCode(t, err, errs.Unavailable, "reason", "draining")
	if got, err := cursors.GetCursor(within(t), &gestav1.GetCursorRequest{Name: "c"}); err != nil || got.GetCursor().GetPosition() != at {
		t.Fatal(got, err)
	}
}
