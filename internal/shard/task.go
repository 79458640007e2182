package shard

import (
	"time"

	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
)

// task is a call on its way through the core, with the look-ups that were made for it outside.
type task struct {
	call *event.Call
	// generation is the index's at the look-ups: what was in memory then is still in memory while it stands.
	generation uint64
	// heads of the call's streams among the sealed segments, in order.
	heads []index.Head
	// revisions are the newest ones of the call's streams, in order, as judging found them.
	revisions []uint64
	// ids are the hashes of the events' ids, over all streams in order; the command's own comes last.
	ids     []uint64
	command bool
	// unread is why a look-up made again for this task failed; it fails alone.
	unread error
	// checked are the offsets whose ids were compared in full; found are those that were equal.
	checked []uint64
	found   []found
	// prior is the outcome that the command id had before, and whether it was for the same content.
	prior     *event.Outcome
	priorTime int64
	priorSame bool
	// priorDigest is that of the command then.
	priorDigest [32]byte

	head1    [1]index.Head
	rev1     [1]uint64
	id1      [2]uint64
	outcome1 [1]event.StreamOutcome
}

// found is an event of the log that has the id of an event of a call.
type found struct {
	event            int // counted over all streams of the call
	offset, revision uint64
	time             int64
	same             bool // the content, too
	expected         bool // it stands right after the exact revision that the call expects
}

func (t *task) finish() { t.call.Done(t.call) }

// query waits for a moment at which everything acknowledged before is applied.
type query struct {
	deadline time.Time
	err      error
	done     func(error)
}

func (q *query) finish() { q.done(q.err) }

// streamKey names a stream in a map; a topic never contains a zero byte.
func streamKey(dst []byte, topic, key []byte) []byte {
	dst = append(dst, topic...)
	dst = append(dst, 0)
	return append(dst, key...)
}

func hashes(t *task) {
	c := t.call.Commit
	t.ids = t.id1[:0]
	for i := range c.Streams {
		s := &c.Streams[i]
		for j := range s.Events {
			t.ids = append(t.ids, index.IDHash(s.Topic, s.Key, s.Events[j].ID))
		}
	}
	if t.command = len(c.CommandID) > 0; t.command {
		t.ids = append(t.ids, index.CommandHash(c.Streams[0].Topic, c.Streams[0].Key, c.CommandID))
	}
}
