package replica

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/gesta-db/gesta/internal/errs"
)

// Member is what a leader knows of one replica of its group.
type Member struct {
	ID      uint64
	Learner bool
	// Match is the newest index known to be stored there. Active tells that it was heard of within the last election timeout.
	Match  uint64
	Active bool
	// Snapshot tells that it is too far behind for entries, and takes segments.
	Snapshot bool
}

// Members lists the group as its leader sees it, in the order of their numbers; nil when this replica does not lead.
func (r *Replica) Members() []Member {
	if r.role != Leader {
		return nil
	}
	var ms []Member
	r.node.WithProgress(func(id uint64, kind raft.ProgressType, p tracker.Progress) {
		ms = append(ms, Member{
			ID: id, Learner: kind == raft.ProgressTypeLearner, Match: p.Match, Active: p.RecentActive || id == r.cfg.ID, Snapshot: p.State == tracker.StateSnapshot,
		})
	})
	slices.SortFunc(ms, func(a, b Member) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return ms
}

// Conf is the group's configuration as far as it is applied here.
func (r *Replica) Conf() Conf { return r.cfg.Disk.State.Load().Conf }

// Change is what becomes of one replica.
type Change uint8

// The changes.
const (
	AddLearner Change = iota + 1
	AddVoter          // also promotes a learner
	Remove
)

// ConfChange changes one replica's place in the group.
type ConfChange struct {
	Change Change
	ID     uint64
}

// ChangeConf proposes a change of the configuration; several at once pass through a joint configuration, which Raft leaves by itself.
// One change must be applied before the next is proposed: busy until then.
func (r *Replica) ChangeConf(changes ...ConfChange) (err error) {
	defer r.guard(&err)
	if r.role != Leader {
		return errNotLeader
	}
	if r.changing() {
		return errs.New(errs.Busy, "a change of the group's members is under way; try again when it is done")
	}
	cc := &pb.ConfChangeV2{}
	if slices.ContainsFunc(changes, func(c ConfChange) bool { return c.Change == AddVoter }) {
		// A single new voter, too: while a replica may count without knowing its group (see the doubt rule), those before decide as well.
		cc.Transition = pb.ConfChangeTransitionJointImplicit.Enum()
	}
	for _, c := range changes {
		if !r.changes(c) {
			continue
		}
		kind := [...]pb.ConfChangeType{AddLearner: pb.ConfChangeAddLearnerNode, AddVoter: pb.ConfChangeAddNode, Remove: pb.ConfChangeRemoveNode}[c.Change]
		cc.Changes = append(cc.Changes, &pb.ConfChangeSingle{Type: kind.Enum(), NodeId: new(c.ID)})
	}
	if len(cc.Changes) == 0 {
		return nil
	}
	if err := r.node.ProposeConfChange(cc); err != nil {
		if errors.Is(err, raft.ErrProposalDropped) {
			return errs.New(errs.Busy, "the change of members was not taken; nothing was changed: try again later")
		}
		return fmt.Errorf("replica: propose a change of members: %w", err)
	}
	r.last++
	r.changed = r.last
	return nil
}

// changes tells whether a change makes any. Who asks may have looked at a configuration that has passed, and to Raft a voter that is added
// as a learner is one that is to vote no more.
func (r *Replica) changes(c ConfChange) bool {
	conf := r.Conf()
	votes, learns := slices.Contains(conf.Voters, c.ID), slices.Contains(conf.Learners, c.ID)
	switch c.Change {
	case AddLearner:
		return !votes && !learns
	case AddVoter:
		return !votes
	}
	return votes || learns
}

// changing tells that a change is proposed and not applied, or that the group is between two configurations.
func (r *Replica) changing() bool {
	return r.changed > r.applied || len(r.Conf().VotersOutgoing) > 0
}

// Transfer asks the leader, when it is this replica, to let another voter lead. It is a wish: the voter must catch up within an election
// timeout, and meanwhile nothing can be proposed.
func (r *Replica) Transfer(to uint64) {
	defer r.guard(nil)
	if r.role == Leader {
		r.node.TransferLeader(to)
	}
}

// Unreachable tells a leader that what it sent to a replica may be lost.
func (r *Replica) Unreachable(id uint64) { r.node.ReportUnreachable(id) }
