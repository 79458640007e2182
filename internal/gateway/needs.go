package gateway

import (
	"context"
	"time"

	"github.com/gesta-db/gesta/api/partition"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/event"
)

// Shard is what the gateway needs of a log.
type Shard interface {
	// Submit queues the calls in order and returns when all are queued or done; it may look up things on disk before.
	Submit(calls []*event.Call)
	// Head is linearizable: it counts all that was proposed before it was asked.
	Head(ctx context.Context, topic, key []byte) (event.Head, position.Position, error)
	// Read resolves the starting point; what it can refuse it refuses here.
	Read(ctx context.Context, spec event.ReadSpec) (event.Reader, error)
	// Streams lists streams of a topic in the byte order of their keys: those with the prefix, after a key when hasAfter.
	Streams(topic, prefix, after []byte, hasAfter bool, limit int) (streams []event.StreamHead, more bool, err error)
	// TopicEvents counts the events a topic has now.
	TopicEvents(topic []byte) (uint64, error)
	// Counts counts a topic's events in even parts of the time from one moment, included, to another, excluded.
	Counts(ctx context.Context, topic []byte, from, to time.Time, buckets int) ([]uint64, error)
	Status() ShardStatus
	// Ready tells whether the shard serves, and why not.
	Ready() (bool, []string)
}

// Shards is what the gateway needs of the logs there are.
type Shards interface {
	// Shard gives the log of a number; it looks in memory alone.
	Shard(number uint32) (Shard, bool)
	// Numbers lists them in ascending order. It may be kept, not changed.
	Numbers() []uint32
}

// Topics is what the gateway needs of the meta group.
type Topics interface {
	// Topic looks a name up in memory; it does not keep the slice.
	Topic(name []byte) (Topic, bool)
	// Refresh waits until what was changed anywhere before the call can be looked up here.
	Refresh(ctx context.Context) error
	// EnsureTopic makes the topic exist, durably, and tells whether it did not before. Invalid and not_found are about the layout.
	EnsureTopic(ctx context.Context, name string, l Layout) (created bool, err error)
	// DeleteTopic forgets the topic, durably. Unknown: not_found.
	DeleteTopic(ctx context.Context, name string) error
	// Topics lists topics in the order of their names: those with the prefix, after a name.
	Topics(prefix, after string, limit int) (topics []Topic, more bool)
	// Count tells how many topics there are.
	Count() int
}

// Topic is a named set of streams and where it lives.
type Topic struct {
	Name string
	// Shard is where it lives, the first of them when there are several.
	Shard uint32
	// Partitions are its shards when there are several, in the order by which keys find theirs; nil: Shard alone.
	Partitions []uint32
	Created    time.Time
}

// Shards are those that the topic lives on.
func (t *Topic) Shards() []uint32 {
	if len(t.Partitions) == 0 {
		return []uint32{t.Shard}
	}
	return t.Partitions
}

// ShardOf is where the stream of a key lives.
func (t *Topic) ShardOf(key []byte) uint32 {
	if len(t.Partitions) == 0 {
		return t.Shard
	}
	return t.Partitions[partition.Of(key, len(t.Partitions))]
}

// Layout says where a new topic shall live. At most one part is set; the zero value is FirstShard.
type Layout struct {
	// Shards are the topic's, in the order by which keys find theirs.
	Shards []uint32
	// Partitions is over how many shards it shall live; the cluster chooses those with the fewest topics.
	Partitions int
	// Colocate names the topic whose shards it shall have: the same keys are then in the same shards.
	Colocate string
}

// ShardStatus is one shard as this node sees it. Raft's numbers are indexes of entries.
type ShardStatus struct {
	Shard            uint32
	History          uint64
	Role             string // leader, follower or candidate
	Leader           string // the leader's node id, when known
	Term             uint64
	LastIndex        uint64
	CommitIndex      uint64
	AppliedIndex     uint64
	LastOffset       uint64
	Segments         uint64
	UnsealedSegments uint64
	LogBytes         uint64
	IndexBytes       uint64
}

// Caller is who asks.
type Caller struct {
	// Name is what was proved by a certificate or token; empty: nobody in particular.
	Name string
	// Addr is where the call comes from.
	Addr string
}

// Action is what a caller wants to do.
type Action uint8

// The actions.
const (
	ActAppend Action = iota + 1
	ActRead
	ActManage  // create and delete topics
	ActInspect // status and lists
	ActExecute // send commands to entities, and delete them
	ActServe   // attach as the handler of a kind
)

// Authorizer decides who may do what. Topic is empty where the action concerns the whole node. It returns nil, or an error
// with the code unauthenticated or forbidden. It is asked on every call, so it must be quick and must not block.
type Authorizer interface {
	Authorize(who Caller, action Action, topic []byte) error
}

// AllowAll lets everybody do everything.
type AllowAll struct{}

// Authorize allows it.
func (AllowAll) Authorize(Caller, Action, []byte) error { return nil }

// Listener is told what happens, for metrics and logs. Every field may be nil; none may block.
type Listener struct {
	// AppendDone is told each append's duration, how many events it had, their bytes, and how it ended.
	AppendDone func(took time.Duration, events, bytes int, err error)
	// ReadStarted and ReadEnded bracket a read.
	ReadStarted func()
	ReadEnded   func()
	// ReadFailed is told of each read that was refused, or that ended before its time, and why; not of those whose reader left.
	ReadFailed func(err error)
	// ReadBatch is told of each batch, how long the wait for it was, and whether the reader had caught up before (then the wait
	// is for something to happen).
	ReadBatch func(waited time.Duration, events, bytes int, live bool)
	// TopicCreated and TopicDeleted are told names.
	TopicCreated func(name string)
	TopicDeleted func(name string)
}
