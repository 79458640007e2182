package replica

import (
	pb "go.etcd.io/raft/v3/raftpb"
)

// doubt holds back votes after a cut; the package document gives the rule and its reason.
type doubt struct {
	id     uint64
	upTo   uint64 // 0: none
	voters []uint64
	logs   map[uint64]logEnd // what other voters have announced since this open
}

// logEnd is how new a log is, in Raft's order.
type logEnd struct{ term, index uint64 }

func (a logEnd) less(b logEnd) bool {
	return a.term < b.term || a.term == b.term && a.index < b.index
}

func newDoubt(id uint64, h HardState) doubt {
	return doubt{id: id, upTo: h.Doubt, voters: h.Conf.Voters, logs: map[uint64]logEnd{}}
}

func isVote(m *pb.Message) bool {
	return m.GetType() == pb.MsgVote || m.GetType() == pb.MsgPreVote
}

// heard notes a log that a peer announces.
func (d *doubt) heard(m *pb.Message) {
	if d.upTo > 0 && isVote(m) {
		d.logs[m.GetFrom()] = logEnd{m.GetLogTerm(), m.GetIndex()}
	}
}

// mayHear tells whether a message may reach Raft: a request for a vote may not while it could elect a log that misses what
// this replica may have acknowledged and lost.
func (d *doubt) mayHear(m *pb.Message, last uint64) bool {
	return !isVote(m) || d.settled(last) || m.GetIndex() >= d.upTo || d.newest(logEnd{m.GetLogTerm(), m.GetIndex()})
}

// maySend tells whether a message may leave: a doubtful replica announces its log by pre-votes, but asks for no votes.
func (d *doubt) maySend(m *pb.Message, last uint64) bool {
	return m.GetType() != pb.MsgVote || d.settled(last) || d.newest(logEnd{m.GetLogTerm(), m.GetIndex()})
}

func (d *doubt) settled(last uint64) bool { return last >= d.upTo }

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
