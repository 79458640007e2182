package node

import (
	"context"

	"github.com/gesta-db/gesta/internal/event"
)

// What entities need of a shard is served from the replica here.

// Load reads an entity as far as it is applied.
func (s shardDoor) Load(spec event.LoadSpec) (event.Loaded, error) {
	l, err := s.local()
	if err != nil {
		return event.Loaded{}, err
	}
	return l.Load(spec)
}

// Command finds the newest outcome of a command id.
func (s shardDoor) Command(topic, key, id []byte) (o event.Outcome, digest [32]byte, ok bool, err error) {
	l, err := s.local()
	if err != nil {
		return o, digest, false, err
	}
	return l.Command(topic, key, id)
}

// Barrier waits until everything acknowledged before is applied here.
func (s shardDoor) Barrier(ctx context.Context) error {
	l, err := s.local()
	if err != nil {
		return err
	}
	return l.Barrier(ctx)
}

// Revision is a stream's newest.
func (s shardDoor) Revision(topic, key []byte) (uint64, error) {
	l, err := s.local()
	if err != nil {
		return 0, err
	}
	return l.Revision(topic, key)
}
