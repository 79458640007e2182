package replica

import (
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/seglog"
)

// storage is the log as Raft reads it: durable entries only, the newest of them from memory.
type storage struct {
	cfg   Config
	log   *seglog.Log
	last  uint64
	cache cache
	// broken is where the log begins for peers because what is before it is sealed and damaged, and failed is damage for which
	// there is no such way out.
	broken uint64
	failed error
}

func newStorage(cfg Config) *storage {
	last := cfg.Disk.Log.Last()
	return &storage{cfg: cfg, log: cfg.Disk.Log, last: last, cache: cache{limit: cfg.CacheBytes, first: last + 1}}
}

func (s *storage) InitialState() (*pb.HardState, *pb.ConfState, error) {
	st := s.cfg.Disk.State.Load()
	hs := &pb.HardState{Term: new(st.Term), Vote: new(st.Vote), Commit: new(s.cfg.Disk.commit)}
	return hs, st.Conf.toPB(), nil
}

func (s *storage) Entries(lo, hi, maxBytes uint64) ([]*pb.Entry, error) {
	if lo < s.first() {
		return nil, raft.ErrCompacted
	}
	if hi > s.last+1 {
		return nil, raft.ErrUnavailable
	}
	if es := s.cache.slice(lo, hi, maxBytes); es != nil {
		return es, nil
	}
	stored, err := s.log.Entries(lo, hi, maxBytes)
	if err != nil {
		return nil, s.unreadable(lo, err)
	}
	es := make([]*pb.Entry, len(stored))
	for i, e := range stored {
		es[i] = toPB(e)
	}
	return es, nil
}

func (s *storage) Term(i uint64) (uint64, error) {
	if e, ok := s.cache.get(i); ok {
		return e.GetTerm(), nil
	}
	if i+1 < s.first() {
		return 0, raft.ErrCompacted
	}
	if i > s.last {
		return 0, raft.ErrUnavailable
	}
	return s.log.Term(i)
}

func (s *storage) LastIndex() (uint64, error)  { return s.last, nil }
func (s *storage) FirstIndex() (uint64, error) { return s.first(), nil }

// append takes entries that have become durable; they replace what was at their indexes.
func (s *storage) append(entries []*pb.Entry) {
	if len(entries) == 0 {
		return
	}
	s.cache.append(entries)
	s.last = entries[len(entries)-1].GetIndex()
}

// release lets the cache drop what is applied and beyond its budget.
func (s *storage) release(applied uint64) { s.cache.release(applied) }

// cache keeps the newest entries; entries[k] has index first+k.
type cache struct {
	limit, bytes int
	first        uint64
	entries      []*pb.Entry
}

func (c *cache) get(i uint64) (*pb.Entry, bool) {
	if i < c.first || i-c.first >= uint64(len(c.entries)) {
		return nil, false
	}
	return c.entries[i-c.first], true
}

func (c *cache) slice(lo, hi, maxBytes uint64) []*pb.Entry {
	if lo < c.first || hi > c.first+uint64(len(c.entries)) || lo >= hi {
		return nil
	}
	es := c.entries[lo-c.first : hi-c.first]
	size := uint64(0)
	for i, e := range es {
		if size += uint64(len(e.GetData())); size > maxBytes && i > 0 {
			es = es[:i]
			break
		}
	}
	// Full slice expression: Raft may append to what it was given.
	return es[:len(es):len(es)]
}

func (c *cache) append(entries []*pb.Entry) {
	at := entries[0].GetIndex()
	switch next := c.first + uint64(len(c.entries)); {
	case at < c.first || at > next:
		c.entries, c.bytes, c.first = nil, 0, at
	case at < next:
		for _, e := range c.entries[at-c.first:] {
			c.bytes -= len(e.GetData())
		}
		// A new array: readers and Raft may hold the old one.
		c.entries = append([]*pb.Entry(nil), c.entries[:at-c.first]...)
	}
	for _, e := range entries {
		c.bytes += len(e.GetData())
	}
	c.entries = append(c.entries, entries...)
}

func (c *cache) release(applied uint64) {
	n := 0
	for n < len(c.entries) && c.bytes > c.limit && c.first+uint64(n) <= applied {
		c.bytes -= len(c.entries[n].GetData())
		n++
	}
	if n == 0 {
		return
	}
	c.first += uint64(n)
	c.entries = c.entries[n:]
}

func entryOf(e *pb.Entry) Entry {
	return Entry{Index: e.GetIndex(), Term: e.GetTerm(), Type: seglog.Type(e.GetType()), Data: e.GetData()}
}

func toPB(e seglog.Entry) *pb.Entry {
	t := pb.EntryType(e.Type)
	return &pb.Entry{Index: new(e.Index), Term: new(e.Term), Type: t.Enum(), Data: e.Data}
}
