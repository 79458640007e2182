package gateway

import (
	"fmt"
	"time"
)

// Disk is the volume of the data folder, in bytes.
type Disk struct {
	Free, Floor uint64
}

// SetDisk tells what the last look at the volume found.
func (g *Gateway) SetDisk(d Disk) { g.disk.Store(&d) }

// Check is one thing that must hold for the node to be ready.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// Ready tells whether the node serves everything, and check by check why not.
func (g *Gateway) Ready() (bool, []Check) {
	checks := []Check{g.leaderCheck(), g.shardCheck(), g.diskCheck(), g.drainCheck()}
	for _, c := range checks {
		if !c.OK {
			return false, checks
		}
	}
	return true, checks
}

func (g *Gateway) leaderCheck() Check {
	s := g.shard.Status()
	if s.Leader != "" || s.Role == "leader" {
		return Check{Name: "leader", OK: true}
	}
	return Check{Name: "leader", Reason: fmt.Sprintf("shard %d has no leader that this node knows", s.Shard)}
}

// shardCheck covers that the index has everything applied: the shard reports it with its own reasons.
func (g *Gateway) shardCheck() Check {
	ok, reasons := g.shard.Ready()
	c := Check{Name: "index", OK: ok}
	for i, r := range reasons {
		if i > 0 {
			c.Reason += "; "
		}
		c.Reason += r
	}
	return c
}

func (g *Gateway) diskCheck() Check {
	if err := g.refusal.Load(); err != nil {
		return Check{Name: "disk", Reason: err.Error()}
	}
	return Check{Name: "disk", OK: true}
}

func (g *Gateway) drainCheck() Check {
	if g.draining.Load() {
		return Check{Name: "draining", Reason: "the node is draining before it stops"}
	}
	return Check{Name: "draining", OK: true}
}

// Status is the node as it sees itself.
type Status struct {
	Identity
	Uptime  time.Duration
	Ready   bool
	Reasons []string
	Disk    Disk
	Shards  []ShardStatus
	Topics  int
}

// Status tells about this node.
func (g *Gateway) Status(who Caller) (Status, error) {
	if err := g.auth.Authorize(who, ActInspect, nil); err != nil {
		return Status{}, err
	}
	ready, checks := g.Ready()
	s := Status{Identity: g.identity, Uptime: g.clock.Now().Sub(g.identity.Started), Ready: ready, Shards: []ShardStatus{g.shard.Status()}}
	for _, c := range checks {
		if !c.OK {
			s.Reasons = append(s.Reasons, c.Reason)
		}
	}
	if d := g.disk.Load(); d != nil {
		s.Disk = *d
	}
	s.Topics = g.topics.Count()
	return s, nil
}
