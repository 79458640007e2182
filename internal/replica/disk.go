package replica

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

// Disk is where one replica stores: its log and its hard state. Store and Mark are called by one goroutine, the owner's.
type Disk struct {
	Log   *seglog.Log
	State *StateFile
	// Cut is the doubtful last batch that was cut at open, if any.
	Cut *seglog.Cut

	commit   uint64 // the highest commit index found at open
	loadable uint64
}

// OpenDisk opens the folder of a replica. A new folder becomes a member of a group with these voters. A log is salvaged, if the options
// say so, only in a group of several voters: one alone would lose for good what it has acknowledged.
func OpenDisk(o seglog.Options, voters []uint64) (*Disk, error) {
	if err := logIsThere(o.FS, o.Dir); err != nil {
		return nil, err
	}
	o.Salvage = o.Salvage && hasPeers(o.FS, o.Dir)
	log, rec, err := seglog.Open(o)
	if err != nil {
		return nil, err
	}
	state, err := openState(o.FS, filepath.Join(o.Dir, stateName), log.Last() == 0 && log.First() == 1, voters)
	if err != nil {
		_ = log.Close()
		return nil, err
	}
	d := &Disk{Log: log, State: state, Cut: rec.Cut, commit: rec.Commit}
	if err := d.settle(rec.Doubt); err != nil {
		_ = log.Close()
		return nil, err
	}
	return d, nil
}

// hasPeers tells that the hard state knows several voters.
func hasPeers(fsys vfs.FS, dir string) bool {
	s := &StateFile{name: filepath.Join(dir, stateName)}
	var err error
	if s.file, err = fsys.Open(s.name); err != nil {
		return false
	}
	defer s.file.Close()
	_, err = s.read()
	return err == nil && len(s.now.Conf.Voters) > 1
}

// logIsThere refuses to begin a new log beside a hard state: the log's first segment was durable before the hard state was made.
func logIsThere(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if err != nil || !slices.Contains(names, stateName) || slices.ContainsFunc(names, func(n string) bool { return filepath.Ext(n) == ".seg" }) {
		return nil // a folder that cannot be listed is met again when the log is opened
	}
	return errs.New(errs.Corrupt, "%s holds a hard state and no segment: the log is gone; restore the folder from a backup or replace the replica", dir).
		With("file", dir).With("offset", "0")
}

// settle keeps the doubt of a cut, and finds how far the machine may load.
func (d *Disk) settle(doubt uint64) error {
	st := d.State.Load()
	// One voter that it knows of may be another replica: whether this one votes by now may stand in what it has not applied, or lost.
	if doubt > st.Doubt || doubt > 0 && d.Cut != nil {
		// The hard state is saved before the entries of its term: what was cut is of this term at most.
		st.Doubt, st.DoubtTerm = max(doubt, st.Doubt), st.Term
		if err := d.State.Save(st); err != nil {
			return err
		}
	}
	// Only what was applied is trimmed, and the headers that are left may not say so yet.
	d.commit = max(d.commit, d.Log.First()-1)
	for _, s := range d.Log.Segments() {
		if s.Sealed {
			// Only what is committed is sealed, and the newest headers may not say so yet.
			d.commit = max(d.commit, s.Last)
		}
	}
	// A configuration is kept when its entry is applied.
	d.commit = max(d.commit, min(st.ConfIndex, d.Log.Last()))
	d.loadable = d.commit
	for i := max(st.ConfIndex+1, d.firstUnsealed()); i <= d.commit; i++ {
		conf, err := d.isConf(i)
		if err != nil {
			return err
		}
		if conf {
			d.loadable = i - 1
			break
		}
	}
	return nil
}

// firstUnsealed is where configuration changes that the hard state misses can be: it is saved as they are applied, and a
// segment is sealed only when it is applied.
func (d *Disk) firstUnsealed() uint64 {
	for _, s := range d.Log.Segments() {
		if !s.Sealed {
			return max(s.First, d.Log.First())
		}
	}
	return d.Log.Last() + 1
}

func (d *Disk) isConf(i uint64) (bool, error) {
	es, err := d.Log.Entries(i, i+1, 1)
	if err != nil {
		return false, err
	}
	return es[0].Type != seglog.TypeRecords, nil
}

// Loadable is the index up to which a machine loads by itself before it opens the replica.
func (d *Disk) Loadable() uint64 { return d.loadable }

// Close closes the log and the hard state.
func (d *Disk) Close() error { return errors.Join(d.Log.Close(), d.State.close()) }

// Write is what one step wants stored: entries, and the hard state when it changed. It is opaque but for its size.
type Write struct {
	entries   []*pb.Entry
	hard      bool
	term      uint64
	vote      uint64
	commit    uint64
	responses []*pb.Message
}

