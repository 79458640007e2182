package sim

import (
	"fmt"
	"math"
	"slices"

	"github.com/gesta-db/gesta/internal/cluster"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
)

// wish is what the group shall be, as the meta group would say it. Whoever leads brings the group there, by the decisions of package cluster.
type wish struct {
	// initial are the voters that the group began with: every replica's folder is opened with them.
	initial  []uint64
	replicas []uint64
	// leader is the replica that shall lead; 0: any.
	leader uint64
	unfit  map[uint64]bool
	// lost is a node whose folder is gone; it comes back as another. Until the group has let it go, nothing else breaks.
	lost *node
}

// mostReplicas bounds the group.
const mostReplicas = 5

// found begins a group of one, two or three voters; the other nodes are to be added.
func (w *world) found() {
	for i := range 1 + w.rng.IntN(w.cfg.Nodes) {
		w.wish.initial = append(w.wish.initial, uint64(i+1))
	}
	for i := range w.cfg.Nodes {
		w.wish.replicas = append(w.wish.replicas, uint64(i+1))
	}
	w.wish.unfit = map[uint64]bool{}
}

// govern lets somebody look after the group: mostly a node that may lead it, at times who operates the cluster.
func (w *world) govern(n *node) error {
	switch x := w.rng.IntN(100); {
	case x < 40:
		n.look()
	case x < 80:
		return w.tend(n)
	case x < 83:
		return w.add()
	case x < 86:
		w.remove(n)
	case x < 93:
		return w.lose(n)
	case x < 96:
		w.wish.leader = w.wish.replicas[w.rng.IntN(len(w.wish.replicas))]
	default:
		w.wish.unfit[n.id] = !w.wish.unfit[n.id]
	}
	return nil
}

// look keeps what a node sees of the group. It may act on it later, when it is not so any more.
func (n *node) look() {
	n.view = cluster.Group{}
	if n.shard != nil {
		n.view = cluster.Group{Self: n.id, Last: n.shard.Status().Last, Members: n.shard.Members()}
	}
}

// tend does what a leader does about its group, by what it saw.
func (w *world) tend(n *node) error {
	if n.shard == nil || len(n.view.Members) == 0 {
		return nil
	}
	step := n.view.Next(w.wish.replicas, len(w.wish.replicas))
	if step.Transfer == 0 && len(step.Changes) == 0 {
		step.Transfer = n.view.Leader(w.wish.leader, w.wish.unfit, w.wish.unfit[n.id])
	}
	n.view = cluster.Group{}
	if len(step.Changes) > 0 {
		err := n.shard.ChangeConf(step.Changes...)
		w.trace("node %d changes %+v: %v", n.id, step.Changes, err)
		if c := errs.CodeOf(err); err != nil && c != errs.NoLeader && c != errs.Busy {
			return fmt.Errorf("node %d: change of members: %w", n.id, err)
		}
		w.stats.Changes++
	}
	if step.Transfer != 0 {
		w.trace("node %d transfers to %d", n.id, step.Transfer)
		n.shard.Transfer(step.Transfer)
		w.stats.Transfers++
	}
	return w.advance(n)
}

// add brings a new node, with an empty folder and a number that no other had.
func (w *world) add() error {
	if len(w.wish.replicas) >= mostReplicas || len(w.nodes) >= 9 {
		return nil
	}
	return w.newcomer()
}

func (w *world) newcomer() error {
	n := w.newNode()
	w.wish.replicas = append(w.wish.replicas, n.id)
	w.trace("add node %d", n.id)
	return w.start(n)
}

// remove takes a node out as an operator would who asks the node that leads: refused where the others could not decide without it.
func (w *world) remove(leader *node) {
	if len(w.wish.replicas) < 2 || w.wish.lost != nil {
		return
	}
	id := w.wish.replicas[w.rng.IntN(len(w.wish.replicas))]
	if leader.shard == nil || leader.shard.Status().Role != replica.Leader || !w.canSpare(leader, id) {
		return
	}
	w.trace("remove node %d", id)
	w.dropWish(id)
	w.stats.Removed++
}

func (w *world) dropWish(id uint64) {
	w.wish.replicas = slices.DeleteFunc(w.wish.replicas, func(r uint64) bool { return r == id })
	if w.wish.leader == id {
		w.wish.leader = 0
	}
}

// canSpare asks as a host does: do the voters that can be reached decide without this one?
func (w *world) canSpare(n *node, id uint64) bool {
	conf := n.shard.Conf()
	if !slices.Contains(conf.Voters, id) {
		return true
	}
	g := cluster.Group{Self: n.id}
	for _, v := range conf.Voters {
		o := w.nodes[v-1]
		g.Members = append(g.Members, replica.Member{ID: v, Active: o.shard != nil && w.reach(n, o)})
	}
	return g.QuorumWithout(id)
}

