package shard

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
)

// command makes an entity's commit: events after a revision, and what was asked for.
func command(key, id string, after uint64, events ...string) *event.Commit {
	c := one("bank", key, event.Expect{Kind: event.Exact, Revision: after}, events...)
	digest := event.RequestDigest("do", &event.Payload{Data: []byte(id)})
	c.CommandID, c.Request = []byte(id), &digest
	return c
}

func withReply(c *event.Commit, data string) *event.Commit {
	c.Reply = &event.Payload{ContentType: "application/json", Type: "R", Data: []byte(data)}
	return c
}

func withState(c *event.Commit, version uint32, data string) *event.Commit {
	c.State = &event.State{Version: version, Payload: event.Payload{Type: "S", Data: []byte(data)}}
	return c
}

// TestFirstReplyAgain repeats commands while they are new, when their segment is sealed, and after restarts: each gets its first
// reply, whatever was decided the second time.
func TestFirstReplyAgain(t *testing.T) {
	r := newRig(t).open().mustServe()
	defer func() { r.close() }()
	first := r.mustAppend(withReply(command("a", "c1", 0, "e1", "e2"), `{"n":1}`))
	r.mustAppend(command("a", "c2", 2, "e3"))
	check := func(when string) {
		t.Helper()
		again := r.mustAppend(withReply(command("a", "c1", 3, "other"), `{"n":2}`))
		if !again.Repeated || again.Reply == nil || string(again.Reply.Data) != `{"n":1}` || again.Reply.Type != "R" || !cmp.Equal(again.Streams, first.Streams) || again.Position != first.Position {
			t.Fatalf("%s: %+v", when, again)
		}
		if again := r.mustAppend(command("a", "c2", 7, "other")); !again.Repeated || again.Reply != nil || again.Streams[0].LastRevision != 3 {
			t.Fatalf("%s: %+v", when, again)
		}
		other := command("a", "c1", 3, "other")
		other.Request = &[32]byte{1}
		_, err := r.append(other)
		wantCode(t, err, errs.Invalid)
		o, digest, ok, err := r.s.Command([]byte("bank"), []byte("a"), []byte("c1"))
		if err != nil || !ok || !o.Repeated || string(o.Reply.Data) != `{"n":1}` || o.Position != first.Position || digest != event.RequestDigest("do", &event.Payload{Data: []byte("c1")}) {
			t.Fatalf("%s: %+v %v %v", when, o, ok, err)
		}
		if _, _, ok, err := r.s.Command([]byte("bank"), []byte("b"), []byte("c1")); ok || err != nil {
			t.Fatalf("%s: another entity's command is known: %v", when, err)
		}
	}
	check("new")
	r.close()
	r.open().mustServe()
	check("opened again")
	r.fill("filler", 3)
	check("sealed")
	r.close()
	r.open().mustServe()
	check("sealed and opened again")
	r.clock.Advance(2 * time.Hour)
	if _, _, ok, err := r.s.Command([]byte("bank"), []byte("a"), []byte("c1")); ok || err != nil {
		t.Fatalf("known after the id window: %v", err)
	}
}

// TestLoad loads an entity at every revision, with its states in memory and in sealed segments, and in pieces of every size.
func TestLoad(t *testing.T) {
	r := newRig(t).open().mustServe()
	defer func() { r.close() }()
	const last = 40
	for i := uint64(0); i < last; i++ {
		c := command("a", fmt.Sprint("c", i), i, fmt.Sprint("e", i))
		switch revision := i + 1; {
		case revision%10 == 0:
			withState(c, 2, fmt.Sprint("two ", revision))
		case revision%5 == 0:
			withState(c, 1, fmt.Sprint("one ", revision))
		}
		r.mustAppend(c)
		if i%7 == 0 {
			r.fill(fmt.Sprint("filler", i), 1)
		}
	}
	for range 2 {
		for at := uint64(1); at <= last; at++ {
			for version, every := range map[uint32]uint64{1: 10, 2: 10, 3: 100} {
				base := uint64(0)
				if n := at / every * every; version == 2 {
					base = n
				} else if n = (at + 5) / every * every; version == 1 && n > 5 {
					base = n - 5
				}
				l := r.mustLoad(event.LoadSpec{Key: []byte("a"), AtMost: at, Accept: func(_ string, v uint32) bool { return v == version }, Bytes: 1 << 20})
				if l.Base != base || (l.Carried != nil) != (base > 0) || l.Revision != at || len(l.Events) != int(at-base) || l.More || l.Head.Revision != last {
					t.Fatalf("version %d at %d: base %d, %d events to %d; want base %d", version, at, l.Base, len(l.Events), l.Revision, base)
				}
			}
		}
		r.close()
		r.open().mustServe()
	}
	n, after := 0, uint64(0)
	for {
		l := r.mustLoad(event.LoadSpec{Key: []byte("a"), After: after, Bytes: 200})
		n += len(l.Events)
		if after = l.Revision; !l.More {
			break
		}
	}
	if n != last || after != last {
		t.Fatalf("%d events in pieces, to %d", n, after)
	}
	if l := r.mustLoad(event.LoadSpec{Key: []byte("never")}); l.Revision != 0 || l.Head.Revision != 0 || l.Deleted || len(l.Events) != 0 {
		t.Fatalf("what never was: %+v", l)
	}
}

