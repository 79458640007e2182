package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"slices"

	"github.com/gesta-db/gesta/internal/meta"
	"github.com/gesta-db/gesta/internal/shard"
)

// recover ends what Recover began in a folder that is open now: each shard gets a new history, so that positions beyond what this folder
// has are refused for ever, and all other nodes are removed, so that none of them comes back with what was. Nothing is served before. A
// crash on the way has it done again.
func (h *Host) recover(ctx context.Context) error {
	if len(h.meta.Shards()) == 0 {
		if err := h.firstShard(ctx); err != nil {
			return err
		}
		if err := h.openShards(); err != nil {
			return err
		}
	}
	for _, s := range h.meta.Shards() {
		if err := h.fork(ctx, s); err != nil {
			return err
		}
	}
	for _, m := range h.meta.Members() {
		if m.Replica == h.id.Replica {
			continue
		}
		if err := h.meta.RemoveMember(ctx, m.Node, m.Replica); err != nil {
			return err
		}
		h.o.Logger.Warn("a node was removed by the forced recovery; with an empty data folder it can join again", "node", m.Node)
	}
	return h.o.Recovered()
}

// fork gives a shard a new history from its last event on.
func (h *Host) fork(ctx context.Context, s meta.Shard) error {
	local := h.local(s.Number)
	if local == nil {
		h.o.Logger.Error("this node has no replica of a shard: its events are lost unless another node's folder is recovered instead", "shard", s.Number)
		return nil
	}
	if err := local.Barrier(ctx); err != nil {
		return err
	}
	st := local.Status()
	next := s
	next.Replicas, next.Leader, next.History = []uint64{h.id.Replica}, 0, newHistory()
	next.Forks = append(slices.Clone(s.Forks), meta.Fork{History: st.History, Offset: st.LastOffset})
	if err := h.meta.PutShard(ctx, next, 0); err != nil {
		return err
	}
	h.noteLineage(next)
	h.o.Logger.Warn("the shard goes on with a new history; positions beyond this offset are refused", "shard", s.Number, "offset", st.LastOffset)
	return nil
}

// newHistory draws a history's number; 0 means none.
func newHistory() uint64 {
	var b [8]byte
	for binary.LittleEndian.Uint64(b[:]) == 0 {
		_, _ = rand.Read(b[:]) // never fails: it ends the program rather
	}
	return binary.LittleEndian.Uint64(b[:])
}

// noteLineage tells a shard here of its history.
func (h *Host) noteLineage(s meta.Shard) {
	forks := make([]shard.Fork, len(s.Forks))
	for i, f := range s.Forks {
		forks[i] = shard.Fork(f)
	}
	h.lineage(s.Number).Set(s.History, forks)
}

// lineage is the one of a shard, kept as long as the host.
func (h *Host) lineage(number uint32) *shard.Lineage {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lineages[number]
	if l == nil {
		l = &shard.Lineage{}
		h.lineages[number] = l
	}
	return l
}
