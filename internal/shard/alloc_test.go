package shard

import (
	"fmt"
	"testing"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/event"
)

// TestReadAllocates holds that reading copies no event into memory of its own, one by one: a whole shard is read with a handful of
// allocations for each batch.
func TestReadAllocates(t *testing.T) {
	r := newRig(t)
	r.o.Limits.SegmentBytes = 8 << 20
	r.open().mustServe()
	defer r.close()
	const events = 4000
	for i := range events / 16 {
		var ids []string
		for j := range 16 {
			ids = append(ids, fmt.Sprintf("%d-%d", i, j))
		}
		r.mustAppend(one("a", fmt.Sprint(i%7), event.Expect{}, ids...))
	}
	for _, spec := range []event.ReadSpec{{Scope: event.ScopeAll}, {Scope: event.ScopeStream, Topic: []byte("a"), Key: []byte("3")}} {
		n := 0
		allocs := testing.AllocsPerRun(3, func() {
			reader, err := r.s.Read(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			n = 0
			for {
				b, err := reader.Next(t.Context())
				if err != nil {
					break
				}
				n += len(b.Events)
			}
		})
		if perEvent := allocs / float64(n); n < events/8 || perEvent > 0.25 {
			t.Errorf("scope %d: %.2f allocations for each of %d events", spec.Scope, perEvent, n)
		}
	}
}

// TestJudgingAllocates holds the memory that judging and building take for an event.
func TestJudgingAllocates(t *testing.T) {
	r := newRig(t)
	r.o.Limits.SegmentBytes, r.o.Limits.EntryBytes = 64<<20, 1<<20
	r.open().mustServe()
	defer r.close()
	const calls = 512
	next := 0
	got := make(chan *event.Call, calls)
	batch := make([]*event.Call, calls)
	prepared := make([]event.Prepared, 5*calls)
	for i := range prepared {
		id := fmt.Sprintf("%016x", i)
		b := eventwire.AppendEvent(nil, &eventwire.Event{ID: id, Type: "Happened", Data: make([]byte, 200)})
		prepared[i] = event.Prepared{ID: []byte(id), Type: []byte("Happened"), Bytes: b}
	}
	commits, appends := make([]event.Commit, 5*calls), make([]event.Append, 5*calls)
	allocs := testing.AllocsPerRun(3, func() {
		for i := range batch {
			appends[next] = event.Append{Topic: []byte("a"), Key: []byte("k"), Events: prepared[next : next+1]}
			commits[next] = event.Commit{Streams: appends[next : next+1], Bytes: len(prepared[next].Bytes)}
			batch[i] = &event.Call{Commit: &commits[next], Done: func(c *event.Call) { got <- c }}
			next++
		}
		r.s.Submit(batch)
		for range batch {
			if c := <-got; c.Err != nil {
				t.Fatal(c.Err)
			}
		}
	})
	// Two of them are the test's: the call and its topic and key.
	if perEvent := allocs / calls; perEvent > 8 {
		t.Errorf("%.1f allocations for each event", perEvent)
	} else {
		t.Logf("%.1f allocations for each event", perEvent)
	}
}
