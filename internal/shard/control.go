package shard

import (
	"github.com/gesta-db/gesta/internal/replica"
)

// ChangeConf changes the group's members; only where it leads.
func (s *Shard) ChangeConf(changes ...replica.ConfChange) error {
	return s.do(func(r *replica.Replica) error { return r.ChangeConf(changes...) })
}

// Transfer lets another voter lead.
func (s *Shard) Transfer(to uint64) error {
	return s.do(func(r *replica.Replica) error { r.Transfer(to); return nil })
}

// Unreachable tells that messages to a replica may be lost.
func (s *Shard) Unreachable(id uint64) {
	s.post(func(in *inbox) { in.calls = append(in.calls, func(r *replica.Replica) { r.Unreachable(id) }) })
}

// do runs f in the loop.
func (s *Shard) do(f func(*replica.Replica) error) error {
	done := make(chan error, 1)
	s.post(func(in *inbox) { in.calls = append(in.calls, func(r *replica.Replica) { done <- f(r) }) })
	select {
	case err := <-done:
		return err
	case <-s.halted:
		return s.closed()
	}
}

// Leader is the replica that leads, as far as this one knows; 0: unknown.
func (s *Shard) Leader() uint64 { return s.status.Load().Leader }

// Running tells that the shard has not stopped.
func (s *Shard) Running() bool {
	select {
	case <-s.halted:
		return false
	default:
		return true
	}
}
