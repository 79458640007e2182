// Package eventwire is the hot codec of events: it reads and writes gesta.v1.Event and gesta.v1.RecordedEvent without the
// generated code, several times faster and with one allocation or none.
//
// What it promises. What it writes is byte for byte the deterministic protobuf encoding of the generated messages: fields in
// ascending order, default values left out, map entries sorted by key. What it reads is what the generated code reads: any
// valid encoding, in any order, unknown fields skipped; an encoding the generated code refuses is refused here
// (ErrMalformed). Fuzz tests hold both against the generated code.
//
// What it does not know: limits, names that are required, or anything about a commit; the server checks those. The
// functions do not check that the strings they write are valid UTF-8; the server refuses those that are not.
//
// Nothing here keeps state; everything may be used by many goroutines at once.
package eventwire

import (
	"errors"
	"time"
)

// ErrMalformed is what every decoder returns, wrapped with the place, for bytes that are no valid encoding.
var ErrMalformed = errors.New("malformed event encoding")

// Event is a fact as its producer states it (gesta.v1.Event).
type Event struct {
	// ID is unique within its stream; empty asks the server for one.
	ID string
	// Type says what happened, for instance OrderPlaced.
	Type string
	// SchemaVersion is the version of the type's schema; 0: not versioned.
	SchemaVersion uint32
	// ContentType is the media type of Data; empty: application/json when Data is JSON, else application/octet-stream.
	ContentType string
	Data        []byte
	// Time is when it happened, as the producer says, to the nanosecond; the zero time means not said.
	Time time.Time
	// Source is a URI reference that says who states it.
	Source string
	// Metadata carries what is about the event; standard names: correlation_id, causation_id, actor, traceparent.
	Metadata map[string]string
	Tags     []string
}

// Recorded is a fact as the log keeps it (gesta.v1.RecordedEvent).
type Recorded struct {
	Event
	// Offset is the event's place in its shard, from 1.
	Offset uint64
	// Revision is the event's place in its stream, from 1.
	Revision uint64
	Topic    string
	Key      string
	// RecordedTime is when the log recorded it, in UTC to the nanosecond.
	RecordedTime time.Time
}

// The tags (field number and wire type) of both messages, each one byte.
const (
	tagID            = 1<<3 | 2
	tagType          = 2<<3 | 2
	tagSchemaVersion = 3 << 3
	tagContentType   = 4<<3 | 2
	tagData          = 5<<3 | 2
	tagTime          = 6<<3 | 2
	tagSource        = 7<<3 | 2
	tagMetadata      = 8<<3 | 2
	tagTag           = 9<<3 | 2

	tagEvent    = 1<<3 | 2
	tagOffset   = 2 << 3
	tagRevision = 3 << 3
	tagTopic    = 4<<3 | 2
	tagKey      = 5<<3 | 2
	tagRecorded = 6<<3 | 1

	// Of google.protobuf.Timestamp and of a map's entry.
	tagSeconds = 1 << 3
	tagNanos   = 2 << 3
	tagName    = 1<<3 | 2
	tagValue   = 2<<3 | 2
)
