package sim

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/seglog"
)

// fact is an event as the log holds it in the end.
type fact struct {
	key, id          string
	offset, revision uint64
	commit           int
}

// check holds the finished run against every promise.
func (w *world) check() error {
	if err := w.sameLogs(); err != nil {
		return err
	}
	facts, err := w.facts()
	if err != nil {
		return err
	}
	if err := w.outcomes(facts); err != nil {
		return err
	}
	if err := w.linearizable(facts); err != nil {
		return err
	}
	return w.indexes(facts)
}

// sameLogs compares the members' logs entry by entry.
func (w *world) sameLogs() error {
	first := w.kept()[0].shard
	last := first.Status().Applied
	want, err := first.Entries(1, last+1)
	if err != nil {
		return err
	}
	for _, n := range w.kept()[1:] {
		got, err := n.shard.Entries(1, last+1)
		if err != nil {
			return err
		}
		for i := range want {
			if want[i].Term != got[i].Term || !bytes.Equal(want[i].Data, got[i].Data) {
				return fmt.Errorf("entry %d differs between nodes %d and %d", i+1, w.kept()[0].id, n.id)
			}
		}
	}
	return nil
}

// facts folds the log by the formats alone, and checks that numbers have no gaps.
func (w *world) facts() ([]fact, error) {
	es, err := w.kept()[0].shard.Entries(1, w.kept()[0].shard.Status().Applied+1)
	if err != nil {
		return nil, err
	}
	var all []fact
	revisions := map[string]uint64{}
	commit := 0
	for _, e := range es {
		if e.Type != seglog.TypeRecords {
			continue
		}
		walk := seglog.WalkRecords(e.Data)
		for walk.Next() {
			if event.Kind(walk.Kind()).Base() != event.KindEvent {
				continue
			}
			var r eventwire.Recorded
			if err := eventwire.DecodeRecorded(walk.Payload(), &r); err != nil {
				return nil, err
			}
			if r.Offset != uint64(len(all))+1 {
				return nil, fmt.Errorf("offset %d follows %d", r.Offset, len(all))
			}
			if revisions[r.Key]++; r.Revision != revisions[r.Key] {
				return nil, fmt.Errorf("stream %s has revision %d where %d was due", r.Key, r.Revision, revisions[r.Key])
			}
			all = append(all, fact{key: r.Key, id: r.ID, offset: r.Offset, revision: r.Revision, commit: commit})
			if event.Kind(walk.Kind()).Ends() {
				commit++
			}
		}
		if walk.Err() != nil {
			return nil, walk.Err()
		}
	}
	return all, nil
}

// outcomes finds what each caller was told in the log.
func (w *world) outcomes(facts []fact) error {
	byID := map[string][]fact{}
	for _, f := range facts {
		byID[f.key+"/"+f.id] = append(byID[f.key+"/"+f.id], f)
	}
	for _, o := range w.history {
		if o.read || !o.done {
			continue
		}
		for i, id := range o.ids {
			fs := byID[o.key+"/"+id]
			switch {
			case o.acked:
				if err := o.holds(i, fs); err != nil {
					return fmt.Errorf("%s/%s: %w", o.key, id, err)
				}
			case o.conflict && !o.repeated && len(fs) > 0:
				return fmt.Errorf("%s/%s was refused with a conflict and is in the log at revision %d", o.key, id, fs[0].revision)
			}
			if o.refused && !o.repeated && len(fs) > 0 {
				return fmt.Errorf("%s/%s was refused, every time, and is in the log at revision %d", o.key, id, fs[0].revision)
			}
			for k := 1; k < len(fs); k++ {
				if fs[k].offset-fs[k-1].offset < uint64(simLimits().IDWindowEvents)/2 {
					return fmt.Errorf("%s/%s was written twice within the window, at offsets %d and %d", o.key, id, fs[k-1].offset, fs[k].offset)
				}
			}
		}
	}
	return nil
}

func (o *op) holds(i int, fs []fact) error {
	for _, f := range fs {
		if f.revision == o.outcome.FirstRevision+uint64(i) && f.offset == o.outcome.FirstOffset+uint64(i) {
			return nil
		}
	}
	return fmt.Errorf("acknowledged at revision %d, offset %d; the log has %v", o.outcome.FirstRevision+uint64(i), o.outcome.FirstOffset+uint64(i), fs)
}

// step is what the model of one stream sees of an operation.
type step struct {
	kind   byte // 'a' an append that was written, 'c' a conflict, 'r' a read
	expect event.Expect
	count  uint64
	first  uint64
	actual uint64
}

