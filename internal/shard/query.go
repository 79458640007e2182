package shard

import (
	"slices"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/replica"
)

// remote is a query of a follower: it asked the leader how far the log is committed, and waits until that much is applied here.
type remote struct {
	query     *query
	confirm   uint64 // the question that was asked for it
	ticks     int    // since it was asked
	index     uint64 // once confirmed: what must be applied
	confirmed bool
}

// askEvery is how many ticks an answer of the leader may take before it is asked again: the question, or the answer, may be lost.
const askEvery = 3

// Query asks for a moment at which everything acknowledged before is applied here.
func (c *Core) Query(q *query) { c.parked = append(c.parked, q) }

// unpark begins to confirm queries: here when this replica serves, by a question to the leader when it follows one. Without a leader
// they stay parked.
func (c *Core) unpark() {
	if len(c.parked) == 0 || !c.canJudge() && !c.follows() {
		return
	}
	qs := c.parked
	c.parked = nil // a change of roles on the way parks what it finds
	if c.canJudge() {
		for _, q := range qs {
			c.answer(q, func(err error) { q.err = err }, q.deadline)
		}
		return
	}
	c.confirm++
	for _, q := range qs {
		c.remote = append(c.remote, &remote{query: q, confirm: c.confirm})
	}
	c.rep.Confirm(c.confirm)
	c.ready()
}

func (c *Core) follows() bool {
	s := c.rep.Status()
	return s.Role == replica.Follower && s.Leader != 0 && s.Leader != c.cfg.Replica
}

// parkRemote puts back what no leader has answered yet: who leads is another now. What was answered stays true.
func (c *Core) parkRemote() {
	c.remote = slices.DeleteFunc(c.remote, func(r *remote) bool {
		if !r.confirmed {
			c.parked = append(c.parked, r.query)
		}
		return !r.confirmed
	})
}

func (c *Core) confirmRemote(n, index uint64) {
	for _, r := range c.remote {
		if !r.confirmed && r.confirm <= n {
			r.confirmed, r.index = true, index
		}
	}
}

func (c *Core) releaseRemote() {
	applied := c.rep.Status().Applied
	c.remote = slices.DeleteFunc(c.remote, func(r *remote) bool {
		if !r.confirmed || r.index > applied {
			return false
		}
		c.out.Done = append(c.out.Done, r.query)
		return true
	})
}

// askAgain repeats questions that have waited for long, all with one.
func (c *Core) askAgain() {
	again := false
	for _, r := range c.remote {
		if r.confirmed {
			continue
		}
		if r.ticks++; r.ticks >= askEvery {
			r.ticks, r.confirm, again = 0, c.confirm+1, true
		}
	}
	if again {
		c.confirm++
		c.rep.Confirm(c.confirm)
	}
}

func (c *Core) expireQueries(late func(time.Time) bool) {
	expire := func(q *query) bool {
		if !late(q.deadline) {
			return false
		}
		q.err = errs.New(errs.NoLeader, "the deadline passed before a leader confirmed the read: try again")
		c.out.Done = append(c.out.Done, q)
		return true
	}
	c.parked = slices.DeleteFunc(c.parked, expire)
	c.remote = slices.DeleteFunc(c.remote, func(r *remote) bool { return expire(r.query) })
}

// queries are those without an answer.
func (c *Core) queries() []*query {
	qs := slices.Clone(c.parked)
	for _, r := range c.remote {
		qs = append(qs, r.query)
	}
	return qs
}
