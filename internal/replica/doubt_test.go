package replica

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
)

func vote(kind pb.MessageType, from, logTerm, index uint64) *pb.Message {
	return &pb.Message{Type: kind.Enum(), From: new(from), LogTerm: new(logTerm), Index: new(index)}
}

// TestDoubtWithholdsVotes follows the rule of the package document step by step: voter 1 may have lost entries up to 10.
func TestDoubtWithholdsVotes(t *testing.T) {
	d := newDoubt(1, HardState{Doubt: 10, DoubtTerm: 3, Conf: Conf{Voters: []uint64{1, 2, 3}}})
	ask := func(kind pb.MessageType, from, term, index uint64) bool {
		m := vote(kind, from, term, index)
		d.heard(m)
		return d.mayHear(m, 7)
	}
	if ask(pb.MsgPreVote, 2, 3, 9) {
		t.Fatal("a log that ends at 9 may miss what was acknowledged up to 10, and voter 3 has not been heard")
	}
	if ask(pb.MsgVote, 2, 2, 10) {
		t.Fatal("a log of an older term has other entries at these indexes")
	}
	if !ask(pb.MsgVote, 2, 3, 10) {
		t.Fatal("a log that reaches the doubt holds whatever was acknowledged")
	}
	if d.maySend(vote(pb.MsgVote, 1, 3, 7), 7) {
		t.Fatal("a doubtful replica asked for a vote with the shortest log")
	}
	if !d.maySend(vote(pb.MsgPreVote, 1, 3, 7), 7) {
		t.Fatal("a pre-vote only announces, and must go out")
	}
	if ask(pb.MsgVote, 3, 3, 9) {
		t.Fatal("voter 2 has announced 10: a log that ends at 9 is not the newest")
	}
	if !ask(pb.MsgVote, 2, 3, 10) {
		t.Fatal("all voters are heard and 10 is the newest")
	}
}

// TestDoubtAmongTheDoubtful holds that a group whose members were all torn can still elect: when everybody was heard, the
// newest log wins.
func TestDoubtAmongTheDoubtful(t *testing.T) {
	d := newDoubt(1, HardState{Doubt: 10, DoubtTerm: 3, Conf: Conf{Voters: []uint64{1, 2, 3}}})
	for _, m := range []*pb.Message{vote(pb.MsgPreVote, 2, 3, 8), vote(pb.MsgPreVote, 3, 2, 9)} {
		d.heard(m)
	}
	if !d.mayHear(vote(pb.MsgVote, 2, 3, 8), 7) {
		t.Fatal("term 3, index 8 is the newest of all logs")
	}
	if d.mayHear(vote(pb.MsgVote, 3, 2, 9), 7) {
		t.Fatal("term 2, index 9 is older than term 3, index 8")
	}
}

// TestNoDoubtNoFilter holds that without a cut, and after catching up, every message passes.
func TestNoDoubtNoFilter(t *testing.T) {
	fresh := newDoubt(1, HardState{Conf: Conf{Voters: []uint64{1, 2, 3}}})
	settled := newDoubt(1, HardState{Doubt: 10, DoubtTerm: 3, Conf: Conf{Voters: []uint64{1, 2, 3}}})
	if !fresh.mayHear(vote(pb.MsgVote, 2, 1, 1), 0) || !settled.mayHear(vote(pb.MsgVote, 2, 1, 1), 10) {
		t.Fatal("a vote was withheld without a doubt")
	}
}