func (r *rig) mustLoad(spec event.LoadSpec) event.Loaded {
	r.t.Helper()
	spec.Topic = []byte("bank")
	l, err := r.s.Load(spec)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// TestLoadAfterATombstone holds that what was before an end leads to nothing, with the state that says so and without.
func TestLoadAfterATombstone(t *testing.T) {
	for _, marked := range []bool{true, false} {
		r := newRig(t).open().mustServe()
		r.mustAppend(withState(command("a", "c1", 0, "e1"), 1, "one"))
		end := tombstone("a", 1)
		if marked {
			end.State = &event.State{Payload: event.Payload{Type: event.Tombstone}}
		}
		o := r.mustAppend(end)
		all := event.LoadSpec{Key: []byte("a"), Accept: func(string, uint32) bool { return true }, Bytes: 1 << 20}
		if l := r.mustLoad(all); !l.Deleted || l.Base != 2 || l.Revision != 2 || l.Carried != nil || len(l.Events) != 0 || l.Position != o.Position {
			t.Fatalf("marked %v: %+v", marked, l)
		}
		r.mustAppend(command("a", "c2", 2, "e3"))
		if l := r.mustLoad(all); l.Deleted || l.Base != 2 || l.Revision != 3 || l.Carried != nil || len(l.Events) != 1 {
			t.Fatalf("marked %v, a new life: %+v", marked, l)
		}
		if l := r.mustLoad(event.LoadSpec{Key: []byte("a"), AtMost: 1, Accept: all.Accept}); l.Deleted || string(l.Carried.Data) != "one" {
			t.Fatalf("marked %v, before its end: %+v", marked, l)
		}
		r.close()
	}
}

func tombstone(key string, after uint64) *event.Commit {
	c := one("bank", key, event.Expect{Kind: event.Exact, Revision: after})
	b := eventwire.AppendEvent(nil, &eventwire.Event{ID: "end", Type: event.Tombstone})
	c.Streams[0].Events = []event.Prepared{{ID: []byte("end"), Type: []byte(event.Tombstone), Bytes: b}}
	return c
}

// TestAfterALostCall holds that a commit is refused whose predecessor was not accepted, though another has brought the stream to
// the revision that it expects.
func TestAfterALostCall(t *testing.T) {
	r := newRig(t).open().mustServe()
	defer r.close()
	r.mustAppend(one("bank", "a", event.Expect{}, "e1"))
	for name, lost := range map[string]*event.Commit{
		"a conflict": one("bank", "a", event.Expect{Kind: event.Exact, Revision: 7}, "x"),
		"a repeat":   one("bank", "a", event.Expect{}, "e1"),
	} {
		h, _, _ := r.s.Head(t.Context(), []byte("bank"), []byte("a"))
		got := make(chan *event.Call, 3)
		call := func(c *event.Commit, after *event.Call) *event.Call {
			return &event.Call{Commit: c, After: after, Done: func(c *event.Call) { got <- c }}
		}
		first := call(lost, nil)
		next := call(one("bank", "a", event.Expect{Kind: event.Exact, Revision: h.Revision + 1}, name+" next"), first)
		r.s.Submit([]*event.Call{first, call(one("bank", "a", event.Expect{}, name+" foreign"), nil), next})
		for range 3 {
			await(t, got)
		}
		wantCode(t, next.Err, errs.Conflict)
		if next.After != nil {
			t.Fatal("the chain is kept")
		}
	}
	first := &event.Call{Commit: one("bank", "b", event.Expect{}, "e1"), Done: func(*event.Call) {}}
	got := make(chan *event.Call, 1)
	next := &event.Call{Commit: one("bank", "b", event.Expect{Kind: event.Exact, Revision: 1}, "e2"), After: first, Done: func(c *event.Call) { got <- c }}
	r.s.Submit([]*event.Call{first, next})
	if c := await(t, got); c.Err != nil {
		t.Fatal(c.Err)
	}
}

// TestAStateBesideTheTruth holds that a carried state is refused which is not the one its commit leads to.
func TestAStateBesideTheTruth(t *testing.T) {
	for name, c := range map[string]event.Carried{
		"another revision": {Topic: []byte("bank"), Key: []byte("a"), Revision: 2},
		"another entity":   {Topic: []byte("bank"), Key: []byte("b"), Revision: 1},
		"its own":          {Topic: []byte("bank"), Key: []byte("a"), Revision: 1},
	} {
		p := event.Prelude{Term: 1, FirstOffset: 1, Events: 1}
		data := event.AppendPrelude(seglog.BeginRecord(nil, byte(event.KindPrelude)), &p)
		seglog.EndRecord(data, 0, 1, 1)
		at := len(data)
		data = event.AppendCarried(seglog.BeginRecord(data, byte(event.KindState)), &c)
		seglog.EndRecord(data, at, 1, 1)
		at = len(data)
		e := one("bank", "a", event.Expect{}, "x").Streams[0]
		data = eventwire.AppendRecorded(seglog.BeginRecord(data, byte(event.KindEvent|event.EndOfCommit)), e.Events[0].Bytes, 1, 1, e.Topic, e.Key, 0)
		seglog.EndRecord(data, at, 1, 1)
		f := Fold{Shard: 1}
		err := f.Entry(replica.Entry{Index: 1, Term: 1, Type: seglog.TypeRecords, Data: data})
		if name != "its own" {
			wantCode(t, err, errs.Corrupt)
			continue
		}
		want := []State{{Topic: c.Topic, Key: c.Key, Revision: 1, Loc: index.Loc{Entry: 1, Off: f.States[0].Loc.Off, Size: f.States[0].Loc.Size}}}
		if err != nil || cmp.Diff(want, f.States) != "" {
			t.Fatalf("%v %s", err, cmp.Diff(want, f.States))
		}
	}
}
