package shard

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/event"
)

// sparse appends events to 1,000 topics in turn; one event in 1,000 is of a rare type, and another carries a rare tag.
func (r *rig) sparse(rounds int) {
	const topics, together = 1000, 50
	for n := 0; n < rounds*topics; n += together {
		c := &event.Commit{}
		for i := n; i < n+together; i++ {
			e := eventwire.Event{ID: fmt.Sprint(i), Type: "Common", Tags: []string{"common", fmt.Sprintf("own:%d", i)}, Data: make([]byte, 40)}
			switch i % topics {
			case 500:
				e.Type = "Rare"
			case 501:
				e.Tags = append(e.Tags, "rare")
			}
			b := eventwire.AppendEvent(nil, &e)
			c.Streams = append(c.Streams, event.Append{Topic: fmt.Appendf(nil, "topic-%d", i%topics), Key: fmt.Appendf(nil, "%d", i/topics%5), Events: []event.Prepared{{ID: []byte(e.ID), Type: []byte(e.Type), Bytes: b}}})
			c.Bytes += len(b)
		}
		r.mustAppend(c)
	}
}

// TestSparseReadsReadWhatTheyFind counts the events that a read looks at, and what it asks of the disk, where one event in 1,000 is for
// it: hardly more than it finds, in segments on disk as in those in memory.
func TestSparseReadsReadWhatTheyFind(t *testing.T) {
	r := newRig(t)
	r.o.Limits.SegmentBytes, r.o.Limits.EntryBytes = 256<<10, 64<<10
	r.open().mustServe()
	defer r.close()
	r.s.tail.limit = 0
	const rounds = 12
	r.sparse(rounds)
	if n := r.s.Status().Segments; n < 5 {
		t.Fatalf("only %d segments", n)
	}
	for _, c := range []struct {
		name string
		spec event.ReadSpec
		want uint64
	}{
		{"topic", event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("topic-7")}, rounds},
		{"prefix", event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("topic-7"), KeyPrefix: []byte("3")}, 2},
		{"type", event.ReadSpec{Scope: event.ScopeAll, Types: [][]byte{[]byte("Rare")}}, rounds},
		{"types", event.ReadSpec{Scope: event.ScopeAll, Types: [][]byte{[]byte("Rare"), []byte("None")}}, rounds},
		{"tag", event.ReadSpec{Scope: event.ScopeAll, Tags: [][]byte{[]byte("rare")}}, rounds},
		{"tags", event.ReadSpec{Scope: event.ScopeAll, Tags: [][]byte{[]byte("common"), []byte("rare")}}, rounds},
		{"tag of one", event.ReadSpec{Scope: event.ScopeAll, Tags: [][]byte{[]byte("own:4711")}}, 1},
		{"type and topic", event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("topic-7"), Types: [][]byte{[]byte("Common")}}, rounds},
		{"type and stream", event.ReadSpec{Scope: event.ScopeStream, Topic: []byte("topic-7"), Key: []byte("1"), Types: [][]byte{[]byte("Common")}}, 3},
		{"neither together", event.ReadSpec{Scope: event.ScopeAll, Types: [][]byte{[]byte("Rare")}, Tags: [][]byte{[]byte("rare")}}, 0},
		{"where of a topic", event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte("topic-7"), Where: third{}}, 0},
	} {
		for _, backwards := range []bool{false, true} {
			if c.spec.Backwards = backwards; backwards {
				c.spec.From.Kind = event.End
			}
			reads := r.disk.Counts().Reads
			got, err := r.s.Read(t.Context(), c.spec)
			if err != nil {
				t.Fatal(err)
			}
			events, _, err := drain(t.Context(), got)
			if err != nil {
				t.Fatal(err)
			}
			reads = r.disk.Counts().Reads - reads
			looked := got.(*reader).looked
			got.Close()
			if c.spec.Where == nil && uint64(len(events)) != c.want || looked > rounds+2 || uint64(reads) > 4*looked+4 {
				t.Errorf("%s, backwards %v: found %d, want %d; looked at %d events, with %d disk reads", c.name, backwards, len(events), c.want, looked, reads)
			}
		}
	}
}

var errPredicate = errors.New("no such field")

// failing matches until an event.
type failing struct{ at uint64 }

func (f failing) Match(_ []byte, v *eventwire.View) (bool, error) {
	if v.Offset == f.at {
		return false, errPredicate
	}
	return true, nil
}

// TestPredicateFails gives the events before the one on which the condition fails, tells where that is, and then the condition's error.
func TestPredicateFails(t *testing.T) {
	r := newRig(t).open()
	defer r.close()
	r.mustAppend(one("a", "1", event.Expect{}, "1", "2", "3", "4"))
	got, err := r.s.Read(t.Context(), event.ReadSpec{Scope: event.ScopeAll, Where: failing{3}})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	events, at, err := drain(t.Context(), got)
	if len(events) != 2 || at.Offset != 2 || !errors.Is(err, errPredicate) {
		t.Fatalf("%d events up to %d, %v", len(events), at.Offset, err)
	}
	if _, err := got.Next(t.Context()); !errors.Is(err, errPredicate) {
		t.Fatalf("then %v", err)
	}
}
