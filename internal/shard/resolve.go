package shard

import (
	"bytes"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/seglog"
)

// resolver makes the look-ups that judging must not make: it may read the disk, and runs outside the core, beside it.
type resolver struct {
	log  *seglog.Log
	ix   *index.Index
	tail *tail
}

func newResolver(c *Core) *resolver { return &resolver{log: c.log, ix: c.ix, tail: c.tail} }

// resolve fills a task with what the log holds about its streams and ids. It may be called again: it starts anew.
func (r *resolver) resolve(t *task) error {
	t.generation = r.ix.Generation()
	t.checked, t.found, t.prior = t.checked[:0], t.found[:0], nil
	if t.ids == nil {
		hashes(t)
	}
	commit := t.call.Commit
	t.heads = t.head1[:0]
	n := 0
	for i := range commit.Streams {
		s := &commit.Streams[i]
		h, _, err := r.ix.SealedHead(s.Topic, s.Key)
		if err != nil {
			return err
		}
		t.heads = append(t.heads, h)
		for j := range s.Events {
			if err := r.findID(t, s, n, j); err != nil {
				return err
			}
			n++
		}
		if k := s.Expect.Kind; k == event.Exact || k == event.None {
			if err := r.findExpected(t, s, n-len(s.Events), h.Revision); err != nil {
				return err
			}
		}
	}
	if t.command {
		return r.findCommand(t)
	}
	return nil
}

// candidates gives the offsets of events that may have an id: hashes can collide, so each is compared in full.
func (r *resolver) candidates(hash uint64, room []uint64) ([]uint64, error) {
	offsets, err := r.ix.SealedIDs(hash, room)
	if err != nil {
		return nil, err
	}
	return r.ix.ActiveIDs(hash, offsets), nil
}

func (r *resolver) findID(t *task, s *event.Append, n, j int) error {
	var room [4]uint64
	offsets, err := r.candidates(t.ids[n], room[:0])
	if err != nil {
		return err
	}
	for _, offset := range offsets {
		v, err := r.view(offset)
		if err != nil {
			return err
		}
		t.checked = append(t.checked, offset)
		if e := &s.Events[j]; bytes.Equal(v.Topic, s.Topic) && bytes.Equal(v.Key, s.Key) && bytes.Equal(v.ID, e.ID) {
			t.found = append(t.found, found{event: n, offset: offset, revision: v.Revision, time: v.Recorded, same: event.SameContent(v.Event, e.Bytes)})
		}
	}
	return nil
}

// findExpected compares an append that expects an exact revision, or none, with what stands after it: a retry is recognised for ever,
// whatever the id window has forgotten.
func (r *resolver) findExpected(t *task, s *event.Append, first int, sealed uint64) error {
	if h, ok := r.ix.ActiveHead(s.Topic, s.Key); ok {
		sealed = h.Revision
	}
	after := s.Expect.Revision
	if s.Expect.Kind == event.None {
		after = 0
	}
	if n := uint64(len(s.Events)); sealed < n || sealed-n < after {
		return nil
	}
	it := r.ix.Stream(s.Topic, s.Key, after+1, false)
	defer it.Close()
	var at [16]index.Posting
	var all []found
	for len(all) < len(s.Events) {
		n, err := it.Next(at[:min(len(at), len(s.Events)-len(all))])
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		for _, p := range at[:n] {
			v, err := r.view(p.Offset)
			if err != nil {
				return err
			}
			e := &s.Events[len(all)]
			if !event.SameContent(v.Event, e.Bytes) {
				return nil
			}
			all = append(all, found{event: first + len(all), offset: p.Offset, revision: v.Revision, time: v.Recorded, same: true, expected: true})
		}
	}
	t.found = append(t.found, all...)
	return nil
}

func (r *resolver) findCommand(t *task) error {
	var room [4]uint64
	offsets, err := r.candidates(t.ids[len(t.ids)-1], room[:0])
	if err != nil {
		return err
	}
	commit := t.call.Commit
	for _, offset := range offsets {
		t.checked = append(t.checked, offset)
		cmd, o, at, err := r.command(offset)
		if err != nil {
			return err
		}
		if s := &commit.Streams[0]; cmd != nil && bytes.Equal(cmd.Topic, s.Topic) && bytes.Equal(cmd.Key, s.Key) && bytes.Equal(cmd.ID, commit.CommandID) && (t.prior == nil || t.prior.Position.Offset < o.Position.Offset) {
			t.prior, t.priorTime, t.priorDigest, t.priorSame = &o, at, cmd.Digest, cmd.Digest == commit.Digest()
		}
	}
	return nil
}

// view reads the event at an offset.
func (r *resolver) view(offset uint64) (eventwire.View, error) {
	var v eventwire.View
	loc, err := r.ix.Locate(offset)
	if err != nil {
		return v, err
	}
	if data, ok := r.tail.entry(loc.Entry); ok {
		return v, eventwire.ViewRecorded(recordAt(data, loc), &v)
	}
	_, payload, err := r.log.ReadRecord(loc.Entry, loc.Off, loc.Size, nil)
	if err != nil {
		return v, err
	}
	return v, eventwire.ViewRecorded(payload, &v)
}

func recordAt(data []byte, loc index.Loc) []byte {
	start := loc.Off + seglog.RecordHeader
	return data[start : start+loc.Size : start+loc.Size]
}

// command reads the command record in front of the event at an offset, and the outcome of its commit. It gives nil when that
// event does not begin a command's commit: another id had the same hash.
func (r *resolver) command(offset uint64) (*event.Command, event.Outcome, int64, error) {
	var o event.Outcome
	loc, err := r.ix.Locate(offset)
	if err != nil {
		return nil, o, 0, err
	}
	es, err := r.log.Entries(loc.Entry, loc.Entry+1, 1)
	if err != nil {
		return nil, o, 0, err
	}
	walk := seglog.WalkRecords(es[0].Data)
	var cmd *event.Command
	var reply *event.Payload
	for walk.Next() {
		switch event.Kind(walk.Kind()).Base() {
		case event.KindCommand:
			c, err := event.DecodeCommand(walk.Payload())
			if err != nil {
				return nil, o, 0, err
			}
			cmd = &c
		case event.KindReply:
			p, err := event.DecodeReply(walk.Payload())
			if err != nil {
				return nil, o, 0, err
			}
			p.Data = bytes.Clone(p.Data) // not the whole entry
			reply = &p
		case event.KindEvent:
			if walk.Off() >= loc.Off {
				return r.outcome(cmd, reply, &walk)
			}
			cmd, reply = nil, nil
		}
	}
	return nil, o, 0, walk.Err()
}

// outcome rebuilds what a command's caller was told, from the events that follow its record.
func (r *resolver) outcome(cmd *event.Command, reply *event.Payload, walk *seglog.Records) (*event.Command, event.Outcome, int64, error) {
	o := event.Outcome{Reply: reply}
	var v eventwire.View
	if cmd == nil {
		return nil, o, 0, nil
	}
	for i, count := range cmd.Events {
		var so event.StreamOutcome
		for j := range count {
			if i+int(j) > 0 && !walk.Next() {
				return nil, o, 0, walk.Err()
			}
			if err := eventwire.ViewRecorded(walk.Payload(), &v); err != nil {
				return nil, o, 0, err
			}
			if j == 0 {
				so.FirstRevision, so.FirstOffset = v.Revision, v.Offset
			}
			so.LastRevision, so.LastOffset = v.Revision, v.Offset
		}
		o.Streams = append(o.Streams, so)
		o.Position.Offset = so.LastOffset
	}
	return cmd, o, v.Recorded, nil
}
