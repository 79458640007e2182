package meta

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gesta-db/gesta/internal/errs"
)

// FuzzDecodeSnapshot holds that no bytes make decoding panic, and that what is accepted can be changed and survives being written.
func FuzzDecodeSnapshot(f *testing.F) {
	f.Add([]byte(`{"index":3,"topics":{"a":{"name":"a"}}}`))
	f.Add([]byte(`{"index":3,"topics":null,"cursors":null}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := decodeSnapshot("snapshot", body); err == nil {
			t.Fatal("a state without a header was accepted")
		}
		s, err := decodeSnapshot("snapshot", encodeSnapshot(body))
		if err != nil {
			if errs.CodeOf(err) != errs.Corrupt {
				t.Fatal(err)
			}
			return
		}
		for _, payload := range []string{`{"create_topic":{"name":"new"}}`, `{"set_cursor":{"name":"new","position":"p"}}`} {
			if s, _, err = s.apply(s.Index+1, []byte(payload)); err != nil {
				t.Fatal(err)
			}
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeSnapshot("snapshot", encodeSnapshot(again))
		if err != nil || !cmp.Equal(back, s) {
			t.Fatalf("%+v became %+v, %v", s, back, err)
		}
	})
}

// FuzzApply holds that no payload of an entry makes folding panic or change the state it was given.
func FuzzApply(f *testing.F) {
	f.Add([]byte(`{"create_topic":{"name":"a","shard":1}}`))
	f.Add([]byte(`{"create_topic":{"name":"b","shard":1},"layout":{"partitions":2}}`))
	f.Add([]byte(`{"create_topic":{"name":"b","shard":1},"layout":{"partitions":-1}}`))
	f.Add([]byte(`{"create_topic":{"name":"b","shard":1},"layout":{"colocate":"a"}}`))
	f.Add([]byte(`{"delete_topic":"a"}`))
	f.Add([]byte(`{"set_cursor":{"name":"c","position":"p","expect":""}}`))
	f.Add([]byte(`{"delete_cursor":"c"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		s := newState()
		s.Topics["a"] = Topic{Name: "a"}
		next, refusal, err := s.apply(9, payload)
		if len(s.Topics) != 1 || len(s.Cursors) != 0 || s.Index != 0 {
			t.Fatal("the state was changed in place")
		}
		switch {
		case err != nil && next != nil:
			t.Fatal("a state beside an error")
		case err == nil && next.Index != 9:
			t.Fatalf("the state is of entry %d", next.Index)
		case err == nil && refusal != nil && (len(next.Topics) != 1 || len(next.Cursors) != 0):
			t.Fatal("a refused command changed something")
		}
	})
}
