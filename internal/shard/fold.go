package shard

import (
	"bytes"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
)

// Fold reads one entry after the other: the one place that knows what an entry of a shard consists of. Loading at start and offline checks use it too.
type Fold struct {
	Shard      uint32
	LastOffset uint64
	LastTime   int64
	Settings   *event.Settings
	Events     []index.Event
	Commands   []Command
	States     []State

	carried *State // of the commit at hand, until the event that it is the state after
}

// State tells that an entry carries a state: that of a stream at a revision. Topic and Key are parts of the entry.
type State struct {
	Topic, Key []byte
	Revision   uint64
	Loc        index.Loc
}

// Command is a command id that an entry carries: its hash, the offset of its commit's first event, and its record.
type Command struct {
	Hash, Offset uint64
	Loc          index.Loc
}

// Entry folds the next entry. An error says that it contradicts what was promised of it.
func (f *Fold) Entry(e replica.Entry) error {
	walk := seglog.WalkRecords(e.Data)
	if !walk.Next() || event.Kind(walk.Kind()).Base() != event.KindPrelude {
		return broken(e, "does not begin with a prelude")
	}
	p, err := event.DecodePrelude(walk.Payload())
	if err != nil {
		return err
	}
	switch {
	case p.Term != e.Term:
		return broken(e, "was judged in term %d and committed in term %d", p.Term, e.Term)
	case p.FirstOffset != f.LastOffset+1:
		return broken(e, "was judged for offset %d and applied at %d", p.FirstOffset, f.LastOffset+1)
	case p.Recorded < f.LastTime:
		return broken(e, "was recorded before the entry in front of it")
	}
	f.Events, f.Commands, f.States, f.carried = make([]index.Event, 0, p.Events), nil, nil, nil
	for walk.Next() {
		if err := f.record(e, &walk); err != nil {
			return err
		}
	}
	if walk.Err() != nil {
		return broken(e, "%v", walk.Err())
	}
	if len(f.Events) != int(p.Events) {
		return broken(e, "announces %d events and has %d", p.Events, len(f.Events))
	}
	f.LastTime = p.Recorded
	return nil
}

func (f *Fold) record(e replica.Entry, w *seglog.Records) error {
	switch kind := event.Kind(w.Kind()).Base(); kind {
	case event.KindEvent:
		return f.event(e, w)
	case event.KindCommand:
		cmd, err := event.DecodeCommand(w.Payload())
		if err != nil {
			return err
		}
		f.Commands = append(f.Commands, Command{
			Hash: index.CommandHash(cmd.Topic, cmd.Key, cmd.ID), Offset: f.LastOffset + 1,
			Loc: index.Loc{Entry: e.Index, Off: w.Off(), Size: uint32(len(w.Payload()))},
		})
	case event.KindReply:
		_, err := event.DecodeReply(w.Payload())
		return err
	case event.KindState:
		return f.state(e, w)
	case event.KindSettings:
		s, err := event.DecodeSettings(w.Payload())
		if err != nil {
			return err
		}
		f.Settings = &s
	default:
		return errs.New(errs.Unsupported, "entry %d of shard %d has a record of kind %d, which this version does not know: run the version that wrote it, or a newer one", e.Index, f.Shard, kind)
	}
	return nil
}

func (f *Fold) event(e replica.Entry, w *seglog.Records) error {
	var v eventwire.View
	if err := eventwire.ViewRecorded(w.Payload(), &v); err != nil {
		return broken(e, "has an event that does not parse: %v", err)
	}
	if v.Offset != f.LastOffset+1 {
		return broken(e, "has offset %d after %d", v.Offset, f.LastOffset)
	}
	f.LastOffset++
	if c := f.carried; c != nil && v.Revision == c.Revision && bytes.Equal(v.Topic, c.Topic) && bytes.Equal(v.Key, c.Key) {
		f.carried = nil
	}
	if f.carried != nil && event.Kind(w.Kind()).Ends() {
		return broken(e, "carries a state of %s/%s at revision %d, and no event that leads to it", f.carried.Topic, f.carried.Key, f.carried.Revision)
	}
	tags, err := tagHashes(&v)
	if err != nil {
		return broken(e, "has an event that does not parse: %v", err)
	}
	f.Events = append(f.Events, index.Event{
		Offset: v.Offset, Revision: v.Revision, Topic: v.Topic, Key: v.Key, Type: v.Type, Tags: tags, ID: index.IDHash(v.Topic, v.Key, v.ID),
		Loc: index.Loc{Entry: e.Index, Off: w.Off(), Size: uint32(len(w.Payload()))}, Time: v.Recorded,
	})
	return nil
}

func tagHashes(v *eventwire.View) (hashes []uint64, err error) {
	tags := eventwire.WalkTags(v.Event)
	for tags.Next() {
		hashes = append(hashes, index.TagHash(tags.Tag()))
	}
	return hashes, tags.Err()
}

func (f *Fold) state(e replica.Entry, w *seglog.Records) error {
	c, err := event.DecodeCarried(w.Payload())
	if err != nil {
		return err
	}
	f.States = append(f.States, State{Topic: c.Topic, Key: c.Key, Revision: c.Revision, Loc: index.Loc{Entry: e.Index, Off: w.Off(), Size: uint32(len(w.Payload()))}})
	f.carried = &f.States[len(f.States)-1]
	return nil
}

func (f *Fold) index(ix *index.Index) {
	ix.Add(f.Events)
	for _, c := range f.Commands {
		ix.AddCommand(c.Hash, c.Loc, c.Offset)
	}
	for i := range f.States {
		s := &f.States[i]
		ix.AddState(s.Topic, s.Key, s.Revision, s.Loc)
	}
}

// broken says that a committed entry contradicts what was promised of it: a bug or damage that no checksum saw. The shard stops.
func broken(e replica.Entry, format string, args ...any) error {
	return errs.New(errs.Corrupt, "entry %d (term %d) "+format, append([]any{e.Index, e.Term}, args...)...)
}
