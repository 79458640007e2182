package meta

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/replica"
)

// change is a command that waits for its outcome.
type change struct {
	payload []byte
	term    uint64
	done    chan outcome
}

// outcome is what became of a change: the entry that holds it, or why it is not one.
type outcome struct {
	index uint64
	err   error
}

func (c *change) end(index uint64, err error) { c.done <- outcome{index, err} }

// retryEvery is how long a node that is not the leader waits before it looks for another one.
const retryEvery = 50 * time.Millisecond

// PutMember takes a node into the cluster, or changes how it described itself.
func (m *Meta) PutMember(ctx context.Context, member Member) error {
	if member.Joined.IsZero() {
		member.Joined = m.o.Clock.Now().UTC()
	}
	return m.propose(ctx, command{PutMember: &member})
}

// RemoveMember takes a node out of the cluster for good.
func (m *Meta) RemoveMember(ctx context.Context, node string, replica uint64) error {
	return m.propose(ctx, command{RemoveMember: &removal{Node: node, Replica: replica}})
}

// DrainMember lets a node lead nothing, or ends that.
func (m *Meta) DrainMember(ctx context.Context, node string, on bool) error {
	return m.propose(ctx, command{Drain: &drain{Node: node, On: on}})
}

// PutShard declares a shard or places it anew. Limit bounds how many there may be.
func (m *Meta) PutShard(ctx context.Context, s Shard, limit int) error {
	if s.Created.IsZero() {
		s.Created = m.o.Clock.Now().UTC()
	}
	return m.propose(ctx, command{PutShard: &s, Limit: limit})
}

// Raise lets the cluster use a feature level.
func (m *Meta) Raise(ctx context.Context, level uint32) error {
	return m.propose(ctx, command{Raise: &level})
}

// propose makes a change wherever the leader is, and returns when it is applied here.
func (m *Meta) propose(ctx context.Context, c command) error {
	payload, err := json.Marshal(c)
	if err != nil {
		return err
	}
	for {
		index, err := m.Propose(ctx, payload)
		if leader := m.Status().Leader; errs.CodeOf(err) == errs.NoLeader && leader != 0 && leader != m.o.Replica && m.o.Forward != nil {
			index, err = m.o.Forward(ctx, leader, payload)
		}
		if err == nil {
			return m.waitApplied(ctx, index)
		}
		if errs.CodeOf(err) != errs.NoLeader || m.o.Forward == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-m.stop:
			return err
		case <-time.After(retryEvery):
		}
	}
}

// Propose makes a change here, where this replica leads: no_leader otherwise, and then nothing was changed. It gives the entry that
// holds the change.
func (m *Meta) Propose(ctx context.Context, payload []byte) (uint64, error) {
	ch := &change{payload: payload, done: make(chan outcome, 1)}
	m.post(func(in *inbox) { in.changes = append(in.changes, ch) })
	select {
	case o := <-ch.done:
		return o.index, o.err
	case <-ctx.Done():
		return 0, errs.New(errs.UnknownOutcome, "the caller stopped waiting (%w); the change may have been made", ctx.Err())
	}
}

// waiter waits until an entry is applied here.
type waiter struct {
	index uint64
	done  chan struct{}
}

// waitApplied waits until an entry that is committed is applied here too: who made a change sees it.
func (m *Meta) waitApplied(ctx context.Context, index uint64) error {
	w := waiter{index: index, done: make(chan struct{})}
	m.mu.Lock()
	if m.applied >= index || m.stopped != nil {
		m.mu.Unlock()
		return nil
	}
	m.waiters = append(m.waiters, w)
	m.mu.Unlock()
	select {
	case <-w.done:
	case <-ctx.Done(): // the change is made; who reads here may see it a little later
	}
	return nil
}

func (m *Meta) showApplied(index uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// A snapshot may be ahead of what the log knew to be committed when it was opened: what it holds comes again, and changes nothing.
	m.applied = max(m.applied, index)
	kept := m.waiters[:0]
	for _, w := range m.waiters {
		if w.index <= m.applied {
			close(w.done)
		} else {
			kept = append(kept, w)
		}
	}
	m.waiters = kept
}

// Status is the group as this replica sees it.
type Status struct {
	replica.Status
	// Members are the group's replicas as its leader sees them; nil elsewhere.
	Members []replica.Member
	Conf    replica.Conf
}

// Status tells where the group is.
func (m *Meta) Status() Status { return *m.status.Load() }

func (m *Meta) publish() {
	m.status.Store(&Status{Status: m.rep.Status(), Members: m.rep.Members(), Conf: m.rep.Conf()})
}

// ChangeConf changes the group's members; only where it leads.
func (m *Meta) ChangeConf(changes ...replica.ConfChange) error {
	return m.do(func(r *replica.Replica) error { return r.ChangeConf(changes...) })
}

// Transfer lets another voter lead.
func (m *Meta) Transfer(to uint64) error {
	return m.do(func(r *replica.Replica) error { r.Transfer(to); return nil })
}

// Unreachable tells that messages to a replica may be lost.
func (m *Meta) Unreachable(id uint64) {
	m.post(func(in *inbox) { in.calls = append(in.calls, func(r *replica.Replica) { r.Unreachable(id) }) })
}

// ReportSnapshot tells this replica, if it leads, how another fared with the state it was offered.
func (m *Meta) ReportSnapshot(id uint64, installed bool) {
	m.post(func(in *inbox) {
		in.calls = append(in.calls, func(r *replica.Replica) { r.ReportSnapshot(id, installed) })
	})
}

// do runs f in the loop.
func (m *Meta) do(f func(*replica.Replica) error) error {
	done := make(chan error, 1)
	m.post(func(in *inbox) { in.calls = append(in.calls, func(r *replica.Replica) { done <- f(r) }) })
	select {
	case err := <-done:
		return err
	case <-m.ended:
		return errs.New(errs.Unavailable, "the meta group is stopped")
	}
}
