package shard

import (
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

// Stepped is a shard without goroutines: whoever holds it decides when time passes, when a write reaches the disk and which
// message arrives. It is the same core, disk and index as a running Shard; the simulator drives it.
type Stepped struct {
	cfg  Config
	fs   vfs.FS
	dir  string
	disk *replica.Disk
	ix   *index.Index
	core *Core
	look *resolver

	offer *Manifest
}

// OpenStepped opens a shard's folder with an index that the caller opened.
func OpenStepped(cfg Config, fsys vfs.FS, dir string, voters []uint64, ix *index.Index) (*Stepped, error) {
	if err := finishInstall(cfg, fsys, dir); err != nil {
		return nil, err
	}
	disk, err := replica.OpenDisk(logOptions(cfg, fsys, dir, nil), voters)
	if err != nil {
		return nil, err
	}
	core, err := stepped(cfg, fsys, dir, disk, ix)
	if err != nil {
		_ = disk.Close()
		return nil, err
	}
	return &Stepped{cfg: cfg, fs: fsys, dir: dir, disk: disk, ix: ix, core: core, look: newResolver(core)}, nil
}

func stepped(cfg Config, fsys vfs.FS, dir string, disk *replica.Disk, ix *index.Index) (*Core, error) {
	l, err := load(cfg, fsys, dir, disk, ix)
	if err != nil {
		return nil, err
	}
	return openCore(cfg, l)
}

// Submit looks up what calls need and queues them.
func (s *Stepped) Submit(calls ...*event.Call) error {
	for _, call := range calls {
		t := &task{call: call}
		if err := s.look.resolve(t); err != nil {
			return err
		}
		s.core.Submit([]*task{t})
	}
	return nil
}

// Barrier calls done once everything acknowledged before is applied here.
func (s *Stepped) Barrier(deadline time.Time, done func(error)) {
	s.core.Query(&query{deadline: deadline, done: done})
}

// Receive takes a peer's message; Tick passes a tick of time.
func (s *Stepped) Receive(m *pb.Message) { s.core.Receive(m) }

// Tick passes one tick of time.
func (s *Stepped) Tick() { s.core.Tick() }

// Advance does what is due. Outcomes are delivered before it returns; writes and messages are the caller's to carry.
func (s *Stepped) Advance(now time.Time) ([]*replica.Write, []*pb.Message, error) {
	step := s.core.Advance(now)
	if step.Offer != nil {
		s.offer = step.Offer
	}
	for _, d := range step.Done {
		d.finish()
	}
	for _, t := range step.Resolve {
		t.unread = s.look.resolve(t)
		s.core.Resolved(t)
	}
	return step.Writes, step.Messages, step.Fatal
}

// Store makes writes durable, as the pump would; Wrote then tells the core.
func (s *Stepped) Store(ws []*replica.Write) error { return s.disk.Store(ws) }

// Wrote tells that writes are durable.
func (s *Stepped) Wrote(ws []*replica.Write) {
	for _, w := range ws {
		s.core.Wrote(w)
	}
}

// Mark writes a durable mark.
func (s *Stepped) Mark() error { return s.disk.Mark(s.core.rep.Status().Commit) }

// Prepare makes the next segment ready.
func (s *Stepped) Prepare() error { return s.disk.Log.Prepare() }

// Seal seals every full segment that is applied.
func (s *Stepped) Seal() error {
	return sealFull(s.disk.Log, s.ix, s.fs, s.dir, s.core.segment)
}

// Head is the newest applied head of a stream.
func (s *Stepped) Head(topic, key []byte) (event.Head, error) {
	h, _, err := s.ix.Head(topic, key)
	return event.Head(h), err
}

// Status tells where the shard is.
func (s *Stepped) Status() Status {
	return Status{Status: s.core.rep.Status(), History: s.core.settings.History, LastOffset: s.core.lastOffset, Serving: s.core.serving}
}

// Entries gives stored entries, for comparing.
func (s *Stepped) Entries(lo, hi uint64) ([]replica.Entry, error) {
	var all []replica.Entry
	for lo < hi {
		es, err := s.disk.Log.Entries(lo, hi, 1<<30)
		if err != nil {
			return nil, err
		}
		all = append(all, es...)
		lo += uint64(len(es))
	}
	return all, nil
}

// Offer takes the newest offer of a leader, nil when there is none.
func (s *Stepped) Offer() *Manifest {
	m := s.offer
	s.offer = nil
	return m
}

// ReportSnapshot tells a leader how a replica fared with what it was offered.
func (s *Stepped) ReportSnapshot(id uint64, installed bool) { s.core.rep.ReportSnapshot(id, installed) }

// Members lists the group as its leader sees it; nil elsewhere.
func (s *Stepped) Members() []replica.Member { return s.core.rep.Members() }

// ChangeConf changes the group's members, if this replica leads; Conf is who they are, as far as that is applied here.
func (s *Stepped) ChangeConf(changes ...replica.ConfChange) error {
	return s.core.rep.ChangeConf(changes...)
}

// Conf is the group's configuration as far as it is applied here.
func (s *Stepped) Conf() replica.Conf { return s.core.rep.Conf() }

// ConfIndex is the entry that made it.
func (s *Stepped) ConfIndex() uint64 { return s.disk.State.Load().ConfIndex }

// Transfer lets another voter lead.
func (s *Stepped) Transfer(to uint64) { s.core.rep.Transfer(to) }

// Stored is the newest entry that is on the disk; doubt tells that more may have been, see package replica.
func (s *Stepped) Stored() (last uint64, doubt bool) { return s.disk.Log.Last(), s.disk.Doubt() > 0 }

// Cut is the doubtful last batch that was cut when the folder was opened, if any.
func (s *Stepped) Cut() *seglog.Cut { return s.disk.Cut }

// Segments lists the log's segments.
func (s *Stepped) Segments() []seglog.Segment { return s.disk.Log.Segments() }

// Pieces lists the sealed segments, for a peer that compares or repairs its own.
func (s *Stepped) Pieces() []Piece { return pieces(s.disk.Log.Segments()) }

// Replace puts a segment from another folder in the place of a damaged one; see Scrubber.
func (s *Stepped) Replace(first uint64, from string) error { return s.disk.Log.Replace(first, from) }

// Index is the shard's index.
func (s *Stepped) Index() *index.Index { return s.ix }

// Close closes the log; the index stays the caller's.
func (s *Stepped) Close() error { return s.disk.Close() }
