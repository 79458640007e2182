package replica

import (
	"errors"
	"fmt"
	"log/slog"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/seglog"
)

// Config is what a replica is opened with.
type Config struct {
	// ID is this replica's number in the group, never 0.
	ID uint64
	// Disk holds the log and the hard state; see OpenDisk.
	Disk *Disk
	// ElectionTicks and HeartbeatTicks are counted in calls of Tick.
	ElectionTicks, HeartbeatTicks int
	// EntryBytes bounds what one message to a peer carries; UncommittedBytes what a leader may have proposed and not committed.
	EntryBytes, UncommittedBytes uint64
	// CacheBytes bounds the newest entries kept in memory for peers, for applying and for readers at the tail.
	CacheBytes int
	// Behind is how many segments before the active one peers get as entries; who is further behind is offered a snapshot. 0: 4.
	Behind int
	// Snapshot gives what such a peer is offered, without reading the disk; nil, or an error: the peer waits, and it is asked again.
	Snapshot func() (Snapshot, error)
	// Damaged, which may be nil, hears of damage that reading for a peer has met.
	Damaged func(error)
	Logger  *slog.Logger
}

// Role is what a replica is in its group.
type Role uint8

// The roles.
const (
	Follower Role = iota
	Candidate
	Leader
)

func (r Role) String() string {
	return [...]string{"follower", "candidate", "leader"}[r]
}

// Entry is a committed entry: what a state machine folds. Data must not be changed.
type Entry = seglog.Entry

// Machine is the fold over the committed entries.
type Machine interface {
	// Apply folds the next committed entry; empty entries and configuration changes come too, with their type.
	Apply(e Entry)
	// RoleChanged tells that this replica's term, role or leader is another.
	RoleChanged(term uint64, role Role, leader uint64)
	// Confirmed answers Confirm(n): index was committed, and who said so was still the leader, at a moment after the call.
	Confirmed(n, index uint64)
}

// Output is what must happen outside after a step.
type Output struct {
	// Write is nil or the next thing to store. Writes are stored in order, and each is handed back by Wrote, in order.
	Write *Write
	// Messages may be sent at once.
	Messages []*pb.Message
	// Offers are snapshots that leaders offer, because this replica is too far behind for entries; see the package document.
	Offers []Snapshot
	// Damage ends the replica: what it needs of its own log cannot be read.
	Damage error
}

// Replica is one member of a Raft group over a segment log. It is stepped by one goroutine and has none of its own.
type Replica struct {
	cfg   Config
	node  *raft.RawNode
	store *storage
	m     Machine
	doubt doubt
	// outbox holds what is sent beside Raft's own messages.
	outbox   []*pb.Message
	confirms confirms
	offers   []Snapshot     // that came in
	offered  map[uint64]int // to whom, and how many ticks ago

	term    uint64
	role    Role
	leader  uint64
	last    uint64 // the newest index given to an entry, stable or not
	commit  uint64
	applied uint64
	newest  uint64 // the term of the newest entry applied since the open
	changed uint64 // the newest change of the configuration that this leader proposed
	// what the newest write with a hard state carried
	savedTerm, savedVote uint64
}

// Open makes a replica of what its disk holds. Entries up to Applied are for the machine to load by itself; Apply begins
// after them.
func Open(cfg Config, m Machine) (*Replica, error) {
	s := newStorage(cfg)
	applied := cfg.Disk.Loadable()
	r := &Replica{cfg: cfg, store: s, m: m, confirms: newConfirms(), offered: map[uint64]int{}, applied: applied, commit: cfg.Disk.commit, last: cfg.Disk.Log.Last()}
	hs := cfg.Disk.State.Load()
	r.term, r.savedTerm, r.savedVote = hs.Term, hs.Term, hs.Vote
	r.doubt = newDoubt(cfg.ID, hs)
	node, err := raft.NewRawNode(&raft.Config{
		ID:                        cfg.ID,
		ElectionTick:              cfg.ElectionTicks,
		HeartbeatTick:             cfg.HeartbeatTicks,
		Storage:                   s,
		Applied:                   applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             cfg.EntryBytes,
		MaxCommittedSizePerReady:  8 * cfg.EntryBytes,
		MaxUncommittedEntriesSize: cfg.UncommittedBytes,
		MaxInflightMsgs:           256,
		MaxInflightBytes:          64 * cfg.EntryBytes,
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		Logger:                    raftLogger{cfg.Logger},
	})
	if err != nil {
		return nil, fmt.Errorf("replica: open group: %w", err)
	}
	r.node = node
	if len(hs.Conf.Voters) == 1 && hs.Conf.Voters[0] == cfg.ID {
		// Alone there is nobody to wait for.
		if err := node.Campaign(); err != nil {
			return nil, fmt.Errorf("replica: campaign: %w", err)
		}
	}
	return r, nil
}

// Tick tells that one tick of time has passed.
func (r *Replica) Tick() {
	defer r.guard(nil)
	r.offerAgain()
	r.node.Tick()
	r.doubt.asked = max(0, r.doubt.asked-1)
}

