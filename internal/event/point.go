package event

import (
	"time"

	"github.com/gesta-db/gesta/api/position"
)

// PointKind is a way to say where a read starts.
type PointKind uint8

// The ways. The zero value is Start.
const (
	// Start is before the first event that is kept.
	Start PointKind = iota
	// End is after the newest event.
	End
	// Number is a revision of a stream, or an offset of a shard.
	Number
	// AtPosition continues after a position (backwards: at it).
	AtPosition
	// AtID is the event of a stream that has this id.
	AtID
	// AtTime is the first event recorded at or after a time.
	AtTime
	// Ago is AtTime, that long before the server's present time.
	Ago
)

// Point is a starting point as it was asked for; the shard resolves it.
type Point struct {
	Kind     PointKind
	Number   uint64
	Position position.Position
	ID       []byte
	Time     time.Time
	Ago      time.Duration
}
