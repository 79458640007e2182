package client

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// session is one stream of a lane: from its opening to the first error. The lane's lock guards slots and free.
type session struct {
	stream grpc.ClientStream
	cancel context.CancelFunc
	addr   string
	node   *node
	slots  []*call
	free   []uint32
	ended  chan struct{} // closed by the receiver, after err
	err    error
	leave  bool // the node is not the one to ask; written by the receiver before ended is closed
	moving bool // the sender opens another as soon as all calls here are answered; guarded by the lane's lock

	// Guarded by the lane's lock.
	heard  time.Time // when the oldest silence began: at the last reply, or when a call was sent after none was under way
	silent bool      // given up, because nothing came for too long
}

// gone stands in a slot whose caller no longer waits: the slot is free when the server has answered.
var gone = &call{}

// road is the call that a lane's frames are sent with. Their messages have the same fields, but for the request and the response.
type road struct {
	method string
	desc   grpc.StreamDesc
	// ahead is how much earlier than the caller the server stops waiting, at most: so that it can say what it waited for.
	ahead time.Duration
	// silence is how long a node may leave all calls unanswered before another is asked, which must be longer than an election.
	silence time.Duration
	// leaves tells whether an unavailable answer means that another node should be asked.
	leaves func(e *Error) bool
	// read makes of a reply's response what the caller gets, for a call that is answered.
	read func(k *call, response []byte) (Result, error)
}

var (
	appendRoad = road{
		method:  gestav1.Log_AppendStream_FullMethodName,
		desc:    grpc.StreamDesc{StreamName: "AppendStream", ClientStreams: true, ServerStreams: true},
		silence: 1500 * time.Millisecond,
		leaves:  func(*Error) bool { return true },
		read:    func(_ *call, response []byte) (Result, error) { return decodeResult(response) },
	}
	executeRoad = road{
		method:  gestav1.Entities_ExecuteStream_FullMethodName,
		desc:    grpc.StreamDesc{StreamName: "ExecuteStream", ClientStreams: true, ServerStreams: true},
		ahead:   250 * time.Millisecond,
		silence: 5 * time.Second,                                                  // a handler may think
		leaves:  func(e *Error) bool { return e.Details["reason"] == "draining" }, // not for want of a handler: commands of other kinds are under way
		read:    func(k *call, response []byte) (Result, error) { return Result{}, decodeOutcome(response, k.into) },
	}
)

// open starts a session with the node in use. The error says that nothing was sent.
func (l *lane) open() (*session, *Error) {
	n := l.client.nodes.append()
	ctx, cancel := context.WithCancel(l.client.ctx)
	stream, err := n.conn.NewStream(ctx, &l.road.desc, l.road.method, grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		cancel()
		e, _ := errorOf(n.addr, err)
		l.client.nodes.leave(n)
		return nil, e
	}
	s := &session{stream: stream, cancel: cancel, addr: n.addr, node: n, ended: make(chan struct{})}
	go l.receive(s)
	return s, nil
}

// connect opens a session with the first node that accepts one.
func (l *lane) connect() (*session, *Error) {
	var e *Error
	for range l.client.nodes.count() {
		var s *session
		if s, e = l.open(); e == nil {
			l.client.contact.Store(true)
			l.client.nodes.ask()
			return s, nil
		}
	}
	e.final = e.Code == CodeUnavailable && !l.client.contact.Load()
	return nil, e
}

// take gives the call a slot.
func (s *session) take(k *call) {
	if s.idle() {
		s.heard = time.Now()
	}
	if n := len(s.free); n > 0 {
		k.slot, s.free = s.free[n-1], s.free[:n-1]
		s.slots[k.slot] = k
		return
	}
	k.slot = uint32(len(s.slots))
	s.slots = append(s.slots, k)
}

// answered frees the slot of a reply and returns its call: nil for one that nobody waits for.
func (s *session) answered(id uint64) (*call, error) {
	if id >= uint64(len(s.slots)) || s.slots[id] == nil {
		return nil, errFrame
	}
	k := s.slots[id]
	s.slots[id] = nil
	s.free = append(s.free, uint32(id))
	if k == gone {
		return nil, nil
	}
	return k, nil
}

