package meta_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/gateway/gatewaytest"
	"github.com/gesta-db/gesta/internal/meta"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
)

// named gives the cursors in the gateway's words.
type named struct{ *meta.Meta }

func (n named) Cursor(name string) (gatewaytest.Cursor, bool) {
	c, ok := n.Meta.Cursor(name)
	return gatewaytest.Cursor(c), ok
}

func (n named) Cursors(prefix, after string, limit int) (list []gatewaytest.Cursor, more bool) {
	found, more := n.Meta.Cursors(prefix, after, limit)
	for _, c := range found {
		list = append(list, gatewaytest.Cursor(c))
	}
	return list, more
}

func (n named) SetCursor(ctx context.Context, name, position string, expect *string) (gatewaytest.Cursor, error) {
	c, err := n.Meta.SetCursor(ctx, name, position, expect)
	return gatewaytest.Cursor(c), err
}

func openOn(t *testing.T, disk *crashfs.FS) *meta.Meta {
	t.Helper()
	m, err := meta.Open(meta.Options{FS: disk, Dir: "meta", Replica: 1, Voters: []uint64{1}, Topics: 10, Clock: clock.System(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What was answered is there after a power cut, too.
func TestCursorsKeepTheContract(t *testing.T) {
	disk := crashfs.New(1)
	m := openOn(t, disk)
	gatewaytest.CursorsContract(t, named{m})
	before, _ := m.Cursors("", "", 10)
	cut := disk.CrashKeepSynced()
	_ = m.Close() // its disk is gone

	m = openOn(t, cut)
	defer func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	after, more := m.Cursors("", "", 10)
	if len(before) != 2 || !slices.Equal(before, after) || more {
		t.Errorf("before the power cut %v, after it %v %v", before, after, more)
	}
}
