package eventwire

import (
	"errors"
	"slices"
	"testing"
)

func TestWalkTags(t *testing.T) {
	for _, tags := range [][]string{nil, {"a"}, {"a", "b", "a"}, {"", "x"}} {
		b := AppendEvent(nil, &Event{ID: "1", Type: "T", SchemaVersion: 300, Data: make([]byte, 200), Metadata: map[string]string{"a": "b", "c": "d"}, Tags: tags})
		var got []string
		w := WalkTags(b)
		for w.Next() {
			got = append(got, string(w.Tag()))
		}
		if w.Err() != nil || !slices.Equal(got, tags) {
			t.Errorf("%q %v, want %q", got, w.Err(), tags)
		}
		n := testing.AllocsPerRun(10, func() {
			w := WalkTags(b)
			for w.Next() {
			}
		})
		if n > 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func TestWalkTagsBroken(t *testing.T) {
	b := AppendEvent(nil, &Event{ID: "1", Type: "T", Tags: []string{"first", "second"}})
	for n := range b {
		w := WalkTags(b[:n])
		for w.Next() {
		}
		if err := w.Err(); err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	w := WalkTags(b[:len(b)-1])
	for w.Next() {
	}
	if w.Err() == nil {
		t.Error("a tag that is cut off is no tag")
	}
}
