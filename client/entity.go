package client

import (
	"time"
)

// Entity defines a kind of entities: what its commands cause, and what its events add up to. S is the state of one, C its
// commands and E its events, mostly interfaces that the Go types of the commands and events fill.
//
// Decide and Fold are pure: what they give depends on what they are given alone, and they perform nothing. They may be asked
// again about the same, on any machine. Decide does not change the state. Fold may change what it was given and return it. Both
// are called for one entity at a time, for different ones at the same time. When one panics, the command fails with
// [CodeInternal] and the panic is logged; what was decided before stays.
//
// A value whose type is a Protobuf message is written as Protobuf, one of a byte slice's kind as it is, any other as JSON. What
// is in fields that JSON leaves out is lost when a state or event is read again: package entitytest finds that.
//
// An Entity is used by its pointer, and not changed once it is in use.
type Entity[S, C, E any] struct {
	// Kind is the topic of the entities' streams: [a-z0-9._-], 1 to 128 bytes.
	Kind string

	// Decide says what a command causes. An error is a [Rejection] (from [Reject]), a [Retry] (from [RetryAfter]), or a fault of the
	// handler, which the caller gets as [CodeInternal]. about is valid during the call alone.
	Decide func(state S, command C, about *About) (Decision[E], error)

	// Fold gives the state after an event.
	Fold func(state S, event E) S

	// New gives the state of an entity without events. By default it is the zero S, or a pointer to a zero value.
	New func() S

	// Commands are the commands it takes.
	Commands Commands[C]

	// Events are the events it emits and reads. What is emitted is of the highest version with the value's type.
	Events Events[E]

	// Replies names the Protobuf messages of replies, for each command that has one: HTTP then gives them as JSON.
	Replies map[string]any

	// Envelope, when it is set, completes each event beside its type, version and data: with tags, metadata, an id. It is pure,
	// too.
	Envelope func(event E, about *About, e *Event)

	// StateType names how states are written; by default the Protobuf message's full name, or the kind. A state of another type
	// is not read.
	StateType string
	// StateVersion is the version of S: it is raised when older states no longer parse or mean something else. Older states that
	// are not in OldStates are not read; the events are folded instead.
	StateVersion uint32
	// OldStates reads states of older versions.
	OldStates map[uint32]func(data []byte) (S, error)

	// SnapshotEvery is how many events may be folded to load an entity: one commit in so many events carries the state. 0: the
	// server's default, 100; negative: never.
	SnapshotEvery int
	// Idle is how long an entity without commands stays in memory; 0: the server's default, 2 minutes.
	Idle time.Duration
	// NewLife lets a deleted entity begin anew.
	NewLife bool
	// CheckReplay has each carried state compared, when it is loaded, with what its events fold to. An entity that differs is not
	// served.
	CheckReplay bool
	// Timeout is how long a decision may take; 0: the server's default, 10 s.
	Timeout time.Duration
	// Concurrency, Queue and EntityQueue bound how many entities are in hand at once, how many commands wait, and how many for one
	// entity; 0: the server's defaults, 1,024, 65,536 and 4,096.
	Concurrency, Queue, EntityQueue uint32

	made modelled[S, C, E]
}

// Commands names commands; each value says by its type what the command's data are read as.
type Commands[C any] map[string]C

// Events names events.
type Events[E any] map[string]Versions[E]

// Versions are the schema versions of an event; each value says by its type what the event's data are read as. Fold sees the
// version by the type.
type Versions[E any] map[uint32]E

// Decision is what a command causes: all of it is written together, or nothing. The zero value causes nothing and is a success.
type Decision[E any] struct {
	// Events happen, in this order.
	Events []E
	// Reply is what the caller is answered: nil for nothing, else a value as for commands.
	Reply any
	// Delete ends the entity after the events.
	Delete bool
}

// About is what is known of a command beside its data.
type About struct {
	Kind, Key string
	Command   string
	ID        string // the caller's, or the server's
	// Revision is that of the state it is decided on.
	Revision uint64
	Metadata map[string]string
	// Received is when the server got the command: what Decide should take for now.
	Received time.Time
}