// Step takes a message of a peer. A message that this replica must not hear (see the doubt rule) is dropped.
func (r *Replica) Step(m *pb.Message) {
	defer r.guard(nil)
	r.doubt.heard(m)
	if !r.doubt.mayHear(m, r.last) {
		if other := r.doubt.handOver(m); other != nil {
			r.outbox = append(r.outbox, other)
		}
		return
	}
	if m.GetType() == pb.MsgSnap {
		r.offer(m)
		return
	}
	if m.GetType() == pb.MsgReadIndex && r.newest != r.term {
		// Raft makes a question wait until the leader knows what was committed before its term; but not when it is the only voter.
		return
	}
	// What remains are stale or foreign messages, which Raft rejects by design.
	_ = r.node.Step(m)
}

// errNotLeader tells that a proposal was refused and left nothing behind.
var errNotLeader = errs.New(errs.NoLeader, "this replica does not lead its group; nothing was written: try again")

// Propose appends an entry at index Next() in the current term. An error means that nothing was proposed.
func (r *Replica) Propose(data []byte) (index, term uint64, err error) {
	defer r.guard(&err)
	if r.role != Leader {
		return 0, 0, errNotLeader
	}
	if err := r.node.Propose(data); err != nil {
		if errors.Is(err, raft.ErrProposalDropped) {
			if r.node.BasicStatus().LeadTransferee != raft.None {
				return 0, 0, errs.New(errs.NoLeader, "leadership is moving to another replica; nothing was written: try again")
			}
			return 0, 0, errs.New(errs.Busy, "too much is proposed and not committed yet; try again later")
		}
		return 0, 0, fmt.Errorf("replica: propose: %w", err)
	}
	r.last++
	return r.last, r.term, nil
}

// Next is the index that the next proposal gets.
func (r *Replica) Next() uint64 { return r.last + 1 }

// Ready performs everything that is due: it applies what is committed through the machine, and returns what must be written
// and sent. Call it until it reports false.
func (r *Replica) Ready() (out Output, more bool) {
	defer r.guard(&out.Damage)
	if r.store.failed != nil {
		return Output{Damage: r.store.failed}, false
	}
	if !r.node.HasReady() && len(r.outbox) == 0 && len(r.offers) == 0 {
		return Output{}, false
	}
	rd := r.node.Ready()
	out = Output{Messages: r.outbox, Offers: r.offers}
	r.outbox, r.offers = nil, nil
	r.observe(rd)
	var apply *pb.Message
	for _, m := range rd.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			out.Write = r.newWrite(m)
		case raft.LocalApplyThread:
			apply = m
		default:
			if m.GetType() == pb.MsgSnap {
				r.offered[m.GetTo()] = 0
			}
			if r.doubt.maySend(m, r.last) {
				out.Messages = append(out.Messages, m)
			}
		}
	}
	if apply != nil {
		r.apply(apply)
	}
	for _, rs := range rd.ReadStates {
		if n, ok := r.confirms.number(rs.RequestCtx); ok {
			r.m.Confirmed(n, rs.Index)
		}
	}
	return out, true
}

func (r *Replica) observe(rd raft.Ready) {
	if n := len(rd.Entries); n > 0 {
		r.last = rd.Entries[n-1].GetIndex()
	}
	termChanged := false
	if rd.HardState != nil {
		termChanged = r.term != rd.HardState.GetTerm()
		r.term, r.commit = rd.HardState.GetTerm(), max(r.commit, rd.HardState.GetCommit())
	}
	if rd.SoftState != nil {
		r.role, r.leader = roleOf(rd.SoftState.RaftState), rd.SoftState.Lead
	}
	if termChanged || rd.SoftState != nil {
		r.m.RoleChanged(r.term, r.role, r.leader)
	}
}

func roleOf(s raft.StateType) Role {
	switch s {
	case raft.StateLeader:
		return Leader
	case raft.StateFollower:
		return Follower
	}
	return Candidate
}

func (r *Replica) apply(m *pb.Message) {
	for _, e := range m.Entries {
		entry := entryOf(e)
		r.applied, r.newest = entry.Index, entry.Term
		if entry.Type != seglog.TypeRecords {
			r.applyConf(e)
		}
		r.m.Apply(entry)
	}
	for _, resp := range m.Responses {
		_ = r.node.Step(resp)
	}
	r.store.release(r.applied)
}

// Wrote tells that a write is durable.
func (r *Replica) Wrote(w *Write) (out []*pb.Message) {
	defer r.guard(nil)
	r.store.append(w.entries)
	for _, m := range w.responses {
		if m.GetTo() == r.cfg.ID {
			_ = r.node.Step(m)
		} else if r.doubt.maySend(m, r.last) {
			out = append(out, m)
		}
	}
	return out
}

// Status is what a replica knows of itself.
type Status struct {
	Term, Last, Commit, Applied, Leader uint64
	Role                                Role
}

// Status tells where the replica is.
func (r *Replica) Status() Status {
	return Status{Term: r.term, Last: r.last, Commit: r.commit, Applied: r.applied, Leader: r.leader, Role: r.role}
}
