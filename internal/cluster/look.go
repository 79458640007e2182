package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/meta"
	"github.com/gesta-db/gesta/internal/replica"
)

const (
	// wishTimeout bounds one change of the meta group's state.
	wishTimeout = 2 * time.Second
	// mostVoters is how many of the meta group's replicas vote: two may fail.
	mostVoters = 5
	// lostAfter is how long a node is without a leader of the meta group before it asks whether it was removed.
	lostAfter = 3 * time.Second
)

// run compares what shall be with what is, now and then and when what shall be has changed.
func (h *Host) run() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	led := h.o.Clock.Now()
	for {
		select {
		case <-h.context.Done():
			return
		case <-tick.C:
		case <-h.nudged:
		}
		if h.meta.Status().Leader != 0 {
			led = h.o.Clock.Now()
		} else if h.o.Clock.Now().Sub(led) > lostAfter {
			led = h.o.Clock.Now()
			h.askRemoved()
		}
		h.look()
	}
}

func (h *Host) look() {
	h.o.Transport.SetPeers(h.others())
	h.noteServing()
	h.complain("register this node", h.register())
	h.complain("open a shard", h.openShards())
	h.closeShards()
	if h.meta.Status().Role == replica.Leader {
		h.complain("place the shards", h.govern())
	}
	for _, g := range h.groups() {
		if g.leads() {
			h.complain("change the members of a group", h.tend(&g))
			h.handOver(&g)
		}
		h.refuseAppends(&g, h.heir(&g))
	}
}

