package peer

import (
	"cmp"
	"slices"
	"time"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
)

// about changes what is known of an incarnation.
func (t *Transport) about(incarnation uint64, change func(*known)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.known[incarnation]
	if k == nil {
		k = new(known)
		t.known[incarnation] = k
	}
	change(k)
	if k.lines == 0 && t.links[incarnation] == nil {
		delete(t.known, incarnation) // strangers that left are not remembered
	}
}

// seen notes what a peer said of itself.
func (t *Transport) seen(h *peerv1.Hello) {
	t.about(h.GetIncarnation(), func(k *known) { k.hello, k.lastHeard = h, time.Now() })
}

func (t *Transport) noteHeard(incarnation uint64, now time.Time) {
	t.about(incarnation, func(k *known) { k.lastHeard = now })
}

func (t *Transport) nodeOf(incarnation uint64) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if k := t.known[incarnation]; k != nil {
		return k.hello.GetNode()
	}
	return ""
}

// Peers lists the incarnations this node is connected with, or tries to be, in the order of their numbers.
func (t *Transport) Peers() []Status {
	list := make([]Status, 0, 8)
	for _, l := range t.all() {
		list = append(list, l.status())
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for incarnation := range t.known {
		if t.links[incarnation] == nil {
			list = append(list, Status{Incarnation: incarnation, Reason: "only the other way"})
		}
	}
	for i := range list {
		if k := t.known[list[i].Incarnation]; k != nil {
			k.tell(&list[i])
		}
	}
	slices.SortFunc(list, func(a, b Status) int { return cmp.Compare(a.Incarnation, b.Incarnation) })
	return list
}

// Connected tells whether messages to an incarnation can be sent.
func (t *Transport) Connected(to uint64) bool {
	t.mu.RLock()
	l := t.links[to]
	t.mu.RUnlock()
	return l != nil && l.status().Connected
}

func (k *known) tell(s *Status) {
	s.Node, s.Feature, s.Level, s.Version = k.hello.GetNode(), k.hello.GetFeature(), k.hello.GetLevel(), k.hello.GetVersion()
	s.LastHeard, s.Health, s.HealthAt = k.lastHeard, k.health, k.healthAt
}
