package client

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

const (
	// lookAgain is how soon the cluster is asked again while it has no leader: a part of an election.
	lookAgain = 100 * time.Millisecond
	// lookEvery is how often it is asked while calls are under way: the leader may move without a failure.
	lookEvery = 2 * time.Second
	// lookTimeout bounds one question.
	lookTimeout = time.Second
	// mostNodes bounds what is learned.
	mostNodes = 64
)

// learn keeps what the client knows of the cluster up to date, from the first answer of a server on, while it is in use.
func (c *Client) learn() {
	tick := time.NewTimer(lookEvery)
	defer tick.Stop()
	rest, again := lookEvery, false
	for {
		wanted, used := false, false
		select {
		case <-c.ctx.Done():
			return
		case <-c.nodes.wanted:
			wanted = true
		case <-tick.C:
			used = c.busy()
		}
		switch {
		case wanted:
			again, rest = c.look(), lookAgain
		case again, used:
			again, rest = c.look(), min(2*rest, lookEvery)
		}
		if !again {
			rest = lookEvery
		}
		again = again && rest < lookEvery // an idle client does not ask for ever
		tick.Reset(rest)
	}
}

func (c *Client) busy() bool {
	appends, executes := c.appends.busy(), c.executes.busy()
	return appends || executes
}

// look asks about the cluster. It returns true when it is to be asked again soon: there is no leader, or one that is not reached yet.
func (c *Client) look() (again bool) {
	ctx, cancel := context.WithTimeout(c.ctx, lookTimeout)
	defer cancel()
	n := c.nodes.use()
	m, err := gestav1.NewClusterClient(n.conn).Status(ctx, &gestav1.ClusterStatusRequest{})
	if err != nil {
		e, _ := errorOf(n.addr, err)
		if e.retryable() {
			c.nodes.pass(n)
		}
		return e.retryable()
	}
	s := clusterOf(m)
	if len(s.Nodes) < 2 {
		return false // and what one node alone calls itself is not looked at: the address that it was reached by is better
	}
	dropped := c.nodes.update(s, c.dial)
	for _, n := range dropped {
		n.conn.Close() // only tells that it was closed before
	}
	c.prove(ctx, s)
	return !c.nodes.follow(s)
}

// dial makes a node of an address that the cluster told; nil when it cannot be used from here.
func (c *Client) dial(addr string) *node {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		return nil
	}
	if c.opts.Token != "" && c.opts.TLS == nil && !loopback(host) {
		return nil
	}
	conn, err := grpc.NewClient(passthrough+addr, dialOptions(c.opts)...)
	if err != nil {
		return nil
	}
	return &node{addr: addr, conn: conn, learned: true}
}

// update takes in which nodes there are. It returns those that are no members any more.
func (s *nodes) update(told ClusterStatus, dial func(addr string) *node) (dropped []*node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	member := map[string]bool{}
	for _, t := range told.Nodes {
		member[t.GRPCAddress] = true
		if s.find(t.GRPCAddress) == nil && len(s.all) < mostNodes {
			if n := dial(t.GRPCAddress); n != nil {
				s.all = append(s.all, n)
			}
		}
	}
	s.all = slices.DeleteFunc(s.all, func(n *node) bool {
		gone := n.learned && !member[n.addr]
		if gone {
			dropped = append(dropped, n)
		}
		return gone
	})
	for _, n := range dropped {
		if s.inUse == n {
			s.inUse = s.all[0]
		}
		if s.leader == n {
			s.leader = nil
		}
	}
	for _, n := range s.all {
		n.conn.Connect() // so that another can be asked at once when one is lost
	}
	return dropped
}

func (s *nodes) find(addr string) *node {
	if i := slices.IndexFunc(s.all, func(n *node) bool { return n.addr == addr }); i >= 0 {
		return s.all[i]
	}
	return nil
}

// prove asks the nodes that were learned whether they are who the cluster says: an address may mean another server here.
func (c *Client) prove(ctx context.Context, told ClusterStatus) {
	var asking sync.WaitGroup
	for _, t := range told.Nodes {
		n := c.nodes.unproven(t.GRPCAddress)
		if n == nil || t.State == "silent" {
			continue
		}
		asking.Go(func() {
			m, err := gestav1.NewNodeClient(n.conn).Status(ctx, &gestav1.StatusRequest{})
			if err == nil && m.GetClusterId() == told.ClusterID && m.GetNodeId() == t.NodeID {
				c.nodes.mu.Lock()
				n.proven = true
				c.nodes.mu.Unlock()
			}
		})
	}
	asking.Wait()
}

func (s *nodes) unproven(addr string) *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.find(addr); n != nil && n.learned && !n.proven {
		return n
	}
	return nil
}

// follow takes in who leads. It returns false when that is not known, or the leader cannot be asked.
func (s *nodes) follow(told ClusterStatus) bool {
	addr := leaderOf(told)
	s.mu.Lock()
	n := s.find(addr)
	if n == nil || !n.usable() {
		s.mu.Unlock()
		return false
	}
	moved := s.leader != n
	s.leader = n
	s.mu.Unlock()
	if moved {
		s.moved()
	}
	return true
}

// leaderOf gives the address of the node that leads most shards, of several the one that leads the first; empty when none is known.
// What a shard's newest term says counts: what others last told may be old.
func leaderOf(s ClusterStatus) string {
	newest := map[uint32]ClusterReplica{}
	for _, n := range s.Nodes {
		for _, r := range n.Replicas {
			if was, ok := newest[r.Shard]; r.Shard > 0 && (!ok || r.Term > was.Term || r.Term == was.Term && was.Leader == "") {
				newest[r.Shard] = r
			}
		}
	}
	led, first := map[string]int{}, map[string]uint32{}
	for shard, r := range newest {
		led[r.Leader]++
		if f, ok := first[r.Leader]; !ok || shard < f {
			first[r.Leader] = shard
		}
	}
	best := ""
	for name, n := range led {
		if name != "" && (best == "" || n > led[best] || n == led[best] && first[name] < first[best]) {
			best = name
		}
	}
	for _, n := range s.Nodes {
		if n.NodeID == best && n.State != "silent" {
			return n.GRPCAddress
		}
	}
	return ""
}
