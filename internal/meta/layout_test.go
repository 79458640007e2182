package meta

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
)

// create applies the creation of a topic.
func create(t *testing.T, s *state, name string, l Layout) (*state, error) {
	t.Helper()
	payload, err := json.Marshal(command{CreateTopic: &Topic{Name: name, Shard: firstShard}, Layout: &l})
	if err != nil {
		t.Fatal(err)
	}
	next, refusal, err := s.apply(s.Index+1, payload)
	if err != nil {
		t.Fatal(err)
	}
	return next, refusal
}

func withShards(n uint32) *state {
	s := newState()
	s.Shards = map[uint32]Shard{}
	for i := range n {
		s.Shards[i+1] = Shard{Number: i + 1}
	}
	return s
}

func TestLayouts(t *testing.T) {
	s := withShards(4)
	for _, c := range []struct {
		name string
		l    Layout
		want []uint32
	}{
		{"plain", Layout{}, []uint32{1}},
		{"one", Layout{Shards: []uint32{3}}, []uint32{3}},
		{"named", Layout{Shards: []uint32{4, 2}}, []uint32{4, 2}}, // the order given is kept
		{"chosen", Layout{Partitions: 1}, []uint32{1}},
		{"two", Layout{Partitions: 2}, []uint32{2, 3}}, // the first has two, all others one
		{"beside", Layout{Partitions: 2}, []uint32{1, 4}},
		{"all", Layout{Partitions: 4}, []uint32{1, 2, 3, 4}},
		{"with", Layout{Colocate: "named"}, []uint32{4, 2}},
		{"with-one", Layout{Colocate: "one"}, []uint32{3}},
	} {
		next, err := create(t, s, c.name, c.l)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		s = next
		made := s.Topics[c.name]
		if got := made.shards(); !slices.Equal(got, c.want) || made.Shard != c.want[0] {
			t.Errorf("%s lies on %v, first %d, want %v", c.name, got, made.Shard, c.want)
		}
	}
}

func TestLayoutsThatCannotBe(t *testing.T) {
	s := withShards(3)
	for _, c := range []struct {
		l     Layout
		code  errs.Code
		field string
		says  string
	}{
		{Layout{Shards: []uint32{1, 9}}, errs.NotFound, "shards", "there is no shard 9; there are 1, 2 and 3"},
		{Layout{Shards: []uint32{2, 2}}, errs.Invalid, "shards", "twice"},
		{Layout{Partitions: 4}, errs.Invalid, "partitions", "there are 3"},
		{Layout{Colocate: "nope"}, errs.NotFound, "colocate", "no topic nope"},
	} {
		next, err := create(t, s, "a", c.l)
		if e := errs.As(err); err == nil || e.Code != c.code || e.Details["field"] != c.field || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.l, err)
		}
		if len(next.Topics) != 0 {
			t.Errorf("%+v made a topic", c.l)
		}
	}
}

// What older versions wrote says the shard alone, and what lies on one shard is still written so.
func TestTopicsOfOneShardAreStoredAsTheyWere(t *testing.T) {
	s, err := create(t, withShards(2), "a", Layout{Shards: []uint32{2}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(s.Topics["a"])
	if err != nil || string(b) != `{"name":"a","created":"0001-01-01T00:00:00Z","shard":2}` {
		t.Errorf("%s %v", b, err)
	}
}
