package cluster

import (
	"slices"

	"github.com/gesta-db/gesta/internal/replica"
)

// Group is a group as its leader sees it. What becomes of its members is decided by pure functions of it and of what shall be; the
// simulator follows the same ones as a host.
type Group struct {
	// Self is the replica that looks; Last is the newest entry of its log.
	Self, Last uint64
	// Members are the group's replicas as their leader sees them; empty where it does not lead.
	Members []replica.Member
}

// Step is what a leader does next about its group: changes of the configuration that go together, or a transfer of the leadership, or
// nothing.
type Step struct {
	Changes  []replica.ConfChange
	Transfer uint64
}

// near is how many entries a replica may be behind and still count as caught up: it gets them within an election timeout.
const near = 1000

// follows tells whether a replica is heard of and nearly up to date. A new one counts as heard of before it was, but has nothing.
func (g *Group) follows(m replica.Member) bool {
	return m.Active && !m.Snapshot && m.Match > 0 && m.Match+near >= g.Last
}

// Next brings the members one step nearer to the replicas that are wanted, of which at most so many vote.
func (g *Group) Next(wanted []uint64, most int) Step {
	if len(wanted) == 0 || len(g.Members) == 0 {
		return Step{}
	}
	for _, id := range wanted {
		if !slices.ContainsFunc(g.Members, func(m replica.Member) bool { return m.ID == id }) {
			return Step{Changes: []replica.ConfChange{{Change: replica.AddLearner, ID: id}}}
		}
	}
	var changes []replica.ConfChange
	for _, id := range g.promotable(wanted, most) {
		changes = append(changes, replica.ConfChange{Change: replica.AddVoter, ID: id})
	}
	if len(changes) > 0 {
		return Step{Changes: changes}
	}
	return g.dismiss(wanted, most)
}

// promotable are the learners that shall vote now: as many as make the number of voters what it shall be, all at once.
func (g *Group) promotable(wanted []uint64, most int) (ready []uint64) {
	for _, m := range g.Members {
		if m.Learner && slices.Contains(wanted, m.ID) && g.follows(m) {
			ready = append(ready, m.ID)
		}
	}
	missing := voters(len(wanted), most) - g.voting(wanted)
	if missing <= 0 || len(ready) < missing {
		return nil
	}
	return ready[:missing]
}

// voting is how many of the replicas that are wanted vote.
func (g *Group) voting(wanted []uint64) (n int) {
	for _, m := range g.Members {
		if !m.Learner && slices.Contains(wanted, m.ID) {
			n++
		}
	}
	return n
}

// dismiss takes out a replica that shall not be there, once the others can do without it; a leader lets another lead first.
func (g *Group) dismiss(wanted []uint64, most int) Step {
	for _, m := range g.Members {
		if slices.Contains(wanted, m.ID) || !m.Learner && !g.replaced(wanted, most, m.ID) {
			continue
		}
		if m.ID != g.Self {
			return Step{Changes: []replica.ConfChange{{Change: replica.Remove, ID: m.ID}}}
		}
		if next := g.Successor(nil); next != 0 {
			return Step{Transfer: next}
		}
	}
	return Step{}
}

// replaced tells that a voter may go: those that stay decide without it, and none that shall vote in its place is still catching up.
func (g *Group) replaced(wanted []uint64, most int, id uint64) bool {
	catching := slices.ContainsFunc(g.Members, func(m replica.Member) bool { return m.Learner && m.Active && slices.Contains(wanted, m.ID) })
	return g.QuorumWithout(id) && (!catching || g.voting(wanted) >= voters(len(wanted), most))
}

// QuorumWithout tells whether the voters that are heard of would still decide if one replica were taken out.
func (g *Group) QuorumWithout(id uint64) bool {
	voters, active := 0, 0
	for _, m := range g.Members {
		if m.Learner || m.ID == id {
			continue
		}
		if voters++; m.Active {
			active++
		}
	}
	return voters > 0 && active > voters/2
}

// Successor is the voter that would best lead in the place of this one; 0 when nobody can. Those that are unfit do not count.
func (g *Group) Successor(unfit map[uint64]bool) (best uint64) {
	match := uint64(0)
	for _, m := range g.Members {
		if g.mayLead(m, unfit) && (best == 0 || m.Match > match) {
			best, match = m.ID, m.Match
		}
	}
	return best
}

// Leader is who shall lead in the place of this replica: the one that is wanted, or, when this one is reluctant, any other; 0: it goes on.
func (g *Group) Leader(shall uint64, unfit map[uint64]bool, reluctant bool) uint64 {
	for _, m := range g.Members {
		if m.ID == shall && g.mayLead(m, unfit) {
			return shall
		}
	}
	if reluctant {
		return g.Successor(unfit)
	}
	return 0
}

func (g *Group) mayLead(m replica.Member, unfit map[uint64]bool) bool {
	return m.ID != g.Self && !m.Learner && !unfit[m.ID] && g.follows(m)
}
