package cluster

import (
	"slices"

	"github.com/gesta-db/gesta/internal/replica"
)

// group is a group with a replica here, as it is at the moment.
type group struct {
	number  uint32
	status  replica.Status
	members []replica.Member // as its leader sees them; nil where it does not lead
	conf    replica.Conf
	control control
}

// control changes a group; it works only where it leads.
type control interface {
	ChangeConf(...replica.ConfChange) error
	Transfer(to uint64) error
}

// groups lists the groups here, the meta group first.
func (h *Host) groups() []group {
	m := h.meta.Status()
	gs := []group{{number: metaGroup, status: m.Status, members: m.Members, conf: m.Conf, control: h.meta}}
	for number, s := range h.locals() {
		st := s.Status()
		if st.Stopped == nil {
			gs = append(gs, group{number: number, status: st.Status, members: st.Members, conf: st.Conf, control: s})
		}
	}
	slices.SortFunc(gs, func(a, b group) int { return int(a.number) - int(b.number) })
	return gs
}

func (g *group) leads() bool { return g.status.Role == replica.Leader }

// near is how many entries a replica may be behind and still count as caught up: it gets them within an election timeout.
const near = 1000

// follows tells whether a replica is heard of and nearly up to date. A new one counts as heard of before it was, but has nothing.
func (g *group) follows(m replica.Member) bool {
	return m.Active && !m.Snapshot && m.Match > 0 && m.Match+near >= g.status.Last
}

// successor is the voter that would best lead a group led here; 0 when it is not led here or nobody else can.
func successor(g group, self uint64) (best uint64) {
	if !g.leads() {
		return 0
	}
	match := uint64(0)
	for _, m := range g.members {
		if m.ID != self && !m.Learner && g.follows(m) && (best == 0 || m.Match > match) {
			best, match = m.ID, m.Match
		}
	}
	return best
}

// quorumWithout tells whether the voters that are heard of would still decide if one replica were taken out.
func (g *group) quorumWithout(id uint64) bool {
	voters, active := 0, 0
	for _, m := range g.members {
		if m.Learner || m.ID == id {
			continue
		}
		if voters++; m.Active {
			active++
		}
	}
	return voters > 0 && active > voters/2
}
