package shard

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// TestEachTableLost deletes the index, and each time one other table beside the segments: judging and reading know of every stream what
// its newest segment says.
func TestEachTableLost(t *testing.T) {
	r := newRig(t).open().mustServe()
	const streams = 4
	heads := map[string]uint64{}
	more := func(id string, n int) {
		t.Helper()
		key := fmt.Sprint(n)
		r.mustAppend(one("a", key, event.Expect{Kind: event.Exact, Revision: heads[key]}, id))
		heads[key]++
	}
	// Every stream is in every segment that will be sealed, and not in the one that is being written.
	for i := 0; r.s.Status().Segments <= 5; i++ {
		for n := range streams {
			if r.s.Status().Segments <= 5 {
				more(fmt.Sprintf("%d-%d", n, i), n)
			}
		}
	}
	r.fill("filler", 1)
	eventually(t, func() bool { return len(r.tables()) == r.s.Status().Segments-1 })
	want := r.ids()
	r.close()
	for n, lost := range r.tables() {
		table := r.table(lost)
		r.use(r.disk)
		if err := errors.Join(r.mem.RemoveAll(r.o.IndexDir), r.mem.Remove(lost)); err != nil {
			t.Fatal(err)
		}
		r.open().mustServe()
		for key, revision := range heads {
			h, _, err := r.s.Head(t.Context(), []byte("a"), []byte(key))
			if err != nil || h.Revision != revision {
				t.Fatalf("table %d lost: %s has head %+v, %v, want revision %d", n, key, h, err, revision)
			}
			_, err = r.append(one("a", key, event.Expect{Kind: event.Exact, Revision: revision - 1}, "new"))
			wantCode(t, err, errs.Conflict)
		}
		if got := r.ids(); !slices.Equal(got, want) {
			t.Fatalf("table %d lost:\ngot  %v\nwant %v", n, got, want)
		}
		r.close()
		if got := r.table(lost); !bytes.Equal(got, table) {
			t.Fatalf("table %d was built anew with other bytes", n)
		}
	}
}

// tables names the tables beside the segments.
func (r *rig) tables() (names []string) {
	r.t.Helper()
	list, err := r.mem.List(r.o.Dir)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range list {
		if filepath.Ext(name) == ".idx" {
			names = append(names, filepath.Join(r.o.Dir, name))
		}
	}
	slices.Sort(names)
	return names
}
