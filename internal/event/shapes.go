package event

import (
	"context"
	"time"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/api/position"
)

// Commit is the atomic unit that is asked of a shard: events of one or several streams, accepted together or not at all.
// Its slices alias memory it owns; nobody changes them after it was made.
type Commit struct {
	// Streams are the appends, in the request's order, no stream twice.
	Streams []Append
	// CommandID names the whole request for idempotency, within the first stream's scope; empty when there is none.
	CommandID []byte
	// Request is what Digest gives when it is set: what was asked for, when the events do not tell. An entity's command is
	// the same when it asks for the same, whatever it was decided to cause.
	Request *[32]byte
	// Reply is what the command's caller is answered; nil when there is none. It is kept for repeats, with a CommandID alone.
	Reply *Payload
	// State is what the first stream's events amount to after this commit; nil when the commit carries none.
	State *State
	// NoCreate refuses the commit when a topic does not exist yet.
	NoCreate bool
	// Bytes is the size of all canonical events, the reply and the state, for the limits on queues and batches.
	Bytes int
}

// Payload is data in the words of the user, with its media type and the name of its type.
type Payload struct {
	ContentType, Type string
	Data              []byte
}

// State is what an entity's events amount to, as its handler wrote it. Type is the state's, Version that of its schema.
type State struct {
	Version uint32
	Payload
}

// Append is what a commit adds to one stream.
type Append struct {
	Topic, Key []byte
	Expect     Expect
	Events     []Prepared
}

// Prepared is a validated event, encoded canonically: the bytes that are stored and handed to readers.
type Prepared struct {
	// ID and Type alias Bytes.
	ID, Type []byte
	// Bytes is the deterministic protobuf encoding of gesta.v1.Event.
	Bytes []byte
}

// ExpectKind says which condition an append puts on its stream.
type ExpectKind uint8

// The conditions. The zero value accepts anything.
const (
	// Any accepts every state of the stream.
	Any ExpectKind = iota
	// None wants a stream without events.
	None
	// Exists wants a stream with at least one event.
	Exists
	// Exact wants the newest revision to be Expect.Revision; 0 is the same as None.
	Exact
)

// Expect is a condition on a stream's newest revision.
type Expect struct {
	Kind     ExpectKind
	Revision uint64
}

// Met tells whether a stream whose newest revision is actual fulfils the condition.
func (e Expect) Met(actual uint64) bool {
	switch e.Kind {
	case None:
		return actual == 0
	case Exists:
		return actual > 0
	case Exact:
		return actual == e.Revision
	default:
		return true
	}
}

// StreamOutcome is where the events of one stream of a commit were written.
type StreamOutcome struct {
	FirstRevision, LastRevision uint64
	FirstOffset, LastOffset     uint64
}

// Outcome is where a commit was written.
type Outcome struct {
	// Streams has one element for each of the commit's, in its order.
	Streams []StreamOutcome
	// Position is that of the commit's last event.
	Position position.Position
	// Repeated is true when the commit, or its events, had been written before: this is the first outcome again.
	Repeated bool
	// Reply is what was answered then, when the command id was repeated.
	Reply *Payload
}

// Call is a commit on its way through a shard.
type Call struct {
	Commit *Commit
	// After, when set, is a call that was submitted before by the same goroutine: this one was decided on what that one does to the
	// stream, and is a conflict when that one was not accepted. The shard forgets it when it has judged.
	After *Call
	// Deadline is when the caller stops waiting; the zero time means never.
	Deadline time.Time
	// Done is called exactly once, from the shard's goroutine, when Outcome or Err is set. It must not block.
	Done    func(*Call)
	Outcome Outcome
	Err     error
	// User belongs to whoever submits the call.
	User any
	// Shard belongs to the shard while the call is in it.
	Shard any
}

// Head is where a stream ends; all zero for a stream without events.
type Head struct {
	Revision, Offset uint64
	// Time is when the newest event was recorded, in nanoseconds since 1970 UTC.
	Time int64
}

// StreamHead is a stream of a known topic and where it ends.
type StreamHead struct {
	Key []byte
	Head
}

// Scope says how much of a shard is read.
type Scope uint8

// The scopes. The zero value is none of them, so that a forgotten one is found.
const (
	// ScopeStream reads the stream of one topic and key.
	ScopeStream Scope = iota + 1
	// ScopeTopic reads a topic in the shard's order.
	ScopeTopic
	// ScopeAll reads the whole shard.
	ScopeAll
)

// ReadSpec says what to read of a shard.
type ReadSpec struct {
	Scope Scope
	// Topic is set for ScopeStream and ScopeTopic, Key for ScopeStream.
	Topic, Key []byte
	From       Point
	// Backwards reads newest first.
	Backwards bool
	// Follow waits at the end for what comes; not with Backwards.
	Follow bool
	// Stale reads what the replica has, without asking whether that is all.
	Stale bool
	// Limit ends the read after this many events; 0 means no limit.
	Limit uint64
	// Types leaves out events of any other type; empty keeps all.
	Types [][]byte
	// KeyPrefix leaves out events whose key does not begin with it.
	KeyPrefix []byte
	// Tags leaves out events that lack any of them; empty keeps all.
	Tags [][]byte
	// Where leaves out events that it does not match, of those that all of the above keep; nil keeps all.
	Where Predicate
	// Order is that of events of several shards; not ByRecorded with Follow. One shard has one order, which is by both.
	Order Order
}

// Order says how the events of several shards are put together. Those of one shard stay in its order.
type Order uint8

// The orders. The zero value is the quickest.
const (
	// ByShard takes what comes.
	ByShard Order = iota
	// ByRecorded takes the earliest recorded time first (backwards: the latest).
	ByRecorded
)

// Predicate is a condition on events that no index knows. It is used by one goroutine at a time. One that is a fmt.Stringer gives its
// text, by which another node can apply it.
type Predicate interface {
	// Match looks at an event: its encoding as the log keeps it, and its parts. It keeps neither, and changes nothing. An error
	// ends the read with that error, behind the events before it.
	Match(recorded []byte, v *eventwire.View) (bool, error)
}

// Batch is a piece of a read. It is valid until the next call of the reader that made it.
type Batch struct {
	// Events are encodings of gesta.v1.RecordedEvent, exactly as the log keeps them. It may be empty when a filter left all
	// out, or when only Live is told.
	Events [][]byte
	// Position is where the batch ends: a read from it continues after it (backwards: at it).
	Position position.Position
	// Others are where the read is in the other shards of a topic of several partitions. All events of a batch are of one shard,
	// Position's, so within the batch the others stay where they are.
	Others position.List
	// Live is true once, when the reader has caught up with what is committed and now follows.
	Live bool
	// ResolvedOffset is set in the first batch when the starting point fell between kept events: the first kept event's offset.
	ResolvedOffset uint64
}

// Reader gives the events of a read, batch by batch. It is used by one goroutine.
type Reader interface {
	// Next waits for the next batch when the read follows; io.EOF ends a read that does not.
	Next(ctx context.Context) (Batch, error)
	// Close gives back what the reader holds. It may be called more than once.
	Close()
}
