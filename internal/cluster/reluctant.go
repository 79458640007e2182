package cluster

import (
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

// clockApart is how far a node's clock may be from that of most others before it leads nothing: recorded times are the leader's.
const clockApart = time.Second

// LowDisk tells that this node's disk is nearly full, or by nil that it has space again. What is led here is handed over; where nobody
// else can lead, appends are refused with the error.
func (h *Host) LowDisk(why *errs.Error) {
	h.low.Store(why)
	h.nudge()
}

// reluctant tells why this node should lead nothing, if there is a reason.
func (h *Host) reluctant() string {
	self, _ := h.meta.Member(h.id.Replica)
	switch {
	case self.Draining:
		return "the node is draining"
	case self.Stopping || h.stopping.Load():
		return "the node is stopping"
	case h.low.Load() != nil:
		return "the disk is nearly full"
	case h.clockWrong():
		return "the clock is more than a second from that of most nodes"
	}
	return ""
}

// apart tells that the other end has another time. Half the way of a message may be part of the difference.
func (l *Link) apart() bool { return l.ClockOffset.Abs()-l.RoundTrip/2 > clockApart }

// clockWrong tells that most of the other nodes that are heard of have another time.
func (h *Host) clockWrong() bool {
	apart, heard := 0, 0
	for _, n := range h.Nodes() {
		if n.Self || !n.Link.Connected || n.Link.RoundTrip == 0 {
			continue
		}
		heard++
		if n.Link.apart() {
			apart++
		}
	}
	return heard > 1 && apart > heard/2 || heard == 1 && apart == 1 && len(h.meta.Members()) == 2
}

// refuseAppends lets the shards here refuse appends while the disk is nearly full and nobody else can lead them.
func (h *Host) refuseAppends(g *group, heir uint64) {
	s := h.local(g.number)
	if s == nil || g.number == metaGroup {
		return
	}
	why := h.low.Load()
	if why != nil && g.leads() && heir != 0 {
		return // it goes to the heir
	}
	s.Refuse("disk", why)
}

// full tells that a node says its disk is below the floor.
func (n *Node) full() bool {
	return n.Health.Disk.Floor > 0 && n.Health.Disk.Free < n.Health.Disk.Floor
}

// unfit are the replicas that should not be given the leadership now.
func (h *Host) unfit() map[uint64]bool {
	ids, wrong := map[uint64]bool{}, h.clockWrong()
	for _, n := range h.Nodes() {
		ids[n.Member.Replica] = !n.Member.Leads() || n.full() || !n.Self && !wrong && n.Link.apart()
	}
	return ids
}
