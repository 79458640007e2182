package event

import "github.com/gesta-db/gesta/api/position"

// Tombstone is the type of the event that ends an entity: what it was before leads to nothing after. A commit that ends with one
// carries a state of this type, so that loading need not look behind it.
const Tombstone = "gesta.deleted"

// LoadSpec asks for what an entity's state is made of.
type LoadSpec struct {
	Topic, Key []byte
	// AtMost is the revision up to which it is wanted; 0: the newest.
	AtMost uint64
	// Accept says which carried states to begin with; nil: none, which is to read all events. It is not asked about a tombstone's.
	Accept func(typ string, version uint32) bool
	// Below leaves out carried states of this revision and later ones; 0: none.
	Below uint64
	// After goes on with an entity whose events up to this revision are known; no carried state is looked for. 0: begin.
	After uint64
	// Bytes bounds the events that are given at once; at least one is given.
	Bytes int
}

// Loaded is an entity, or a part of it.
type Loaded struct {
	// Head is where the stream ends, AtMost or not.
	Head Head
	// Base is the revision of Carried; or of a tombstone, after which there is no state; or 0, or After.
	Base uint64
	// Carried is nil when there is none to begin with.
	Carried *State
	// Events follow Base: encodings of gesta.v1.RecordedEvent. They are the caller's.
	Events [][]byte
	// Revision and Position are those of the last event, or of Base when there are no events.
	Revision uint64
	Position position.Position
	// More tells that events up to the revision wanted are missing: go on after Revision.
	More bool
	// Deleted tells that what there is at Revision is a tombstone.
	Deleted bool
}
