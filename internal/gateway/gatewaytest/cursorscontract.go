package gatewaytest

import (
	"context"
	"sync"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

// CursorsContract holds empty cursors to what the gateway relies on.
func CursorsContract(t *testing.T, c gateway.Cursors) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cursorsMoved(ctx, t, c)
	cursorsListed(ctx, t, c)
	cursorsDeleted(ctx, t, c)
	cursorsShared(ctx, t, c)
}

// cursorsMoved leaves a at p2.
func cursorsMoved(ctx context.Context, t *testing.T, c gateway.Cursors) {
	t.Helper()
	nowhere, p1, p2 := "", "p1", "p2"
	if found, ok := c.Cursor("a"); ok {
		t.Fatalf("a is there before it is set: %+v", found)
	}
	for _, step := range []struct {
		to, at string // where it is to be, and where it is after that
		expect *string
		code   errs.Code
	}{
		{"p1", "", &p1, errs.Conflict},
		{"p1", "p1", &nowhere, ""},
		{"p2", "p1", &nowhere, errs.Conflict},
		{"p3", "p1", &p2, errs.Conflict},
		{"p2", "p2", &p1, ""},
		{"p1", "p1", nil, ""},
		{"p2", "p2", nil, ""},
	} {
		set, err := c.SetCursor(ctx, "a", step.to, step.expect)
		if step.code == "" && (err != nil || set.Name != "a" || set.Position != step.to || set.Updated.IsZero()) {
			t.Fatalf("to %s: %+v, %v", step.to, set, err)
		}
		if e := errs.As(err); step.code != "" && (err == nil || e.Code != step.code || e.Details["actual_position"] != step.at || e.Details["cursor"] != "a") {
			t.Fatalf("to %s: %v, want %s with the position %q", step.to, err, step.code, step.at)
		}
		found, ok := c.Cursor("a")
		if found.Position != step.at || ok != (step.at != "") || step.code == "" && !found.Updated.Equal(set.Updated) {
			t.Fatalf("after %s it is %+v %v, want %q", step.to, found, ok, step.at)
		}
	}
}

// cursorsListed adds b and ab.
func cursorsListed(ctx context.Context, t *testing.T, c gateway.Cursors) {
	t.Helper()
	for _, name := range []string{"b", "ab"} {
		if _, err := c.SetCursor(ctx, name, "p1", nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range []struct {
		prefix, after string
		limit         int
		want          []string
		more          bool
	}{
		{"", "", 10, []string{"a", "ab", "b"}, false},
		{"", "", 3, []string{"a", "ab", "b"}, false},
		{"a", "", 1, []string{"a"}, true},
		{"a", "a", 10, []string{"ab"}, false},
		{"", "aa", 1, []string{"ab"}, true},
		{"c", "", 10, nil, false},
	} {
		list, more := c.Cursors(one.prefix, one.after, one.limit)
		same := len(list) == len(one.want) && more == one.more
		for i := 0; same && i < len(list); i++ {
			same = list[i].Name == one.want[i]
		}
		if !same {
			t.Errorf("%q after %q, %d: %v %v, want %v %v", one.prefix, one.after, one.limit, list, more, one.want, one.more)
		}
	}
}

func cursorsDeleted(ctx context.Context, t *testing.T, c gateway.Cursors) {
	t.Helper()
	if err := c.DeleteCursor(ctx, "ab"); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Cursor("ab"); ok {
		t.Error("ab is still there")
	}
	if err := c.DeleteCursor(ctx, "ab"); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("delete again: %v", err)
	}
	if _, ok := c.Cursor("a"); !ok {
		t.Error("a is gone with it")
	}
}

// cursorsShared has readers who move b from the same place: one of them does.
func cursorsShared(ctx context.Context, t *testing.T, c gateway.Cursors) {
	t.Helper()
	from := "p1"
	var readers sync.WaitGroup
	results := make([]error, 4)
	for i := range results {
		readers.Go(func() { _, results[i] = c.SetCursor(ctx, "b", "p2", &from) })
	}
	readers.Wait()
	moved := 0
	for _, err := range results {
		switch {
		case err == nil:
			moved++
		case errs.CodeOf(err) != errs.Conflict:
			t.Error(err)
		}
	}
	if moved != 1 {
		t.Errorf("%d readers moved a cursor from the same place", moved)
	}
}
