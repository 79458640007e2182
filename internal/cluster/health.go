package cluster

import (
	"encoding/json"
	"runtime"
	"time"

	"github.com/gesta-db/gesta/internal/meta"
)

// Health is what a node tells all others of itself, once a second.
type Health struct {
	Node    string    `json:"node"`
	Version string    `json:"version"`
	Ready   bool      `json:"ready"`
	Reasons []string  `json:"reasons,omitempty"`
	Started time.Time `json:"started"`
	Disk    Disk      `json:"disk"`
	Memory  uint64    `json:"memory_bytes"`
	// Kinds are the kinds of entities that a handler here serves.
	Kinds []string `json:"kinds,omitempty"`
	// Stopping: it takes on nothing more.
	Stopping bool          `json:"stopping,omitempty"`
	Shards   []ShardHealth `json:"shards,omitempty"` // the meta group is number 0
}

// Disk is the volume of a node's data folder, in bytes.
type Disk struct {
	Free  uint64 `json:"free_bytes"`
	Floor uint64 `json:"floor_bytes"`
}

// ShardHealth is one replica as its node sees it.
type ShardHealth struct {
	Shard   uint32 `json:"shard"`
	Role    string `json:"role"`
	Term    uint64 `json:"term"`
	Leader  string `json:"leader,omitempty"`
	Last    uint64 `json:"last_index"`
	Applied uint64 `json:"applied_index"`
	Offset  uint64 `json:"last_offset,omitempty"`
	Stopped string `json:"stopped,omitempty"`
	// Replicas are told by the leader only.
	Replicas []ReplicaHealth `json:"replicas,omitempty"`
}

// ReplicaHealth is a replica as its group's leader sees it.
type ReplicaHealth struct {
	Node    string `json:"node"`
	Learner bool   `json:"learner,omitempty"`
	Active  bool   `json:"active"`
	Match   uint64 `json:"match_index"`
}

// Node is a member of the cluster and what was last heard of it.
type Node struct {
	Member meta.Member
	Health Health
	// Self: it is this node. Otherwise HeardAt is when its health came, zero for never.
	Self    bool
	HeardAt time.Time
	Link    Link
}

// Link is the way to another node.
type Link struct {
	Connected bool
	// RoundTrip is the shortest of the newest; ClockOffset how far its clock is ahead of this node's.
	RoundTrip, ClockOffset time.Duration
}

// health tells how this node is; base has what the host does not know.
func (h *Host) health() Health {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	out := Health{Node: h.o.Self.Node, Version: h.o.Self.Version, Memory: memory.Sys - memory.HeapReleased}
	if _, err := h.ready(); err != nil {
		return out
	}
	for _, g := range h.groups() {
		s := ShardHealth{
			Shard: g.number, Role: g.status.Role.String(), Term: g.status.Term, Leader: h.name(g.status.Leader), Last: g.status.Last, Applied: g.status.Applied,
		}
		if local := h.local(g.number); local != nil && g.number != metaGroup {
			s.Offset = local.Status().LastOffset
		}
		for _, m := range g.Members {
			s.Replicas = append(s.Replicas, ReplicaHealth{Node: h.name(m.ID), Learner: m.Learner, Active: m.Active, Match: m.Match})
		}
		out.Shards = append(out.Shards, s)
	}
	return out
}

// Health is this node's health as the others get it. Base tells what only the house knows: readiness, disk, start.
func (h *Host) Health(base Health) []byte {
	own := h.health()
	own.Ready, own.Reasons, own.Disk, own.Started, own.Kinds = base.Ready, base.Reasons, base.Disk, base.Started, base.Kinds
	own.Stopping = h.stopping.Load()
	h.mu.Lock()
	h.own = own
	h.mu.Unlock()
	h.noteServing()
	b, err := json.Marshal(own)
	if err != nil {
		return nil
	}
	return b
}

// Heard notes what a peer tells of itself.
func (h *Host) Heard(replica uint64, body []byte, at time.Time, link Link) {
	var got Health
	if json.Unmarshal(body, &got) != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard[replica] = heard{got, at, link}
}

type heard struct {
	health Health
	at     time.Time
	link   Link
}

// Nodes lists the members of the cluster with what was last heard of each.
func (h *Host) Nodes() []Node {
	m, err := h.ready()
	if err != nil {
		return nil
	}
	members := m.Members()
	h.mu.RLock()
	defer h.mu.RUnlock()
	nodes := make([]Node, len(members))
	for i, o := range members {
		nodes[i] = Node{Member: o, Self: o.Replica == h.id.Replica}
		if nodes[i].Self {
			nodes[i].Health = h.own
		} else if got, ok := h.heard[o.Replica]; ok {
			nodes[i].Health, nodes[i].HeardAt, nodes[i].Link = got.health, got.at, got.link
		}
	}
	return nodes
}
