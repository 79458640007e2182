package meta

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

// A replica that is behind the first entry of its leader's log is given the whole state instead. Installing it changes snapshot, log and
// hard state, so it begins with a note, the file install: before it has its name, the folder is as it was; from then on only what it
// says can become of the folder, and every open ends that first. Each step may be done again. The note goes last.

const (
	noteName = "install"
	noteTemp = "install.tmp"
)

// installation is what a leader offers, and what the note says.
type installation struct {
	State     *state       `json:"state"` // as of its index
	Term      uint64       `json:"term"`  // of that entry
	Conf      replica.Conf `json:"conf"`
	ConfIndex uint64       `json:"conf_index"`
	Doubt     uint64       `json:"doubt,omitempty"` // this replica's own; see package replica
}

// offer is what this replica offers as a leader: its state as it is. It is called by Raft, in the loop.
func (m *Meta) offer() (replica.Snapshot, error) {
	s := *m.state.Load()
	s.Index = m.applied
	in := installation{State: &s}
	var err error
	if in.Term, err = m.disk.Log.Term(s.Index); err != nil || s.Index == 0 {
		return replica.Snapshot{}, errs.New(errs.Unavailable, "nothing is applied yet: %w", err)
	}
	var ok bool
	if in.Conf, in.ConfIndex, ok = m.disk.ConfAt(s.Index); !ok {
		return replica.Snapshot{}, errs.New(errs.Unavailable, "who was in the group at entry %d is not known any more", s.Index)
	}
	body, err := json.Marshal(in)
	return replica.Snapshot{Index: s.Index, Term: in.Term, Data: encodeSnapshot(body)}, err
}

func decodeInstallation(name string, b []byte) (*installation, error) {
	body, err := snapshotBody(name, b)
	if err != nil {
		return nil, err
	}
	in := &installation{State: newState()}
	if err := json.Unmarshal(body, in); err != nil || in.State == nil || in.State.Topics == nil || in.State.Index == 0 {
		return nil, errs.New(errs.Corrupt, "%s does not hold the state of a meta group", name).With("file", name).With("offset", "0")
	}
	return in, nil
}

// install takes what a leader offers in place of this replica's state and log, unless the log is not behind any more, and goes on with a
// replica opened anew. What waits for entries of its own is not decided here any more.
func (m *Meta) install(offer replica.Snapshot) error {
	in, err := decodeInstallation("the leader's offer", offer.Data)
	if err == nil && (in.State.Index != offer.Index || in.Term != offer.Term) {
		err = errs.New(errs.Invalid, "it ends with entry %d of term %d", in.State.Index, in.Term)
	}
	if err != nil {
		m.o.Logger.Error("a leader's offer of the meta group's state is refused", "replica", offer.From, "error", err)
		return nil
	}
	if m.disk.Holds(offer.Index, offer.Term) {
		return nil
	}
	m.o.Logger.Info("this replica of the meta group was far behind; its leader's state is installed", "index", offer.Index)
	m.rest()
	// The newest writes may have been stored meanwhile.
	held := m.disk.Holds(offer.Index, offer.Term)
	in.Doubt = m.disk.Doubt()
	if err := m.disk.Close(); err != nil {
		return err
	}
	if !held {
		if err := writeNote(m.o.FS, m.o.Dir, in); err != nil {
			return err
		}
	}
	if err := m.begin(); err != nil { // it finishes what the note says
		return err
	}
	if m.pump != nil {
		m.startPump()
	}
	if m.o.Changed != nil {
		m.o.Changed()
	}
	return nil
}

// rest ends storing, and forgets what only the replica of before can answer.
func (m *Meta) rest() {
	if m.pump != nil {
		m.pump.Close()
		<-m.pumped
	}
	m.writes = nil
	m.mu.Lock()
	m.inbox.wrote = nil
	m.mu.Unlock()
	for index, c := range m.flights {
		c.end(0, errs.New(errs.UnknownOutcome, "this replica fell behind while the change was being replicated; it may have been made: try again"))
		delete(m.flights, index)
	}
	m.role, m.leader = replica.Follower, 0
}

func writeNote(fsys vfs.FS, dir string, in *installation) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, noteTemp)
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeFile(fsys, temp, encodeSnapshot(body)); err != nil {
		return err
	}
	return errors.Join(fsys.Rename(temp, filepath.Join(dir, noteName)), fsys.SyncDir(dir))
}

// finishInstall does what the note says, if there is one. It comes first whenever the folder is opened.
func finishInstall(o seglog.Options) error {
	name := filepath.Join(o.Dir, noteName)
	b, err := readFile(o.FS, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	in, err := decodeInstallation(name, b)
	if err != nil {
		return err
	}
	if err := saveSnapshot(o.FS, o.Dir, in.State); err != nil {
		return err
	}
	err = replica.Install(o, replica.Installation{
		Assembly: seglog.Assembly{Index: in.State.Index, Term: in.Term, Doubt: in.Doubt},
		Conf:     in.Conf, ConfIndex: in.ConfIndex,
	})
	if err != nil {
		return err
	}
	return errors.Join(o.FS.Remove(name), o.FS.SyncDir(o.Dir))
}
