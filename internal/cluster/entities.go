package cluster

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/gesta-db/gesta/api/partition"
)

// silentAfter is how long a node may say nothing of itself before its entities are run elsewhere.
const silentAfter = 3 * time.Second

// Owner tells which node runs an entity: of those that are there and have a handler for its kind, the one that its name falls to by
// rendezvous hashing. So when a node comes or goes, only the entities move that come to it or were there. Without any, it is this one: a
// handler may attach yet. Nodes may disagree for a moment; the log's conditions are what keeps entities right.
func (h *Host) Owner(kind, key string) (local bool, node uint64) {
	serving := (*h.serving.Load())[kind]
	replicas := h.replicasOf(kind, key)
	best, most := uint64(0), uint64(0)
	for _, id := range serving {
		if replicas != nil && !slices.Contains(replicas, id) {
			continue // entities are read from a node's own replica
		}
		if weight := weigh(id, kind, key); best == 0 || weight > most {
			best, most = id, weight
		}
	}
	return best == 0 || best == h.id.Replica, best
}

// replicasOf is who has a replica of an entity's shard; nil: nobody is known to.
func (h *Host) replicasOf(kind, key string) []uint64 {
	t, ok := h.meta.Topic(kind)
	if !ok {
		t.Shard = 1 // where it will be made
	}
	number := t.Shard
	if n := len(t.Partitions); n > 0 {
		number = t.Partitions[partition.Of([]byte(key), n)]
	}
	s, _ := h.meta.Shard(number)
	return s.Replicas
}

func weigh(id uint64, kind, key string) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(id)
	_, _ = d.WriteString(kind) // a hash never fails
	_, _ = d.WriteString("/")
	_, _ = d.WriteString(key)
	return d.Sum64()
}

// noteServing works out anew which nodes have handlers for which kinds.
func (h *Host) noteServing() {
	now, serving := h.o.Clock.Now(), map[string][]uint64{}
	for _, n := range h.Nodes() {
		if n.Health.Stopping || !n.Self && (!h.o.Transport.Connected(n.Member.Replica) || now.Sub(n.HeardAt) > silentAfter) {
			continue
		}
		for _, kind := range n.Health.Kinds {
			serving[kind] = append(serving[kind], n.Member.Replica)
		}
	}
	for _, ids := range serving {
		slices.SortFunc(ids, cmp.Compare[uint64])
	}
	if was := h.serving.Load(); was == nil || !maps.EqualFunc(*was, serving, slices.Equal[[]uint64]) {
		h.serving.Store(&serving)
	}
}
