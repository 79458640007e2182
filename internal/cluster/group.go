package cluster

import (
	"slices"

	"github.com/gesta-db/gesta/internal/replica"
)

// group is a group with a replica here, as it is at the moment.
type group struct {
	Group
	number  uint32
	status  replica.Status
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
	gs := []group{h.group(metaGroup, m.Status, m.Members, m.Conf, h.meta)}
	for number, s := range h.locals() {
		st := s.Status()
		if st.Stopped == nil {
			gs = append(gs, h.group(number, st.Status, st.Members, st.Conf, s))
		}
	}
	slices.SortFunc(gs, func(a, b group) int { return int(a.number) - int(b.number) })
	return gs
}

func (h *Host) group(number uint32, st replica.Status, members []replica.Member, conf replica.Conf, c control) group {
	return group{Group: Group{Self: h.id.Replica, Last: st.Last, Members: members}, number: number, status: st, conf: conf, control: c}
}

func (g *group) leads() bool { return g.status.Role == replica.Leader }
