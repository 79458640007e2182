package peer

import (
	"fmt"
	"testing"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

func TestRemoteShard(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	at := uint64(2)
	s := a.RemoteShard(1, func() (uint64, bool) { return at, at != 0 })
	list, done := calls(commitOf("1", exactly(0), 1), commitOf("2", exactly(1), 1))
	s.Submit(list)
	for range list {
		if c := receive(t, done); c.Err != nil {
			t.Fatal(c.Err)
		}
	}
	h, pos, err := s.Head(within(t), []byte("a"), []byte("k"))
	if want, wantPos, _ := b.h.shard.Head(t.Context(), []byte("a"), []byte("k")); err != nil || h != want || pos != wantPos || h.Revision != 2 {
		t.Errorf("%+v %+v %v", h, pos, err)
	}
	if h, _, err := s.Head(within(t), []byte("none"), nil); err != nil || h != (event.Head{}) {
		t.Errorf("%+v %v", h, err)
	}
	streams, more, err := s.Streams([]byte("a"), nil, nil, false, 10)
	if err != nil || more || len(streams) != 1 || string(streams[0].Key) != "k" || streams[0].Revision != 2 || streams[0].Time == 0 {
		t.Errorf("%+v %v %v", streams, more, err)
	}
	if streams, _, err = s.Streams([]byte("a"), nil, []byte("k"), true, 10); err != nil || len(streams) != 0 {
		t.Errorf("%+v %v", streams, err)
	}
	if n, err := s.TopicEvents([]byte("a")); err != nil || n != 2 {
		t.Error(n, err)
	}
	now := time.Now()
	if counts, err := s.Counts(within(t), []byte("a"), now, now.Add(time.Hour), 3); err != nil || fmt.Sprint(counts) != "[1 2 3]" {
		t.Error(counts, err)
	}
	_, err = s.Counts(within(t), []byte("a"), now, now, 3)
	if e := wantCode(t, err, errs.Invalid); e.Details["field"] != "to" {
		t.Errorf("%+v", e)
	}
	r, err := s.Read(within(t), event.ReadSpec{Scope: event.ScopeAll})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, r); err != nil || len(got) != 2 {
		t.Error(got, err)
	}
	b.h.shard.Fail(errs.New(errs.NoSpace, "full"))
	_, _, err = s.Head(within(t), []byte("a"), nil)
	wantCode(t, err, errs.NoSpace)

	at = 0
	_, _, err = s.Head(within(t), []byte("a"), nil)
	wantCode(t, err, errs.NoLeader)
	_, err = s.Read(within(t), event.ReadSpec{Scope: event.ScopeAll})
	wantCode(t, err, errs.NoLeader)
	list, done = calls(commitOf("1", event.Expect{}, 1))
	s.Submit(list)
	wantCode(t, receive(t, done).Err, errs.NoLeader)
	at = 2
	b.kill(t)
	_, err = s.TopicEvents([]byte("a"))
	wantCode(t, err, errs.Unavailable)
}

func TestQuestionsAboutShards(t *testing.T) {
	t.Parallel()
	h := newHost()
	_, handled, _ := AnswerShard(t.Context(), h.shardOf, "other", nil)
	if handled {
		t.Error("another's method was answered")
	}
	_, handled, err := AnswerShard(t.Context(), h.shardOf, methodHead, []byte{0xff})
	if !handled {
		t.Error("not answered")
	}
	wantCode(t, err, errs.Invalid)
	_, _, err = AnswerShard(t.Context(), h.shardOf, methodHead, []byte{8, 9})
	wantCode(t, err, errs.NotFound)
}