// receive completes calls until the stream ends.
func (l *lane) receive(s *session) {
	defer close(s.ended)
	defer s.cancel()
	var in inFrame
	var replies []reply
	var calls []*call
	for s.err == nil {
		if s.err = s.stream.RecvMsg(&in); s.err != nil {
			return
		}
		if replies, s.err = decodeReplies(in.data, replies[:0]); s.err != nil {
			return
		}
		calls, s.err = l.answered(s, replies, calls[:0])
		for i, k := range calls {
			if k != nil {
				s.leave = l.deliver(k, &replies[i]) || s.leave
			}
		}
		clear(calls)
		l.emptied(s)
		if s.leave {
			return
		}
	}
}

// answered takes the calls of the replies out of their slots.
func (l *lane) answered(s *session, replies []reply, calls []*call) ([]*call, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.heard, l.silences = time.Now(), 0
	for i := range replies {
		k, err := s.answered(replies[i].id)
		if err != nil {
			return calls, err
		}
		if k != nil {
			l.detach(k)
		}
		calls = append(calls, k)
	}
	return calls, nil
}

// deliver hands a call its outcome, and tells whether another node should be asked from now on.
func (l *lane) deliver(k *call, r *reply) (leave bool) {
	res, err := r.outcome(l.road, k)
	if err != nil && l.client.nodes.count() > 1 {
		leave = err.Code == CodeNoLeader || err.Code == CodeUnavailable && l.road.leaves(err)
	}
	l.complete(k, res, err)
	return leave
}

// idle tells whether all calls of the session are answered; with the lock held.
func (s *session) idle() bool { return len(s.free) == len(s.slots) }

// mostSilences bounds by how much a lane becomes more patient with every node that it left for its silence: all may be slow.
const mostSilences = 3

// tire ends the session when its node has answered nothing for too long although calls wait: it may be frozen, cut off from the other
// nodes, or gone without a word. With the lane's lock held.
func (l *lane) tire(s *session, now time.Time) {
	if s.silent || s.idle() || now.Sub(s.heard) <= l.road.silence<<l.silences {
		return
	}
	s.silent = true
	l.silences = min(l.silences+1, mostSilences)
	s.cancel()
}

// emptied wakes the sender when it waits for the session's last answer.
func (l *lane) emptied(s *session) {
	l.mu.Lock()
	wake := s.moving && s.idle()
	l.mu.Unlock()
	if wake {
		l.nudge()
	}
}

// lost is called by the sender when the session has ended: what was under way has an open outcome.
func (l *lane) lost(s *session) {
	<-s.ended
	if !s.moving {
		l.client.nodes.leave(s.node)
	}
	l.mu.Lock()
	l.session = nil
	var calls []*call
	for _, k := range s.slots {
		if k != nil && k != gone {
			l.detach(k)
			calls = append(calls, k)
		}
	}
	l.mu.Unlock()
	for _, k := range calls {
		l.complete(k, Result{}, s.failure(k))
	}
}

// failure is what the end of the session means for a call that had been sent.
func (s *session) failure(k *call) *Error {
	if s.silent {
		return &Error{Code: CodeUnknownOutcome, Message: s.addr + " has answered nothing for a while, what was sent may have been written"}
	}
	if s.leave || errors.Is(s.err, io.EOF) {
		return &Error{Code: CodeUnknownOutcome, Message: s.addr + " ended the connection before the answer, what was sent may have been written"}
	}
	if errors.Is(s.err, errFrame) {
		return &Error{Code: CodeUnknownOutcome, Message: s.addr + " answers in frames this client cannot read", cause: s.err, final: true}
	}
	e := writeErrorOf(s.addr, s.err)
	if e.Code == CodeTooLarge && k.weight() < frameTarget {
		// Another commit was over the server's limit and took this one with it.
		e.Code = CodeUnknownOutcome
	}
	return e
}
