package replica

import (
	"path/filepath"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/seglog"
)

// Snapshot is what a leader offers instead of entries: the state up to an entry, in the machine's own words.
type Snapshot struct {
	// From is the leader that offers it.
	From uint64
	// Index and Term are of the last entry that it holds.
	Index, Term uint64
	Data        []byte
}

// segmentsBehind is how many segments before the active one are given to peers as entries: some for a peer that takes a snapshot, so that
// what was written meanwhile is still there as entries when it is done.
const segmentsBehind = 4

// offerEvery is after how many election timeouts a snapshot is offered again to a replica from which nothing was heard about it: the
// offer, or the word that it is done, may be lost.
const offerEvery = 5

// first is where the log begins for peers. What is before it is sealed, so committed and applied, and stays readable for readers.
func (s *storage) first() uint64 {
	n := s.cfg.Behind
	if n == 0 {
		n = segmentsBehind
	}
	return max(s.log.First(), s.log.Behind(n), s.broken)
}

// Snapshot gives Raft what the machine offers, with the configuration as of its last entry.
func (s *storage) Snapshot() (*pb.Snapshot, error) {
	if s.cfg.Snapshot == nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	snap, err := s.cfg.Snapshot()
	if err != nil {
		s.cfg.Logger.Warn("there is nothing to offer to a replica that is far behind; it is tried again", "error", err)
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	conf, _, ok := s.cfg.Disk.ConfAt(snap.Index)
	if !ok {
		s.cfg.Logger.Warn("who was in the group at the last sealed segment is not known; a replica that is far behind waits for the next", "index", snap.Index)
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &pb.Snapshot{Data: snap.Data, Metadata: &pb.SnapshotMetadata{ConfState: conf.toPB(), Index: new(snap.Index), Term: new(snap.Term)}}, nil
}

// unreadable decides what damage means to Raft, which wants entries from lo on. In a sealed segment it means that entries begin behind it:
// all in it are committed and applied, so only peers can want them, and those are offered a snapshot. Elsewhere this replica itself may
// need them, and ends.
func (s *storage) unreadable(lo uint64, err error) error {
	if errs.CodeOf(err) != errs.Corrupt {
		s.failed = err
		return err
	}
	if s.cfg.Damaged != nil {
		s.cfg.Damaged(err)
	}
	name := filepath.Base(errs.As(err).Details["file"])
	for _, seg := range s.log.Segments() {
		if seg.Name == name && seg.Sealed && seg.Last >= lo {
			s.broken = seg.Last + 1
			return raft.ErrCompacted
		}
	}
	s.failed = err
	return err
}

// guard ends a call in which Raft gave up because storage could not read: the replica is told to be damaged by its next Ready.
func (r *Replica) guard(err *error) {
	if r.store.failed == nil {
		return
	}
	_ = recover()
	if err != nil && *err == nil {
		*err = r.store.failed
	}
}

// offer takes a leader's offer. Raft itself never sees it: it would throw the log away at once. It hears the same news as an empty append
// at that entry, which is what the leader would have sent if it still had the entry, and decides by it whether this replica has the entry
// or has it committed; then it answers so, and nothing is missing here.
func (r *Replica) offer(m *pb.Message) {
	meta := m.GetSnapshot().GetMetadata()
	_ = r.node.Step(&pb.Message{
		Type: pb.MsgApp.Enum(), From: new(m.GetFrom()), To: new(m.GetTo()), Term: new(m.GetTerm()),
		Index: new(meta.GetIndex()), LogTerm: new(meta.GetTerm()), Commit: new(meta.GetIndex()),
	})
	if st := r.node.BasicStatus(); st.GetTerm() == m.GetTerm() && st.GetCommit() < meta.GetIndex() {
		r.offers = append(r.offers, Snapshot{From: m.GetFrom(), Index: meta.GetIndex(), Term: meta.GetTerm(), Data: m.GetSnapshot().GetData()})
	}
}

// ReportSnapshot tells a leader how a replica fared with what it was offered: it has it, and is given the entries behind it, or it needs
// another offer.
func (r *Replica) ReportSnapshot(id uint64, installed bool) {
	defer r.guard(nil)
	delete(r.offered, id)
	status := raft.SnapshotFailure
	if installed {
		status = raft.SnapshotFinish
	}
	r.node.ReportSnapshot(id, status)
}

// offerAgain gives up waiting for replicas that were offered a snapshot long ago: the next answer to a heartbeat brings them a new offer,
// or entries.
func (r *Replica) offerAgain() {
	for id := range r.offered {
		if r.offered[id]++; r.offered[id] >= offerEvery*r.cfg.ElectionTicks {
			r.ReportSnapshot(id, false)
		}
	}
}

// ConfAt is the configuration as of an entry, and the entry that made it; false when that is no longer known.
func (d *Disk) ConfAt(i uint64) (Conf, uint64, bool) {
	st := d.State.Load()
	return st.ConfAt(i)
}

// Holds tells whether the log has this very entry; then it has everything before it as well, for ever.
func (d *Disk) Holds(index, term uint64) bool {
	if index < d.Log.First() {
		return index > 0 && index <= d.commit
	}
	t, err := d.Log.Term(index)
	return err == nil && t == term
}

// Doubt is the highest index that a cut batch may have held, while the log is below it; see the package document.
func (d *Disk) Doubt() uint64 {
	if st := d.State.Load(); st.Doubt > d.Log.Last() {
		return st.Doubt
	}
	return 0
}

// sealed is the last entry of the newest sealed segment, 0 when none is sealed.
func (d *Disk) sealed() uint64 {
	if first := d.Log.Behind(0); first > d.Log.First() {
		return first - 1
	}
	return 0
}

// Installation says what Install makes of a replica's folder.
type Installation struct {
	seglog.Assembly
	// Conf is the configuration as of the last entry, and ConfIndex the entry that made it.
	Conf      Conf
	ConfIndex uint64
}

// Install makes a replica's folder, which nobody has open, hold the log up to an entry that is committed. It may be done again after a
// crash, and must be: see seglog.Assemble. The caller has made sure by Holds that the log lacks that entry; see the package document for
// why what it has instead is not needed.
func Install(o seglog.Options, in Installation) error {
	if err := seglog.Assemble(o, in.Assembly); err != nil {
		return err
	}
	s, err := openState(o.FS, filepath.Join(o.Dir, stateName), false, nil)
	if err != nil {
		return err
	}
	st := s.Load()
	if st.ConfIndex < in.ConfIndex || st.ConfIndex == 0 {
		st.Conf, st.ConfIndex, st.Past = in.Conf, in.ConfIndex, nil
	} // otherwise a newer one was applied here before the log lost its end
	if st.Term < in.Term {
		// The log never holds an entry of a term that the hard state has not seen.
		st.Term, st.Vote = in.Term, 0
	}
	if err := s.Save(st); err != nil {
		return err
	}
	return s.close()
}
