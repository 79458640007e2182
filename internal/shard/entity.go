package shard

import (
	"bytes"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/seglog"
)

// Command finds the newest outcome of a command id of a stream, within the id window, and the digest of what was asked for then.
// It tells of what is applied: a command in flight is not found. It reads memory alone when no id has the same hash.
func (s *Shard) Command(topic, key, id []byte) (o event.Outcome, digest [32]byte, ok bool, err error) {
	if err := s.enter(); err != nil {
		return o, digest, false, err
	}
	defer s.leave()
	var room [4]uint64
	if offsets, err := s.look.candidates(index.CommandHash(topic, key, id), room[:0]); err != nil || len(offsets) == 0 {
		return o, digest, false, s.damaged(err) // as nearly always
	}
	t := task{call: &event.Call{Commit: &event.Commit{CommandID: id, Streams: []event.Append{{Topic: topic, Key: key}}, Request: &digest}}}
	hashes(&t)
	if err := s.look.findCommand(&t); err != nil || t.prior == nil {
		return o, digest, false, s.damaged(err)
	}
	last, _, _ := s.tail.end()
	w := s.status.Load().window
	if last-t.prior.Position.Offset >= w.IDWindowEvents || s.o.Clock.Now().UnixNano()-t.priorTime >= int64(w.IDWindow) {
		return o, digest, false, nil
	}
	o = *t.prior
	o.Position, o.Repeated = s.position(o.Position.Offset), true
	return o, t.priorDigest, true, nil
}

// Revision is the newest revision of a stream that is applied here.
func (s *Shard) Revision(topic, key []byte) (uint64, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	h, _, err := s.ix.Head(topic, key)
	return h.Revision, s.damaged(err)
}

// Load reads what an entity's state is made of, as far as it is applied here.
func (s *Shard) Load(spec event.LoadSpec) (event.Loaded, error) {
	if err := s.enter(); err != nil {
		return event.Loaded{}, err
	}
	defer s.leave()
	l := loader{r: reader{s: s}, spec: spec}
	if err := l.load(); err != nil {
		return event.Loaded{}, s.damaged(err)
	}
	return l.Loaded, nil
}

// loader makes one Loaded.
type loader struct {
	event.Loaded
	r    reader // for records, wherever they are
	spec event.LoadSpec
	upTo uint64
}

func (l *loader) load() error {
	h, _, err := l.r.s.ix.Head(l.spec.Topic, l.spec.Key)
	if err != nil {
		return err
	}
	l.Head, l.upTo, l.Base = event.Head(h), h.Revision, l.spec.After
	if l.spec.AtMost > 0 {
		l.upTo = min(l.upTo, l.spec.AtMost)
	}
	if l.spec.After == 0 {
		if err := l.carried(); err != nil {
			return err
		}
	}
	if l.Revision = l.Base; l.Revision >= l.upTo {
		return l.atBase()
	}
	return l.events()
}

// atBase completes what has no events to read.
func (l *loader) atBase() error {
	if l.Revision == 0 {
		return nil
	}
	p, ok, err := l.r.s.postingAt(l.spec.Topic, l.spec.Key, l.Revision)
	if ok {
		l.Position = l.r.s.position(p.Offset)
	}
	return err
}

// carried finds the newest state to begin with.
func (l *loader) carried() error {
	atMost := l.upTo
	if l.spec.Below > 0 {
		atMost = min(atMost, l.spec.Below-1)
	}
	for atMost > 0 {
		revision, loc, ok, err := l.r.s.ix.State(l.spec.Topic, l.spec.Key, atMost)
		if err != nil || !ok {
			return err
		}
		c, err := l.state(revision, loc)
		if err != nil {
			return err
		}
		switch {
		case c.Type == event.Tombstone:
			l.Base, l.Deleted = revision, revision == l.upTo
			return nil
		case l.spec.Accept != nil && l.spec.Accept(c.Type, c.Version):
			c.Data = bytes.Clone(c.Data)
			l.Base, l.Carried = revision, &c.State
			return nil
		}
		atMost = revision - 1
	}
	return nil
}

func (l *loader) state(revision uint64, loc index.Loc) (event.Carried, error) {
	payload, _, err := l.r.record(loc)
	if err != nil {
		return event.Carried{}, err
	}
	c, err := event.DecodeCarried(payload)
	if err == nil && (c.Revision != revision || !bytes.Equal(c.Topic, l.spec.Topic) || !bytes.Equal(c.Key, l.spec.Key)) {
		err = errs.New(errs.Corrupt, "the index of shard %d points from the state of %s/%s at revision %d to another one: stop the node, delete its index folder and start it again", l.r.s.o.Number, l.spec.Topic, l.spec.Key, revision)
	}
	return c, err
}

// events reads what follows the base.
func (l *loader) events() error {
	it := l.r.s.ix.Stream(l.spec.Topic, l.spec.Key, l.Base+1, false)
	defer it.Close()
	var at [64]index.Posting
	for size := 0; l.Revision < l.upTo; {
		n, err := it.Next(at[:min(uint64(len(at)), l.upTo-l.Revision)])
		if err != nil {
			return err
		}
		if n == 0 {
			return errs.New(errs.Corrupt, "the index of shard %d ends stream %s/%s before revision %d: stop the node, delete its index folder and start it again", l.r.s.o.Number, l.spec.Topic, l.spec.Key, l.upTo)
		}
		for _, p := range at[:n] {
			if size > 0 && size+int(p.Loc.Size) > l.spec.Bytes {
				l.More = true
				return nil
			}
			if err := l.event(p); err != nil {
				return err
			}
			size += int(p.Loc.Size) + seglog.RecordHeader
		}
	}
	return nil
}

func (l *loader) event(p index.Posting) error {
	payload, _, err := l.r.record(p.Loc)
	if err != nil {
		return err
	}
	var v eventwire.View
	if err := eventwire.ViewRecorded(payload, &v); err != nil {
		return err
	}
	if v.Offset != p.Offset || v.Revision != l.Revision+1 || !bytes.Equal(v.Key, l.spec.Key) || !bytes.Equal(v.Topic, l.spec.Topic) {
		return errs.New(errs.Corrupt, "the index of shard %d points from offset %d to another event: stop the node, delete its index folder and start it again", l.r.s.o.Number, p.Offset)
	}
	l.Revision, l.Position = v.Revision, l.r.s.position(v.Offset)
	if l.Deleted = string(v.Type) == event.Tombstone; l.Deleted {
		l.Base, l.Carried, l.Events = v.Revision, nil, nil
		return nil
	}
	l.Events = append(l.Events, bytes.Clone(payload))
	return nil
}
