package cluster

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/meta"
)

// The questions that nodes ask each other.
const (
	methodProbe    = "cluster.probe"    // presence → presence
	methodJoin     = "cluster.join"     // joining → joined
	methodPropose  = "cluster.propose"  // a meta command → proposal
	methodRemove   = "cluster.remove"   // naming → nothing
	methodTransfer = "cluster.transfer" // transfer → nothing

	methodInstalled = "shard.installed" // installed → nothing
	methodDigests   = "shard.digests"   // asked → []shard.Piece
)

// proposal is the entry that holds a change.
type proposal struct {
	Index uint64 `json:"index"`
}

// Call answers a peer's question. Handled is false for a method that is not the cluster's.
func (h *Host) Call(ctx context.Context, method string, body []byte) (answer []byte, handled bool, err error) {
	serve, ok := map[string]func(context.Context, []byte) (any, error){
		methodProbe: h.answerProbe, methodJoin: h.answerJoin, methodPropose: h.answerPropose, methodRemove: h.answerRemove, methodTransfer: h.answerTransfer,
		methodInstalled: h.answerInstalled, methodDigests: h.answerDigests,
	}[method]
	if !ok {
		return nil, false, nil
	}
	got, err := serve(ctx, body)
	if err != nil {
		return nil, true, err
	}
	answer, err = json.Marshal(got)
	return answer, true, err
}

func decode[T any](body []byte) (v T, err error) {
	if err := json.Unmarshal(body, &v); err != nil {
		return v, errs.New(errs.Invalid, "a question of a peer does not parse: %w", err)
	}
	return v, nil
}

func (h *Host) answerProbe(_ context.Context, body []byte) (any, error) {
	p, err := decode[presence](body)
	if err == nil {
		for id, addr := range p.Members {
			h.learn(id, addr)
		}
	}
	return h.presence(), err
}

// presence is what this node tells of itself.
func (h *Host) presence() presence {
	h.mu.RLock()
	p := presence{Node: h.o.Self.Node, Replica: h.id.Replica, Cluster: h.id.Cluster, Founders: h.id.Founders, Initial: h.initial(), Members: maps.Clone(h.known)}
	h.mu.RUnlock()
	p.Members[p.Replica] = h.o.Self.Peer
	if m, err := h.ready(); err == nil {
		for _, o := range m.Members() {
			p.Members[o.Replica] = o.Peer
		}
		if len(p.Founders) == 0 {
			p.Founders = []uint64{p.Replica}
		}
	}
	return p
}

func (h *Host) answerJoin(ctx context.Context, body []byte) (any, error) {
	j, err := decode[joining](body)
	if err != nil {
		return nil, err
	}
	m, err := h.ready()
	if err != nil {
		return nil, err
	}
	p := h.presence()
	if j.Cluster != "" && j.Cluster != p.Cluster {
		return nil, errs.New(errs.Invalid, "node %s belongs to cluster %s, this is %s: a node belongs to one cluster for good; start it with an empty data folder", j.Member.Node, j.Cluster, p.Cluster).With("field", "join")
	}
	if err := h.foundersKnown(m); err != nil {
		return nil, err
	}
	if err := m.PutMember(ctx, j.Member); err != nil {
		return nil, err
	}
	return joined{Cluster: p.Cluster, Founders: p.Founders, Members: p.Members}, nil
}

// foundersKnown holds back who joins until the founders have described themselves: their names are theirs.
func (h *Host) foundersKnown(m *meta.Meta) error {
	for _, id := range h.identity().Founders {
		_, known := m.Member(id)
		if _, gone := m.Gone(id); !known && !gone {
			return errs.New(errs.Unavailable, "not every founder of the cluster has come up yet: try again later")
		}
	}
	return nil
}

func (h *Host) answerPropose(ctx context.Context, body []byte) (any, error) {
	m, err := h.ready()
	if err != nil {
		return nil, err
	}
	index, err := m.Propose(ctx, body)
	return proposal{index}, err
}

// proposeAt makes a change of the meta group's state at its leader.
func (h *Host) proposeAt(ctx context.Context, leader uint64, payload []byte) (uint64, error) {
	got, err := h.o.Transport.Call(ctx, leader, methodPropose, payload)
	if err != nil {
		return 0, err
	}
	var p proposal
	return p.Index, json.Unmarshal(got, &p)
}

// atLeader asks the node that leads the meta group, which may be this one. It waits for one until ctx ends.
func (h *Host) atLeader(ctx context.Context, method string, question any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	for unsure := false; ; {
		switch err = h.askLeader(ctx, method, body); errs.CodeOf(err) {
		case errs.NoLeader:
		case errs.UnknownOutcome: // to ask again does no harm
			unsure = true
		case errs.NotFound:
			if unsure {
				return nil // it was done
			}
			return err
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lookEvery):
		}
	}
}

func (h *Host) askLeader(ctx context.Context, method string, body []byte) error {
	m, err := h.ready()
	if err != nil {
		return err
	}
	switch leader := m.Status().Leader; leader {
	case 0:
		return errs.New(errs.NoLeader, "the cluster has no leader at the moment: try again")
	case h.id.Replica:
		_, _, err = h.Call(ctx, method, body)
	default:
		_, err = h.o.Transport.Call(ctx, leader, method, body)
	}
	return err
}

// Submit takes commits that a peer sends to this node as the leader of a shard. They are never sent on: a peer that was wrong asks again.
func (h *Host) Submit(number uint32, calls []*event.Call) {
	if s := h.local(number); s != nil && s.Running() {
		if s.Leader() == h.id.Replica {
			s.Submit(calls)
			return
		}
	}
	for _, c := range calls {
		c.Err = errs.New(errs.NoLeader, "node %s does not lead shard %d; nothing was written: try again", h.o.Self.Node, number)
		c.Done(c)
	}
}

// Read reads from the replica here, for a peer that has none.
func (h *Host) Read(ctx context.Context, number uint32, spec event.ReadSpec) (event.Reader, error) {
	s := h.local(number)
	if s == nil {
		return nil, errs.New(errs.NoLeader, "node %s has no replica of shard %d: try again", h.o.Self.Node, number)
	}
	return s.Read(ctx, spec)
}

// Level is the feature level that the cluster follows.
func (h *Host) Level() uint32 {
	m, err := h.ready()
	if err != nil {
		return 0
	}
	return m.Feature()
}

// Admit refuses a peer that was removed from the cluster, or poses under another's name.
func (h *Host) Admit(node string, replica uint64) error {
	m, err := h.ready()
	if err != nil {
		return nil // nothing is known yet
	}
	if name, gone := m.Gone(replica); gone {
		return errs.New(errs.Exists, "node %s was removed from the cluster; with an empty data folder it can join again as a new one", name).With("node", name).With("removed", "true")
	}
	if was, ok := h.member(node); ok && was.Replica != replica {
		return errs.New(errs.Exists, "the cluster has a node %s already, with another data folder: remove that one first (gesta cluster remove %s), or give this one another --node-id", node, node).With("node", node)
	}
	return nil
}