// Entries counts the entries; Commit is the commit index known when the write was made.
func (w *Write) Entries() int   { return len(w.entries) }
func (w *Write) Commit() uint64 { return w.commit }

// Empty tells that nothing needs to be stored: the write only keeps its place in the order.
func (w *Write) Empty() bool { return len(w.entries) == 0 && !w.hard }

func (r *Replica) newWrite(m *pb.Message) *Write {
	w := &Write{entries: m.Entries, responses: m.Responses, commit: r.commit}
	if !raft.IsEmptySnap(m.Snapshot) {
		panic("replica: a snapshot was given to Raft, and never is") // see offered
	}
	if m.Term != nil && (m.GetTerm() != r.savedTerm || m.GetVote() != r.savedVote) {
		w.hard, w.term, w.vote = true, m.GetTerm(), m.GetVote()
		r.savedTerm, r.savedVote = w.term, w.vote
	}
	return w
}

// Store makes writes durable, in order, with as few batches as they allow. After errs.NoSpace, as long as the log is Usable, the same
// writes may be stored again: what was stored of them is passed over. After any other error the disk is to be closed: what it holds
// is known again after the next open.
func (d *Disk) Store(ws []*Write) error {
	var run []seglog.Entry
	var commit uint64
	for _, w := range ws {
		if w.hard {
			// The hard state goes before the entries of its term; earlier entries may wait for neither.
			if err := d.flush(&run, commit); err != nil {
				return err
			}
			if err := d.saveHard(w); err != nil {
				return err
			}
		}
		commit = max(commit, w.commit)
		entries := d.missing(w.entries)
		if len(entries) == 0 {
			continue
		}
		first := entries[0].GetIndex()
		if n := len(run); n > 0 && first != run[n-1].Index+1 {
			if err := d.flush(&run, commit); err != nil {
				return err
			}
		}
		if len(run) == 0 && first <= d.Log.Last() {
			if err := d.Log.Truncate(first); err != nil {
				return err
			}
		}
		for _, e := range entries {
			run = append(run, entryOf(e))
		}
	}
	return d.flush(&run, commit)
}

// waits tells that an error of Store or Mark is about space alone: the log is as it was and takes the same writes later.
func (d *Disk) waits(err error) bool {
	return errs.CodeOf(err) == errs.NoSpace && d.Log.Usable() == nil
}

// missing leaves out the entries that are stored already: one index and term name one entry, and a whole prefix of the log.
func (d *Disk) missing(es []*pb.Entry) []*pb.Entry {
	for len(es) > 0 && es[0].GetIndex() <= d.Log.Last() {
		if term, err := d.Log.Term(es[0].GetIndex()); err != nil || term != es[0].GetTerm() {
			break
		}
		es = es[1:]
	}
	return es
}

func (d *Disk) flush(run *[]seglog.Entry, commit uint64) error {
	if len(*run) == 0 {
		return nil
	}
	// A batch may not claim a commit beyond the entries it ends with.
	last := (*run)[len(*run)-1].Index
	err := d.Log.Append(*run, min(commit, last))
	*run = (*run)[:0]
	return err
}

func (d *Disk) saveHard(w *Write) error {
	st := d.State.Load()
	st.Term, st.Vote = w.term, w.vote
	if err := d.State.Save(st); err != nil {
		return fmt.Errorf("replica: save term and vote: %w", err)
	}
	return nil
}

// Mark writes a durable mark when the log is idle.
func (d *Disk) Mark(commit uint64) error { return d.Log.Mark(min(commit, d.Log.Last())) }

func (r *Replica) applyConf(e *pb.Entry) {
	var cc pb.ConfChangeI
	v1, v2 := &pb.ConfChange{}, &pb.ConfChangeV2{}
	if e.GetType() == pb.EntryConfChange {
		unmarshal(e.GetData(), v1)
		cc = v1
	} else {
		unmarshal(e.GetData(), v2)
		cc = v2
	}
	st := r.cfg.Disk.State.Load()
	if e.GetIndex() <= st.ConfIndex {
		return // the hard state had it when the log was opened, which has lost its end, or whose headers did not know the commit
	}
	cs := r.node.ApplyConfChange(cc)
	st.change(confOf(cs), e.GetIndex(), r.cfg.Disk.sealed())
	if err := r.cfg.Disk.State.Save(st); err != nil {
		// Without it the change is applied again at the next open; see Disk.settle.
		r.cfg.Logger.Error("configuration not saved; it is applied again at the next start", "error", errs.As(err))
	}
	r.doubt.voters = st.Conf.Voters
}