func (h *Host) others() (ids []uint64) {
	for _, m := range h.meta.Members() {
		if m.Replica != h.id.Replica {
			ids = append(ids, m.Replica)
		}
	}
	for _, id := range h.identity().Founders { // some may not have described themselves yet
		if _, gone := h.meta.Gone(id); !gone && id != h.id.Replica && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// complain tells of what did not work; it is tried again at the next look. What only has to wait is not worth a word.
func (h *Host) complain(what string, err error) {
	switch errs.CodeOf(err) {
	case "", errs.NoLeader, errs.Busy, errs.UnknownOutcome:
	default:
		h.o.Logger.Warn("could not "+what+"; trying again", "error", err)
	}
}

func (h *Host) wish() (context.Context, context.CancelFunc) {
	return context.WithTimeout(h.context, wishTimeout)
}

// register has the meta group know this node as it describes itself now.
func (h *Host) register() error { return h.registerWithin(h.context) }

func (h *Host) registerWithin(ctx context.Context) error {
	was, known := h.meta.Member(h.id.Replica)
	now := h.o.Self
	now.Stopping = h.stopping.Load()
	now.Joined, now.Draining = was.Joined, was.Draining
	if known && was == now || h.meta.Status().Leader == 0 {
		return nil
	}
	if node, gone := h.meta.Gone(h.id.Replica); gone {
		h.removed(node)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wishTimeout)
	defer cancel()
	return h.meta.PutMember(ctx, now)
}

func (h *Host) removed(node string) {
	if h.o.Removed != nil {
		h.o.Removed(errs.New(errs.Unavailable, "node %s was removed from the cluster: stop it; with an empty data folder it can join again as a new one", node))
	}
}

// askRemoved asks other nodes whether this one was removed: a group that has dropped a replica tells it nothing any more.
func (h *Host) askRemoved() {
	for _, m := range h.meta.Members() {
		if m.Replica == h.id.Replica {
			continue
		}
		err := h.callAddr(h.context, m.Peer, methodJoin, joining{Member: h.o.Self, Cluster: h.identity().Cluster}, &joined{})
		if e := errs.As(err); err != nil && e.Code == errs.Exists && e.Details["removed"] != "" {
			h.removed(h.o.Self.Node)
			return
		}
	}
}

// govern decides what shall be, where the meta group is led: places for shards, leaders, the feature level.
func (h *Host) govern() error {
	ctx, cancel := h.wish()
	defer cancel()
	shards, members := h.meta.Shards(), h.meta.Members()
	if len(shards) == 0 {
		return h.firstShard(ctx)
	}
	gone := func(id uint64) bool { _, gone := h.meta.Gone(id); return gone }
	for i, s := range shards {
		shards[i].Replicas = place(s, members, shards, gone)
	}
	leaders := lead(shards, members)
	for _, s := range shards {
		s.Leader = leaders[s.Number]
		was, _ := h.meta.Shard(s.Number)
		if slices.Equal(was.Replicas, s.Replicas) && was.Leader == s.Leader {
			continue
		}
		if err := h.meta.PutShard(ctx, s, 0); err != nil {
			return err
		}
	}
	return h.raise(ctx, members)
}

// firstShard declares the shard that every cluster begins with, on its founders.
func (h *Host) firstShard(ctx context.Context) error {
	founders := h.identity().Founders
	if len(founders) == 0 {
		founders = []uint64{h.id.Replica}
	}
	founders = founders[:min(len(founders), h.o.Factor)]
	return h.meta.PutShard(ctx, meta.Shard{Number: 1, Initial: founders, Replicas: founders, Factor: h.o.Factor}, 0)
}

// raise lets the cluster use the highest feature level that every member knows.
func (h *Host) raise(ctx context.Context, members []meta.Member) error {
	if len(members) == 0 {
		return nil
	}
	level := members[0].Feature
	for _, m := range members {
		level = min(level, m.Feature)
	}
	if level <= h.meta.Feature() {
		return nil
	}
	return h.meta.Raise(ctx, level)
}

// tend brings the members of a group that is led here one step nearer to what they shall be.
func (h *Host) tend(g *group) error {
	step := g.Next(h.wanted(g))
	if step.Transfer != 0 {
		return g.control.Transfer(step.Transfer)
	}
	if len(step.Changes) == 0 {
		return nil
	}
	h.tellChanges(g, step.Changes)
	return g.control.ChangeConf(step.Changes...)
}

func (h *Host) tellChanges(g *group, changes []replica.ConfChange) {
	names := make([]string, len(changes))
	for i, c := range changes {
		names[i] = h.name(c.ID)
	}
	does := map[replica.Change]string{
		replica.AddLearner: "adding a replica", replica.AddVoter: "replicas have caught up and vote from now on", replica.Remove: "removing a replica",
	}
	h.o.Logger.Info(does[changes[0].Change], "group", g.number, "replicas", names)
}

// wanted are the replicas that a group shall have, and how many of them may vote.
func (h *Host) wanted(g *group) (ids []uint64, most int) {
	if g.number != metaGroup {
		s, _ := h.meta.Shard(g.number)
		return s.Replicas, len(s.Replicas)
	}
	for _, m := range g.Members { // founders that have not described themselves yet stay
		if _, gone := h.meta.Gone(m.ID); !gone {
			ids = append(ids, m.ID)
		}
	}
	for _, m := range h.meta.Members() {
		if !slices.Contains(ids, m.Replica) {
			ids = append(ids, m.Replica)
		}
	}
	return ids, mostVoters
}

// handOver lets another replica lead a group that is led here: the one that shall, or any when this node drains.
func (h *Host) handOver(g *group) {
	reluctant := h.reluctant()
	shall := uint64(0)
	if s, ok := h.meta.Shard(g.number); ok && g.number != metaGroup {
		shall = s.Leader
	}
	next := g.Leader(shall, h.unfit(), reluctant != "")
	if next != 0 && next != shall {
		h.o.Logger.Warn("handing over the leadership", "group", g.number, "to", h.name(next), "reason", reluctant)
	}
	if next != 0 {
		_ = g.control.Transfer(next)
	}
}

// heir is the best voter that is not reluctant itself; 0 when the group is not led here or nobody else can.
func (h *Host) heir(g *group) uint64 {
	if !g.leads() {
		return 0
	}
	return g.Successor(h.unfit())
}

func (h *Host) name(id uint64) string {
	if n := h.Name(id); n != "" || id == 0 {
		return n
	}
	return "unknown"
}

// Name is the name of a replica's node; empty when it is not known.
func (h *Host) Name(id uint64) string {
	if id == h.id.Replica {
		return h.o.Self.Node
	}
	m, _ := h.meta.Member(id)
	return m.Node
}