// stream is a stream as its users think of it: a number that only appends move.
var stream = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, input, _ any) (bool, any) {
		at, s := state.(uint64), input.(step)
		switch s.kind {
		case 'a':
			return s.expect.Met(at) && s.first == at+1, at + s.count
		case 'c':
			return s.actual == at && !s.expect.Met(at), at
		}
		return s.actual == at, at
	},
}

// linearizable asks porcupine, stream by stream, whether one order explains every answer.
func (w *world) linearizable(facts []fact) error {
	byKey := map[string][]porcupine.Operation{}
	for _, o := range w.history {
		s, ok := o.step(facts)
		if !ok {
			continue
		}
		end := o.returned
		if !o.done {
			end = math.MaxInt64
		}
		byKey[o.key] = append(byKey[o.key], porcupine.Operation{ClientId: o.client, Input: s, Call: o.invoked, Return: end})
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		ops := byKey[key]
		if r := porcupine.CheckOperationsTimeout(stream, ops, 20*time.Second); r != porcupine.Ok {
			return fmt.Errorf("stream %s is not linearizable (%v):\n%s", key, r, w.operations(key))
		}
	}
	return nil
}

// operations lists what the clients did to a stream.
func (w *world) operations(key string) string {
	var b strings.Builder
	for _, o := range w.history {
		if o.key == key {
			fmt.Fprintf(&b, "  client %d [%d,%d] at node %d: %s\n", o.client, o.invoked, o.returned, o.at, o)
		}
	}
	return b.String()
}

func (o *op) String() string {
	switch {
	case o.read:
		return fmt.Sprintf("read: revision %d, answered %v", o.actual, o.done)
	case o.acked:
		return fmt.Sprintf("append of %d expecting %+v: revision %d, offset %d, repeat %v", len(o.ids), o.expect, o.outcome.FirstRevision, o.outcome.FirstOffset, o.repeated)
	case o.conflict:
		return fmt.Sprintf("append of %d expecting %+v: conflict at %d", len(o.ids), o.expect, o.actual)
	}
	return fmt.Sprintf("append of %d expecting %+v: no outcome, refused %v", len(o.ids), o.expect, o.refused)
}

// step translates an operation; one without an outcome counts as written when the log says so.
func (o *op) step(facts []fact) (step, bool) {
	count := uint64(len(o.ids))
	switch {
	case o.read:
		return step{kind: 'r', actual: o.actual}, o.done
	case o.repeated, o.refused:
		// What a repeat did to the stream belongs to the first, or is checked by its revisions.
		return step{}, false
	case o.acked:
		return step{kind: 'a', expect: o.expect, count: count, first: o.outcome.FirstRevision}, true
	case o.conflict:
		return step{kind: 'c', expect: o.expect, actual: o.actual}, true
	}
	for _, f := range facts {
		if f.key == o.key && f.id == o.ids[0] {
			return step{kind: 'a', expect: o.expect, count: count, first: f.revision}, true
		}
	}
	return step{}, false
}

// indexes compares what the index of each member gives with the plain fold.
func (w *world) indexes(facts []fact) error {
	byKey := map[string][]fact{}
	for _, f := range facts {
		byKey[f.key] = append(byKey[f.key], f)
	}
	for _, n := range w.kept() {
		for _, key := range slices.Sorted(maps.Keys(byKey)) {
			if err := sameStream(n.shard.Index(), key, byKey[key]); err != nil {
				return fmt.Errorf("index of node %d: stream %s: %w", n.id, key, err)
			}
		}
		if last, _ := n.shard.Index().Last(); last != uint64(len(facts)) {
			return fmt.Errorf("index of node %d ends at %d, the log at %d", n.id, last, len(facts))
		}
	}
	return nil
}

func sameStream(ix *index.Index, key string, want []fact) error {
	h, _, err := ix.Head([]byte(topic), []byte(key))
	if err != nil {
		return err
	}
	if h.Revision != uint64(len(want)) {
		return fmt.Errorf("head %d, want %d", h.Revision, len(want))
	}
	it := ix.Stream([]byte(topic), []byte(key), 1, false)
	defer it.Close()
	var at [32]index.Posting
	for len(want) > 0 {
		n, err := it.Next(at[:])
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("ends before revision %d", want[0].revision)
		}
		for _, p := range at[:n] {
			if p.Offset != want[0].offset {
				return fmt.Errorf("revision %d at offset %d, want %d", want[0].revision, p.Offset, want[0].offset)
			}
			want = want[1:]
		}
	}
	return nil
}
