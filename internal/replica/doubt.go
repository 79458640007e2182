package replica

import (
	pb "go.etcd.io/raft/v3/raftpb"
)

// doubt holds back votes after a cut; the package document gives the rule and its reason.
type doubt struct {
	id     uint64
	upTo   logEnd // what a cut batch may have held at most; zero: nothing was cut
	voters []uint64
	logs   map[uint64]logEnd // what other voters have announced since this open
	// openTerm is the term at open: a leader of it, or of an earlier one, may count on entries that were cut.
	openTerm uint64
	asked    int // ticks until a leader is asked again to hand over
}

// askEvery is how many ticks, for each voter, a leader has to hand over before it is asked again. Being asked restarts the clock
// by which a leader counts its quorum: if all other voters were to ask within every election timeout, it would never notice that it
// has none.
const askEvery = 20

// logEnd is how new a log is, in Raft's order.
type logEnd struct{ term, index uint64 }

func (a logEnd) less(b logEnd) bool {
	return a.term < b.term || a.term == b.term && a.index < b.index
}

func newDoubt(id uint64, h HardState) doubt {
	return doubt{id: id, upTo: logEnd{h.DoubtTerm, h.Doubt}, voters: h.Conf.Voters, logs: map[uint64]logEnd{}, openTerm: h.Term}
}

func isVote(m *pb.Message) bool {
	return m.GetType() == pb.MsgVote || m.GetType() == pb.MsgPreVote
}

// heard notes a log that a peer announces.
func (d *doubt) heard(m *pb.Message) {
	if d.upTo.index > 0 && isVote(m) {
		d.logs[m.GetFrom()] = logEnd{m.GetLogTerm(), m.GetIndex()}
	}
}

// mayHear tells whether a message may reach Raft. A request for a vote may not while it could elect a log that misses what this
// replica may have acknowledged and lost; nor may a leader that may count on what was lost.
func (d *doubt) mayHear(m *pb.Message, last uint64) bool {
	switch {
	case d.settled(last):
		return true
	case isVote(m):
		end := logEnd{m.GetLogTerm(), m.GetIndex()}
		return !end.less(d.upTo) || d.newest(end)
	}
	return !d.remembers(m)
}

// remembers tells that a message comes from a leader that was one before this replica was opened: it may have counted entries
// here that were cut, and Raft has no way to make it count again. Another leader, or the same one in a new term, starts afresh.
func (d *doubt) remembers(m *pb.Message) bool {
	switch m.GetType() {
	case pb.MsgApp, pb.MsgHeartbeat, pb.MsgSnap, pb.MsgTimeoutNow:
		return m.GetTerm() <= d.openTerm
	}
	return false
}

// handOver asks such a leader to let another voter lead. Failing that, this replica's silence ends the leader's quorum, and an election
// gives the new term. A leader that is the only voter can neither hand over nor miss anybody: it is told of a newer term, and leads again
// in one after that.
func (d *doubt) handOver(m *pb.Message) *pb.Message {
	if !d.remembers(m) || d.asked > 0 {
		return nil
	}
	d.asked = askEvery * max(1, len(d.voters))
	for _, v := range d.voters {
		if v != d.id && v != m.GetFrom() {
			return &pb.Message{Type: pb.MsgTransferLeader.Enum(), To: new(m.GetFrom()), From: new(v), Term: new(m.GetTerm())}
		}
	}
	return &pb.Message{Type: pb.MsgAppResp.Enum(), To: new(m.GetFrom()), From: new(d.id), Term: new(m.GetTerm() + 1), Reject: new(true)}
}

// maySend tells whether a message may leave: a doubtful replica announces its log by pre-votes, but asks for no votes.
func (d *doubt) maySend(m *pb.Message, last uint64) bool {
	return m.GetType() != pb.MsgVote || d.settled(last) || d.newest(logEnd{m.GetLogTerm(), m.GetIndex()})
}

func (d *doubt) settled(last uint64) bool { return last >= d.upTo.index }

// newest tells that every other voter has announced its log, and none is newer than this one.
func (d *doubt) newest(end logEnd) bool {
	for _, v := range d.voters {
		if v == d.id {
			continue
		}
		if theirs, ok := d.logs[v]; !ok || end.less(theirs) {
			return false
		}
	}
	return true
}
