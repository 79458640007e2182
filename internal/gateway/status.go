package gateway

import (
	"fmt"
	"strings"
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

// leaderCheck holds when every shard has a leader that this node knows.
func (g *Gateway) leaderCheck() Check {
	c := Check{Name: "leader", OK: true}
	g.eachShard(func(shard Shard) {
		if s := shard.Status(); s.Leader == "" && s.Role != "leader" {
			c.fail(fmt.Sprintf("shard %d has no leader that this node knows", s.Shard))
		}
	})
	return c
}

// shardCheck covers that the index has everything applied: the shards report it with their own reasons.
func (g *Gateway) shardCheck() Check {
	c := Check{Name: "index", OK: true}
	g.eachShard(func(shard Shard) {
		if ok, reasons := shard.Ready(); !ok {
			c.fail(strings.Join(reasons, "; "))
		}
	})
	return c
}

func (c *Check) fail(reason string) {
	if c.OK = false; c.Reason != "" {
		c.Reason += "; "
	}
	c.Reason += reason
}

func (g *Gateway) eachShard(f func(Shard)) {
	for _, number := range g.shards.Numbers() {
		if s, ok := g.shards.Shard(number); ok {
			f(s)
		}
	}
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
	s := Status{Identity: g.identity, Uptime: g.clock.Now().Sub(g.identity.Started), Ready: ready}
	g.eachShard(func(shard Shard) { s.Shards = append(s.Shards, shard.Status()) })
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
