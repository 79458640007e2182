package meta

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

// Member is a node of the cluster, as it described itself last.
type Member struct {
	// Node names it to people. Replica is its number in every group: a folder that was lost and made anew has another.
	Node    string `json:"node"`
	Replica uint64 `json:"replica"`
	// Where other nodes and clients reach it: HOST:PORT.
	Peer string `json:"peer"`
	GRPC string `json:"grpc,omitempty"`
	HTTP string `json:"http,omitempty"`
	// Zone is what fails together with it; empty: unknown.
	Zone    string `json:"zone,omitempty"`
	Version string `json:"version,omitempty"`
	// Feature is the highest feature level that it can follow.
	Feature uint32 `json:"feature,omitempty"`
	// Draining: it shall lead nothing and get no new replica.
	Draining bool `json:"draining,omitempty"`
	// Stopping: it is about to stop and leads nothing until it is back.
	Stopping bool      `json:"stopping,omitempty"`
	Joined   time.Time `json:"joined"`
}

// Leads tells whether the node may lead.
func (m *Member) Leads() bool { return !m.Draining && !m.Stopping }

// Shard is a log of the cluster and where its replicas shall be.
type Shard struct {
	Number uint32 `json:"number"`
	// Initial are the voters that its group began with: a new replica opens its log with them, and learns what changed from the log.
	Initial []uint64 `json:"initial"`
	// Replicas are the replicas it shall have; the group's own configuration follows.
	Replicas []uint64 `json:"replicas"`
	// Factor is how many replicas it shall have once there are nodes enough.
	Factor int `json:"factor"`
	// Leader is the replica that shall lead when nothing speaks against it; 0: any.
	Leader  uint64    `json:"leader,omitempty"`
	Created time.Time `json:"created"`
	// History and Forks say how the shard's log was forked by forced recoveries; 0 and none: never.
	History uint64 `json:"history,omitempty"`
	Forks   []Fork `json:"forks,omitempty"`
}

// Fork is where a forced recovery left an older history: what it had up to Offset is in the log, what came after is not.
type Fork struct {
	History uint64 `json:"history"`
	Offset  uint64 `json:"offset"`
}

// removal takes a member out of the cluster.
type removal struct {
	Node string `json:"node"`
	// Replica guards against removing another node that got the same name since; 0: any.
	Replica uint64 `json:"replica,omitempty"`
}

// drain sets or ends a member's draining.
type drain struct {
	Node string `json:"node"`
	On   bool   `json:"on"`
}

// putMember takes in a node, or a node's newer description of itself.
func (s *state) putMember(m *Member) error {
	was, known := s.Members[m.Node]
	if _, gone := s.Gone[m.Replica]; gone {
		return errs.New(errs.Exists, "node %s was removed from the cluster; with an empty data folder it can join again as a new one", m.Node).With("node", m.Node).With("removed", "true")
	}
	if known && was.Replica != m.Replica {
		return errs.New(errs.Exists, "the cluster has a node %s already, with another data folder: remove that one first (gesta cluster remove %s), or give this one another --node-id", m.Node, m.Node).With("node", m.Node)
	}
	if m.Feature < s.Feature {
		return errs.New(errs.Unsupported, "the cluster uses feature level %d, and this version of node %s knows %d: run a newer version", s.Feature, m.Node, m.Feature).With("node", m.Node)
	}
	for _, o := range s.Members {
		if o.Node != m.Node && o.Replica == m.Replica {
			return errs.New(errs.Exists, "nodes %s and %s have the same data folder's identity: a copied folder cannot be a second node; start it with an empty one", o.Node, m.Node).With("node", m.Node)
		}
	}
	next := *m
	if known {
		next.Joined, next.Draining = was.Joined, was.Draining
	}
	s.Members = maps.Clone(s.Members)
	if s.Members == nil {
		s.Members = map[string]Member{}
	}
	s.Members[m.Node] = next
	return nil
}

func (s *state) removeMember(r *removal) error {
	was, known := s.Members[r.Node]
	if !known || r.Replica != 0 && r.Replica != was.Replica {
		return errs.New(errs.NotFound, "there is no node %s in the cluster", r.Node).With("node", r.Node)
	}
	s.Members = maps.Clone(s.Members)
	delete(s.Members, r.Node)
	s.Gone = maps.Clone(s.Gone)
	if s.Gone == nil {
		s.Gone = map[uint64]string{}
	}
	s.Gone[was.Replica] = r.Node
	return nil
}

func (s *state) drainMember(d *drain) error {
	was, known := s.Members[d.Node]
	if !known {
		return errs.New(errs.NotFound, "there is no node %s in the cluster", d.Node).With("node", d.Node)
	}
	was.Draining = d.On
	s.Members = maps.Clone(s.Members)
	s.Members[d.Node] = was
	return nil
}

// putShard declares a shard, which limit is for, or places one anew.
func (s *state) putShard(sh *Shard, limit int) error {
	next := *sh
	was, known := s.Shards[sh.Number]
	switch {
	case known && limit > 0:
		return errs.New(errs.Conflict, "there is a shard %d already: try again", sh.Number)
	case !known && limit > 0 && len(s.Shards) >= limit:
		return errs.New(errs.TooLarge, "there are %d shards, the limit", len(s.Shards)).With("limit", "shards")
	case known:
		if next.History == 0 {
			next.History, next.Forks = was.History, was.Forks
		}
		next.Initial, next.Factor, next.Created = was.Initial, was.Factor, was.Created
	}
	s.Shards = maps.Clone(s.Shards)
	if s.Shards == nil {
		s.Shards = map[uint32]Shard{}
	}
	s.Shards[sh.Number] = next
	return nil
}

// raise lets the cluster use a feature level, when every member can.
func (s *state) raise(level uint32) error {
	for _, m := range s.Members {
		if m.Feature < level {
			return errs.New(errs.Unsupported, "node %s (version %s) knows feature level %d only: upgrade it first", m.Node, m.Version, m.Feature).With("node", m.Node)
		}
	}
	s.Feature = max(s.Feature, level)
	return nil
}

// Members lists the nodes in the order of their names.
func (m *Meta) Members() []Member {
	st := m.state.Load()
	return slices.SortedFunc(maps.Values(st.Members), func(a, b Member) int { return cmp.Compare(a.Node, b.Node) })
}

// Size is how many nodes the cluster has.
func (m *Meta) Size() int { return len(m.state.Load().Members) }

// Member finds a node by its replica number.
func (m *Meta) Member(replica uint64) (Member, bool) {
	for _, o := range m.state.Load().Members {
		if o.Replica == replica {
			return o, true
		}
	}
	return Member{}, false
}

// Gone tells whether a replica was removed from the cluster, and which node it was.
func (m *Meta) Gone(replica uint64) (node string, gone bool) {
	node, gone = m.state.Load().Gone[replica]
	return node, gone
}

// Shards lists the shards in the order of their numbers.
func (m *Meta) Shards() []Shard {
	st := m.state.Load()
	return slices.SortedFunc(maps.Values(st.Shards), func(a, b Shard) int { return cmp.Compare(a.Number, b.Number) })
}

// Shard gives a shard by its number.
func (m *Meta) Shard(number uint32) (Shard, bool) {
	s, ok := m.state.Load().Shards[number]
	return s, ok
}

// Feature is the level that every member of the cluster follows.
func (m *Meta) Feature() uint32 { return m.state.Load().Feature }
