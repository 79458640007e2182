// Package position is the token that names a place in a shard's log.
package position

// Position is the place just after one event: reading from it continues with the next one.
type Position struct {
	Shard   uint32
	History uint64
	Offset  uint64
}
