package client

import (
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// node is a server of the cluster.
type node struct {
	addr string
	conn *grpc.ClientConn
	// learned from the cluster; the others were given by the caller.
	learned bool
	// proven: behind the address is the node that the cluster says is there. Of those that were given nothing is asked. Guarded by
	// the lock of nodes.
	proven bool
}

// connected tells whether a call would leave at once.
func (n *node) connected() bool { return n.conn.GetState() == connectivity.Ready }

// usable tells whether n may be asked: one that was learned only over a connection that stands, because its address may mean
// nothing here.
func (n *node) usable() bool { return !n.learned || n.proven && n.connected() }

// nodes are the servers that the client knows, and which of them it uses. Calls go to the one in use until it fails; appends and
// commands go to the leader while it is known.
type nodes struct {
	mu     sync.Mutex
	all    []*node // those that were given come first
	inUse  *node
	leader *node // nil: not known
	closed bool

	wanted chan struct{} // somebody wants to know the cluster anew
	moved  func()        // the leader is another
}

// given adds a node that the caller named.
func (s *nodes) given(addr string, conn *grpc.ClientConn) {
	n := &node{addr: addr, conn: conn}
	if s.all = append(s.all, n); s.inUse == nil {
		s.inUse = n
		s.wanted = make(chan struct{}, 1)
	}
}

func (s *nodes) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// use is the node that calls go to.
func (s *nodes) use() *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inUse
}

// append is the node that appends go to: the leader, as far as it is known and can be reached.
func (s *nodes) append() *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader != nil && s.leader.usable() && s.leader.conn.GetState() != connectivity.TransientFailure {
		return s.leader
	}
	return s.inUse
}

// leave takes a node out of use because it has failed, unless somebody already has.
func (s *nodes) leave(n *node) {
	s.pass(n)
	s.ask()
}

func (s *nodes) pass(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == n {
		s.leader = nil
	}
	if s.inUse == n {
		s.inUse = s.after(n)
	}
}

// after is the next node to try: one with a connection that has not failed, if there is any.
func (s *nodes) after(n *node) *node {
	at := slices.Index(s.all, n)
	next := n
	for i := range s.all {
		m := s.all[(at+1+i+len(s.all))%len(s.all)]
		if m == n || !m.usable() {
			continue
		}
		switch m.conn.GetState() {
		case connectivity.Ready, connectivity.Idle:
			return m
		}
		if next == n {
			next = m
		}
	}
	return next
}

// ask has the cluster looked at soon.
func (s *nodes) ask() {
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// close ends all connections.
func (s *nodes) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, n := range s.all {
		n.conn.Close() // only tells that it was closed before
	}
}
