package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/meta"
	"github.com/gesta-db/gesta/internal/replica"
)

type naming struct {
	Node string `json:"node"`
}

type transfer struct {
	Shard uint32 `json:"shard"`
	Node  string `json:"node"`
}

// Remove takes a node out of the cluster for good, alive or dead. It is refused where the rest of a group could not decide without it.
func (h *Host) Remove(ctx context.Context, node string) error {
	return h.atLeader(ctx, methodRemove, naming{node})
}

func (h *Host) answerRemove(ctx context.Context, body []byte) (any, error) {
	n, err := decode[naming](body)
	if err != nil {
		return nil, err
	}
	m, err := h.ready()
	if err != nil {
		return nil, err
	}
	member, ok := h.member(n.Node)
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no node %s in the cluster", n.Node).With("node", n.Node)
	}
	if err := h.checkRemoval(member); err != nil {
		return nil, err
	}
	return struct{}{}, m.RemoveMember(ctx, n.Node, member.Replica)
}

// checkRemoval refuses what would leave a group without a quorum.
func (h *Host) checkRemoval(member meta.Member) error {
	if len(h.meta.Members()) == 1 {
		return errs.New(errs.Conflict, "node %s is the only one of the cluster: stop it instead", member.Node).With("node", member.Node)
	}
	for _, g := range h.groups() {
		if !slices.Contains(g.conf.Voters, member.Replica) {
			continue
		}
		g.Members = h.reachable(g.conf)
		if !g.QuorumWithout(member.Replica) {
			return errs.New(errs.Conflict, "without node %s, %s would have no quorum: too few of its other voters answer; bring them back first. When they are lost for good, see gesta recover", member.Node, groupName(g.number)).
				With("node", member.Node).With("group", fmt.Sprint(g.number))
		}
	}
	return nil
}

func groupName(number uint32) string {
	if number == metaGroup {
		return "the meta group"
	}
	return fmt.Sprintf("shard %d", number)
}

// reachable gives a group's voters; those count as active whose nodes can be reached from here.
func (h *Host) reachable(conf replica.Conf) (ms []replica.Member) {
	for _, id := range conf.Voters {
		ms = append(ms, replica.Member{ID: id, Active: id == h.id.Replica || h.o.Transport.Connected(id)})
	}
	return ms
}

func (h *Host) member(node string) (meta.Member, bool) {
	for _, m := range h.meta.Members() {
		if m.Node == node {
			return m, true
		}
	}
	return meta.Member{}, false
}

// DrainNode lets a node lead nothing and get no new replica, or ends that.
func (h *Host) DrainNode(ctx context.Context, node string, on bool) error {
	m, err := h.ready()
	if err != nil {
		return err
	}
	return m.DrainMember(ctx, node, on)
}

// TransferShard lets a node lead a shard; shard 0 is the meta group.
func (h *Host) TransferShard(ctx context.Context, number uint32, node string) error {
	m, err := h.ready()
	if err != nil {
		return err
	}
	to, ok := h.member(node)
	if !ok {
		return errs.New(errs.NotFound, "there is no node %s in the cluster", node).With("node", node)
	}
	if number == metaGroup {
		return h.atLeader(ctx, methodTransfer, transfer{number, node})
	}
	s, ok := m.Shard(number)
	if !ok {
		return errs.New(errs.NotFound, "there is no shard %d", number).With("field", "shard")
	}
	if !slices.Contains(s.Replicas, to.Replica) {
		return errs.New(errs.Invalid, "node %s has no replica of shard %d", node, number).With("field", "node")
	}
	s.Leader = to.Replica
	return m.PutShard(ctx, s, 0)
}

func (h *Host) answerTransfer(_ context.Context, body []byte) (any, error) {
	t, err := decode[transfer](body)
	if err != nil {
		return nil, err
	}
	m, err := h.ready()
	if err != nil {
		return nil, err
	}
	to, ok := h.member(t.Node)
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no node %s in the cluster", t.Node).With("node", t.Node)
	}
	return struct{}{}, m.Transfer(to.Replica)
}

// AddShard declares one more shard and places it on the nodes that hold least.
func (h *Host) AddShard(ctx context.Context, factor int) (meta.Shard, error) {
	m, err := h.ready()
	if err != nil {
		return meta.Shard{}, err
	}
	shards := m.Shards()
	s := meta.Shard{Number: 1, Factor: factor}
	for _, o := range shards {
		s.Number = max(s.Number, o.Number+1)
	}
	s.Replicas = place(s, m.Members(), shards, func(uint64) bool { return false })
	if len(s.Replicas) == 0 {
		return meta.Shard{}, errs.New(errs.Unavailable, "no node can take a shard now: none has said yet that it is there, or all are draining; try again")
	}
	// The first voters are an odd number too; the rest begins as learners.
	s.Initial = s.Replicas[:voters(len(s.Replicas), len(s.Replicas))]
	return s, m.PutShard(ctx, s, h.o.Limits.Shards)
}
