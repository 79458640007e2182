package meta

import (
	"encoding/json"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/replica"
)

// Stepped is a replica of the meta group without goroutines: whoever holds it decides when time passes, when a write reaches the disk
// and which message arrives. It is the same state, log and installing as a running Meta; the simulator drives it.
type Stepped struct {
	m *Meta
}

// OpenStepped opens the folder. Segment, in bytes, and every, in entries, stand for the sizes by which the log is trimmed.
func OpenStepped(o Options, segment int64, every uint64) (*Stepped, error) {
	o.segment, o.every = segment, every
	m := &Meta{o: o, flights: map[uint64]*change{}, wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}), caughtUp: make(chan struct{})}
	if err := m.begin(); err != nil {
		return nil, err
	}
	m.publish()
	return &Stepped{m: m}, nil
}

// Pending is a change that waits for its outcome.
type Pending struct{ ch *change }

// Outcome gives the entry that holds the change, or why it is not one; false as long as that is not decided.
func (p *Pending) Outcome() (index uint64, err error, decided bool) {
	select {
	case o := <-p.ch.done:
		return o.index, o.err, true
	default:
		return 0, nil, false
	}
}

// CursorCommand is the command that moves a cursor; see Meta.SetCursor.
func CursorCommand(name, position string, expect *string) ([]byte, error) {
	return json.Marshal(command{SetCursor: &setCursor{Cursor: Cursor{Name: name, Position: position}, Expect: expect}})
}

// Propose makes a change here, where this replica leads; see Meta.Propose.
func (s *Stepped) Propose(payload []byte) *Pending {
	ch := &change{payload: payload, done: make(chan outcome, 1)}
	s.m.post(func(in *inbox) { in.changes = append(in.changes, ch) })
	return &Pending{ch}
}

// Receive takes a peer's message.
func (s *Stepped) Receive(m *pb.Message) { s.m.Deliver([]*pb.Message{m}) }

// Tick passes one tick of time.
func (s *Stepped) Tick() { s.m.rep.Tick() }

// Advance does what is due; messages are the caller's to carry. An error ends the replica.
func (s *Stepped) Advance() ([]*pb.Message, error) {
	s.m.feed()
	s.m.step()
	ms := s.m.messages
	s.m.messages = nil
	return ms, s.m.fatal
}

// Waiting is how many writes wait for the disk.
func (s *Stepped) Waiting() int { return len(s.m.writes) }

// Store makes the first writes that wait durable, as the pump would.
func (s *Stepped) Store(n int) error {
	ws := s.m.writes[:n]
	s.m.writes = s.m.writes[n:]
	err := s.m.disk.Store(ws)
	if err == nil {
		s.m.wrote(ws, nil)
	}
	return err
}

// Mark writes a durable mark.
func (s *Stepped) Mark() error { return s.m.disk.Mark(s.m.rep.Status().Commit) }

// Status tells where the replica is.
func (s *Stepped) Status() Status { return s.m.Status() }

// Cursor gives a cursor by its name.
func (s *Stepped) Cursor(name string) (Cursor, bool) { return s.m.Cursor(name) }

// State is what the replica has applied, in one form for every replica, and up to which entry.
func (s *Stepped) State() (applied uint64, state []byte, err error) {
	st := *s.m.state.Load()
	st.Index = 0 // it counts entries without a command, or not, as a snapshot was made
	state, err = json.Marshal(&st)
	return s.m.applied, state, err
}

// Entries gives stored entries from one on, as far as the log still has it.
func (s *Stepped) Entries(lo, hi uint64) (all []replica.Entry, err error) {
	for lo = max(lo, s.m.disk.Log.First()); lo < hi; {
		es, err := s.m.disk.Log.Entries(lo, hi, 1<<30)
		if err != nil {
			return nil, err
		}
		all = append(all, es...)
		lo += uint64(len(es))
	}
	return all, nil
}

// Transfer lets another voter lead.
func (s *Stepped) Transfer(to uint64) { s.m.rep.Transfer(to) }

// Close closes the log.
func (s *Stepped) Close() error { return s.m.disk.Close() }