// lose takes a node's folder away for good while all else is well; its machine comes back with an empty one, as another replica.
func (w *world) lose(leader *node) error {
	if leader.shard == nil || w.wish.lost != nil || len(w.wish.replicas) < 3 || !w.allWell(leader) {
		return nil
	}
	n := w.nodes[w.wish.replicas[w.rng.IntN(len(w.wish.replicas))]-1]
	w.trace("lose node %d", n.id)
	n.gone, w.wish.lost = true, n
	w.stats.Lost++
	if err := w.down(n); err != nil {
		return err
	}
	w.dropWish(n.id)
	return w.newcomer()
}

// allWell tells that every replica is a voter or follows, is up and has no doubt, and that no change is under way.
func (w *world) allWell(leader *node) bool {
	conf := leader.shard.Conf()
	members := leader.shard.Members()
	if len(members) != len(w.wish.replicas) || len(conf.VotersOutgoing) > 0 || len(conf.Voters) < 3 {
		return false
	}
	for _, m := range members {
		n := w.nodes[m.ID-1]
		if n.shard == nil || !slices.Contains(w.wish.replicas, m.ID) {
			return false
		}
		if _, doubt := n.shard.Stored(); doubt {
			return false
		}
		if c := n.shard.Conf(); !slices.Equal(c.Voters, conf.Voters) {
			return false
		}
	}
	return true
}

// careful tells that nothing may break now: all trouble is over, or a node is lost and the others do not all know yet that they are
// without it.
func (w *world) careful() bool {
	if w.calm || w.wish.lost == nil {
		return w.calm
	}
	for _, id := range w.wish.replicas {
		n := w.nodes[id-1]
		if n.shard == nil {
			return true
		}
		conf := n.shard.Conf()
		if slices.Contains(conf.Voters, w.wish.lost.id) || slices.Contains(conf.VotersOutgoing, w.wish.lost.id) || slices.Contains(conf.Learners, w.wish.lost.id) {
			return true
		}
	}
	w.wish.lost = nil
	return false
}

// spared tells that damage to what a node has acknowledged is for the group to bear: another voter, as the newest configuration has it,
// stored all that is known to be committed.
func (w *world) spared(n *node) bool {
	if !w.cfg.Members {
		return true
	}
	if w.careful() {
		return false
	}
	committed := uint64(0)
	for i := range w.seen {
		committed = max(committed, i)
	}
	conf := w.newestConf()
	if len(conf.Voters) < 2 || len(conf.VotersOutgoing) > 0 {
		return false
	}
	for _, v := range conf.Voters {
		o := w.nodes[v-1]
		if o == n || o.shard == nil {
			continue
		}
		if last, doubt := o.shard.Stored(); !doubt && last >= committed {
			return true
		}
	}
	return false
}

func (w *world) newestConf() (newest replica.Conf) {
	at := int64(-1)
	for _, n := range w.nodes {
		if n.shard == nil {
			continue
		}
		if i := int64(n.shard.ConfIndex()); i > at {
			newest, at = n.shard.Conf(), i
		}
	}
	return newest
}

// arranged tells that the group is what it shall be.
func (w *world) arranged() bool {
	for _, n := range w.kept() {
		if n.shard.Status().Role != replica.Leader {
			continue
		}
		n.look()
		conf := n.shard.Conf()
		step := n.view.Next(w.wish.replicas, math.MaxInt)
		return len(step.Changes) == 0 && step.Transfer == 0 && len(n.view.Members) == len(w.wish.replicas) && len(conf.VotersOutgoing) == 0
	}
	return false
}

// kept are the nodes that the group shall have in the end.
func (w *world) kept() []*node {
	if !w.cfg.Members {
		return w.nodes
	}
	var ns []*node
	for _, id := range w.wish.replicas {
		ns = append(ns, w.nodes[id-1])
	}
	return ns
}

// oneLeader holds that no term has two.
func (w *world) oneLeader(n *node) error {
	s := n.shard.Status()
	if s.Role != replica.Leader {
		return nil
	}
	if other, ok := w.leaders[s.Term]; ok && other != n.id {
		return fmt.Errorf("nodes %d and %d both lead term %d", other, n.id, s.Term)
	}
	w.leaders[s.Term] = n.id
	return nil
}

func (w *world) newNode() *node {
	n := &node{id: uint64(len(w.nodes) + 1), disk: crashfs.New(w.rng.Uint64())}
	n.skew = skew(w.rng)
	w.nodes = append(w.nodes, n)
	return n
}
