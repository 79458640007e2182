package meta

import (
	"context"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/replica"
)

// askEvery is how long an answer of the leader may take before it is asked again: the question, or the answer, may be lost.
const askEvery = 150 * time.Millisecond

// Refresh waits until everything that was changed anywhere before the call is applied here. A group of one has nothing to wait for.
func (m *Meta) Refresh(ctx context.Context) error {
	if v := m.Status().Conf.Voters; len(v) == 1 && v[0] == m.o.Replica {
		return nil
	}
	for {
		index := make(chan uint64, 1)
		m.post(func(in *inbox) { in.calls = append(in.calls, func(r *replica.Replica) { m.ask(r, index) }) })
		select {
		case i := <-index:
			return m.waitApplied(ctx, i)
		case <-ctx.Done():
			return errs.New(errs.NoLeader, "the meta group has no leader that answers; it may be behind here: %w", ctx.Err())
		case <-m.ended:
			return errs.New(errs.Unavailable, "the meta group is stopped")
		case <-time.After(askEvery):
		}
	}
}

// ask asks the leader how far the log is committed. It runs in the loop.
func (m *Meta) ask(r *replica.Replica, index chan uint64) {
	m.asked++
	m.asking[m.asked] = index
	r.Confirm(m.asked)
}

// Confirmed answers who asked up to the n-th time.
func (m *Meta) Confirmed(n, index uint64) {
	for k, to := range m.asking {
		if k <= n {
			to <- index
			delete(m.asking, k)
		} else if k+maxAsking < m.asked {
			delete(m.asking, k) // it asked again since, or gave up
		}
	}
}

// maxAsking bounds the questions that are remembered.
const maxAsking = 10_000
