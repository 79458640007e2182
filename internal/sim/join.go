package sim

import (
	"slices"

	"github.com/gesta-db/gesta/internal/replica"
)

// join takes the next step of the node that joins: it becomes a learner, and a voter once it has caught up with its leader.
func (w *world) join() {
	n := w.joiner
	if n == nil || n.shard == nil || w.joined() {
		return
	}
	for _, leader := range w.nodes {
		if leader.shard == nil || leader.shard.Status().Role != replica.Leader {
			continue
		}
		change := replica.ConfChange{Change: replica.AddLearner, ID: n.id}
		if slices.Contains(leader.shard.Conf().Learners, n.id) {
			if n.shard.Status().Applied+5 < leader.shard.Status().Applied {
				continue
			}
			change.Change = replica.AddVoter
		}
		if leader.shard.ChangeConf(change) == nil {
			w.trace("node %d proposes change %d of node %d", leader.id, change.Change, n.id)
			w.stats.Changes++
		}
	}
}

// joined tells that every node knows it for a voter.
func (w *world) joined() bool {
	for _, n := range w.nodes {
		if n.shard == nil || !slices.Contains(n.shard.Conf().Voters, w.joiner.id) {
			return false
		}
	}
	return true
}
