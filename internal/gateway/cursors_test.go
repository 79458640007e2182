package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
)

func TestCursorsInMemoryKeepTheContract(t *testing.T) {
	gatewaytest.CursorsContract(t, gatewaytest.NewCursors())
}

// withCursors opens a gateway over a shard of some events.
func withCursors(t *testing.T, o gateway.Options, events int) fixture {
	t.Helper()
	o.Cursors = gatewaytest.NewCursors()
	f := open(t, o, "a")
	for range events {
		if _, _, err := f.Append(t.Context(), nobody, gatewaytest.Commit(event.Expect{}, [2]string{"a", "k"})); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// token is a position of the shard in memory.
func token(offset uint64) string {
	return position.Position{Shard: gateway.FirstShard, History: gatewaytest.History, Offset: offset}.String()
}

func TestCursorMoves(t *testing.T) {
	f := withCursors(t, gateway.Options{}, 2)
	nowhere, first, second := "", token(1), token(2)
	if _, err := f.GetCursor(nobody, "billing"); errs.CodeOf(err) != errs.NotFound || errs.As(err).Details["cursor"] != "billing" {
		t.Fatal(err)
	}
	if _, _, err := f.SetCursor(t.Context(), nobody, "billing", first, &nowhere); err != nil {
		t.Fatal(err)
	}
	_, _, err := f.SetCursor(t.Context(), nobody, "billing", second, &nowhere)
	if e := errs.As(err); e == nil || e.Code != errs.Conflict || e.Details["actual_position"] != first {
		t.Fatal(err)
	}
	// Who wants to read again moves it back.
	for _, to := range []string{second, first, token(0)} {
		if c, _, err := f.SetCursor(t.Context(), nobody, "billing", to, nil); err != nil || c.Position != to {
			t.Fatal(c, err)
		}
		if c, err := f.GetCursor(nobody, "billing"); err != nil || c.Position != to {
			t.Fatal(c, err)
		}
	}
	if err := f.DeleteCursor(t.Context(), nobody, "billing"); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteCursor(t.Context(), nobody, "billing"); errs.CodeOf(err) != errs.NotFound {
		t.Fatal(err)
	}
}

func TestCursorNames(t *testing.T) {
	f := withCursors(t, gateway.Options{}, 1)
	for name, want := range map[string]errs.Code{
		"": errs.Invalid, "..": errs.Invalid, "Billing": errs.Invalid, "a/b": errs.Invalid, "ä": errs.Invalid, "a b": errs.Invalid,
		strings.Repeat("x", 129): errs.TooLarge, strings.Repeat("x", 128): "", "a.b_c-9": "",
	} {
		_, _, set := f.SetCursor(t.Context(), nobody, name, token(1), nil)
		_, get := f.GetCursor(nobody, name)
		forget := f.DeleteCursor(t.Context(), nobody, name)
		for call, err := range map[string]error{"set": set, "get": get, "delete": forget} {
			if want == "" && err != nil {
				t.Errorf("%s %q: %v", call, name, err)
			}
			if want != "" && (errs.CodeOf(err) != want || errs.As(err).Details["field"] != "name") {
				t.Errorf("%s %q: %v, want %s of the name", call, name, err, want)
			}
		}
	}
}

// A cursor is never where no read could go on.
func TestCursorPositions(t *testing.T) {
	f := withCursors(t, gateway.Options{}, 3)
	other := position.Position{Shard: gateway.FirstShard, History: gatewaytest.History + 1, Offset: 1}
	elsewhere := position.Position{Shard: gateway.FirstShard + 1, History: gatewaytest.History, Offset: 1}
	mistyped := []byte(token(3))
	mistyped[len(mistyped)-1] ^= 1
	for name, at := range map[string]string{
		"empty": "", "no position": "start", "mistyped": string(mistyped), "another history": other.String(), "another shard": elsewhere.String(), "beyond the end": token(4),
	} {
		_, _, err := f.SetCursor(t.Context(), nobody, "c", at, nil)
		if e := errs.As(err); err == nil || e.Code != errs.Invalid || e.Details["field"] != "position" {
			t.Errorf("%s: %v", name, err)
		}
		if _, ok := f.cursors.Cursor("c"); ok {
			t.Fatalf("%s was kept", name)
		}
	}
	for _, offset := range []uint64{0, 3} {
		if _, _, err := f.SetCursor(t.Context(), nobody, "c", token(offset), nil); err != nil {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
}

func TestCursorPages(t *testing.T) {
	f := withCursors(t, gateway.Options{}, 1)
	for _, name := range []string{"b", "ac", "ab", "a"} {
		if _, _, err := f.SetCursor(t.Context(), nobody, name, token(1), nil); err != nil {
			t.Fatal(err)
		}
	}
	list, more, err := f.ListCursors(nobody, "a", "a", 1)
	if err != nil || len(list) != 1 || list[0].Name != "ab" || !more {
		t.Errorf("%v %v %v", list, more, err)
	}
	if list, more, err := f.ListCursors(nobody, "", "", 0); err != nil || len(list) != 4 || more {
		t.Errorf("%v %v %v", list, more, err)
	}
	if _, _, err := f.ListCursors(nobody, "", "", gateway.LargestPage+1); errs.CodeOf(err) != errs.TooLarge {
		t.Error(err)
	}
}

// While there is no space, or the node is about to stop, cursors can be looked at and not changed.
func TestCursorsAreRefused(t *testing.T) {
	f := withCursors(t, gateway.Options{}, 2)
	set := func() error { _, _, err := f.SetCursor(t.Context(), nobody, "c", token(2), nil); return err }
	if err := set(); err != nil {
		t.Fatal(err)
	}
	refused := func(want errs.Code) {
		t.Helper()
		if err := set(); errs.CodeOf(err) != want {
			t.Errorf("set: %v, want %s", err, want)
		}
		if err := f.DeleteCursor(t.Context(), nobody, "c"); errs.CodeOf(err) != want {
			t.Errorf("delete: %v, want %s", err, want)
		}
		if _, err := f.GetCursor(nobody, "c"); err != nil {
			t.Error(err)
		}
		if _, _, err := f.ListCursors(nobody, "", "", 0); err != nil {
			t.Error(err)
		}
	}
	f.Refuse(errs.New(errs.NoSpace, "full"))
	refused(errs.NoSpace)
	f.Refuse(nil)
	if err := set(); err != nil {
		t.Fatal(err)
	}
	f.Drain()
	refused(errs.Unavailable)
}

func TestCursorsAreAuthorised(t *testing.T) {
	who := gateway.Caller{Name: "eve"}
	for action, calls := range map[gateway.Action][]func(context.Context, fixture) error{
		gateway.ActInspect: {
			func(_ context.Context, f fixture) error { _, err := f.GetCursor(who, "c"); return err },
			func(_ context.Context, f fixture) error { _, _, err := f.ListCursors(who, "", "", 0); return err },
		},
		gateway.ActRead: {
			func(ctx context.Context, f fixture) error {
				_, _, err := f.SetCursor(ctx, who, "c", token(1), nil)
				return err
			},
			func(ctx context.Context, f fixture) error { return f.DeleteCursor(ctx, who, "c") },
		},
	} {
		for i, call := range calls {
			f := withCursors(t, gateway.Options{Authorizer: denier{action}}, 1)
			if _, err := f.cursors.SetCursor(t.Context(), "c", token(0), nil); err != nil {
				t.Fatal(err)
			}
			if err := call(t.Context(), f); errs.CodeOf(err) != errs.Forbidden {
				t.Errorf("action %d, call %d: %v", action, i, err)
			}
			if c, ok := f.cursors.Cursor("c"); !ok || c.Position != token(0) {
				t.Errorf("action %d, call %d: it was forbidden, and changed %+v", action, i, c)
			}
			if err := call(t.Context(), withOne(t)); err != nil {
				t.Errorf("action %d, call %d, allowed: %v", action, i, err)
			}
		}
	}
}

// withOne has one cursor, and everybody may do everything.
func withOne(t *testing.T) fixture {
	t.Helper()
	f := withCursors(t, gateway.Options{}, 1)
	if _, err := f.cursors.SetCursor(t.Context(), "c", token(0), nil); err != nil {
		t.Fatal(err)
	}
	return f
}

// What the keeper of the cursors says reaches the caller with its code.
func TestCursorsThatFail(t *testing.T) {
	broken, cursors := errs.New(errs.UnknownOutcome, "perhaps"), gatewaytest.NewCursors()
	f := open(t, gateway.Options{Cursors: cursors})
	cursors.Fail(broken)
	if _, _, err := f.SetCursor(t.Context(), nobody, "c", token(0), nil); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := f.DeleteCursor(t.Context(), nobody, "c"); !errors.Is(err, broken) {
		t.Error(err)
	}
}
