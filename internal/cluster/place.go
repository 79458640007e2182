package cluster

import (
	"cmp"
	"slices"

	"github.com/gesta-db/gesta/internal/meta"
)

// Placement is decided by pure functions of the meta group's state, on the node that leads it.

// place chooses where a shard's replicas shall be: those that are there stay, unless their node was removed; what is missing goes to
// nodes that hold few replicas, in zones where the shard has none, and not to nodes that are draining.
func place(s meta.Shard, members []meta.Member, shards []meta.Shard, gone func(uint64) bool) []uint64 {
	kept := slices.DeleteFunc(slices.Clone(s.Replicas), gone)
	for len(kept) < s.Factor {
		best, ok := emptiest(kept, members, shards)
		if !ok {
			break
		}
		kept = append(kept, best)
	}
	slices.Sort(kept)
	return kept
}

// emptiest finds the best node for one more replica beside those that are chosen.
func emptiest(chosen []uint64, members []meta.Member, shards []meta.Shard) (uint64, bool) {
	zones := map[string]int{}
	load := map[uint64]int{}
	for _, m := range members {
		if slices.Contains(chosen, m.Replica) && m.Zone != "" {
			zones[m.Zone]++
		}
	}
	for _, s := range shards {
		for _, r := range s.Replicas {
			load[r]++
		}
	}
	free := slices.DeleteFunc(slices.Clone(members), func(m meta.Member) bool { return m.Draining || slices.Contains(chosen, m.Replica) })
	if len(free) == 0 {
		return 0, false
	}
	best := slices.MinFunc(free, func(a, b meta.Member) int {
		return cmp.Or(cmp.Compare(zones[a.Zone], zones[b.Zone]), cmp.Compare(load[a.Replica], load[b.Replica]), cmp.Compare(a.Replica, b.Replica))
	})
	return best.Replica, true
}

// lead chooses who shall lead each shard: leaders are spread over the nodes that do not drain, and as few as possible move.
func lead(shards []meta.Shard, members []meta.Member) map[uint32]uint64 {
	able := map[uint64]bool{}
	for _, m := range members {
		able[m.Replica] = m.Leads()
	}
	led, chosen := map[uint64]int{}, map[uint32]uint64{}
	for _, s := range shards {
		if s.Leader != 0 && able[s.Leader] && slices.Contains(s.Replicas, s.Leader) {
			chosen[s.Number] = s.Leader
			led[s.Leader]++
		}
	}
	for _, s := range shards {
		best, ok := idlest(s, able, led)
		was, settled := chosen[s.Number]
		switch {
		case !ok:
		case !settled:
			chosen[s.Number] = best
			led[best]++
		case led[was] > led[best]+1:
			chosen[s.Number] = best
			led[was]--
			led[best]++
		}
	}
	return chosen
}

func idlest(s meta.Shard, able map[uint64]bool, led map[uint64]int) (best uint64, ok bool) {
	for _, r := range s.Replicas {
		if able[r] && (!ok || led[r] < led[best] || led[r] == led[best] && r < best) {
			best, ok = r, true
		}
	}
	return best, ok
}

// voters is how many of a group's replicas shall vote: an odd number, because one more voter that makes it even tolerates no more
// failures and can itself fail.
func voters(replicas, most int) int {
	n := min(replicas, most)
	if n%2 == 0 {
		n--
	}
	return max(n, 1)
}
