package client

import (
	"context"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"

	"github.com/gesta-db/gesta/api/position"
)

// Scope is what a read covers.
type Scope struct {
	kind  scopeKind
	topic string
	key   string
	shard uint32
}

type scopeKind uint8

const (
	scopeShard scopeKind = iota
	scopeTopic
	scopeStream
)

// StreamScope is the events of one stream, in order.
func StreamScope(topic, key string) Scope { return Scope{kind: scopeStream, topic: topic, key: key} }

// TopicScope is the events of a topic, in shard order; those of several shards as they come, unless ByTime.
func TopicScope(topic string) Scope { return Scope{kind: scopeTopic, topic: topic} }

// ShardScope is every event of a shard, in order.
func ShardScope(shard uint32) Scope { return Scope{kind: scopeShard, shard: shard} }

// ReadOptions says where to start, what to leave out and when to end. The zero value reads everything from the start.
type ReadOptions struct {
	// From is a starting point: start | end | N | pos:TOKEN | id:EVENTID | time:RFC3339 | time:YYYY-MM-DD (UTC) | -2h.
	// N is a revision of a stream or an offset of a shard. pos continues after the position. Default: start, or end when
	// reading backwards.
	From string
	// Backwards reads the newest first.
	Backwards bool
	// Follow waits at the end for what comes. Not with Backwards.
	Follow bool
	// Stale begins with what the node has, without asking the leader: quicker, also while there is no leader, and perhaps behind.
	Stale bool
	// ByTime reads a topic of several partitions in the order of recorded times instead of as it comes; each shard stays in its order. Not
	// with Follow.
	ByTime bool
	// Limit ends the read after so many events; 0: no limit.
	Limit uint64
	// Types keeps events of these types; empty: of all.
	Types []string
	// KeyPrefix keeps events whose key begins with it.
	KeyPrefix string
	// Tags keeps events that carry all of these; up to 32.
	Tags []string
	// Where keeps events of which this expression of CEL is true, up to 4 KiB: it sees id, type, topic, key, revision, offset, source,
	// time, recorded, content_type, schema_version, tags, metadata and, as data, a JSON payload. What it leaves out is read by the
	// server all the same: narrow by the other parts where they do.
	Where string
	// OnLive, when following, is called by Next each time the read has caught up, before it waits.
	OnLive func()
}

// Reader reads events. It resumes by itself after the last event returned when a connection breaks, without gap or repeat. Not
// for concurrent use.
type Reader struct {
	client *Client
	scope  Scope
	opts   ReadOptions
	ctx    context.Context // of the whole read, as in database/sql.Rows: Next takes none
	stop   context.CancelFunc

	stream   grpc.ClientStream
	cancel   context.CancelFunc
	addr     string
	node     *node
	in       inFrame
	rest     []byte     // of the frame, not yet decoded
	chunk    []Recorded // memory for the next events
	from     string     // where to resume
	at       position.Position
	known    bool // at is known: the server has named shard and history
	ended    bool // the current stream has ended well
	live     bool
	read     uint64
	resolved uint64
	position string // the frame's, used when its events have all been returned
	// Of a topic of several partitions: where the frame is in the other shards, the position before the frame, and whether none of its
	// events has been returned.
	others position.List
	before string
	fresh  bool
	tried  attempts
	quiet  time.Time // since when there has been no contact
	err    error
}

// chunkEvents is how many events share one allocation.
const chunkEvents = 64

var readDesc = grpc.StreamDesc{StreamName: "Read", ServerStreams: true}

// Read prepares a read, which ends with ctx. It sends nothing before the first Next. Close it.
func (c *Client) Read(ctx context.Context, scope Scope, o ReadOptions) *Reader {
	r := &Reader{client: c, scope: scope, opts: o, from: o.From}
	r.in.keep = true
	r.ctx, r.stop = context.WithCancel(ctx)
	return r
}

// Next returns the next event, and io.EOF after the last one. The event is the caller's; its Data and strings share memory with
// those of its neighbours, so that keeping a few of very many is done with [Clone].
//
// Errors: CodeInvalid for a starting point or filter the server does not take, CodeTooLarge for an expression that takes too much, CodeNotFound for an id or topic that is not
// there, CodeTrimmed for a start that is no longer kept, CodeCorrupt, and CodeUnavailable when there was no contact for
// Options.Timeout. After an error, every Next returns it again.
func (r *Reader) Next() (*Recorded, error) {
	for r.err == nil {
		if len(r.rest) > 0 {
			if e := r.decode(); e != nil {
				return e, nil
			}
			continue
		}
		if err := r.fill(); err != nil {
			r.fail(err)
		}
	}
	return nil, r.err
}

// All yields the events until the end; an error is yielded last. It closes the reader.
func (r *Reader) All() iter.Seq2[*Recorded, error] {
	return func(yield func(*Recorded, error) bool) {
		defer r.Close()
		for {
			e, err := r.Next()
			if err == io.EOF {
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Position is the token after the last event returned: a later read from "pos:" + Position continues there. Empty before the
// first event, unless the server has said where an empty read ended.
func (r *Reader) Position() string {
	if len(r.rest) == 0 && r.position != "" {
		return r.position
	}
	if len(r.others) > 0 {
		if r.fresh {
			return r.before
		}
		return string(r.at.AppendAmong(nil, r.others))
	}
	if !r.known || r.at.Offset == 0 && r.read == 0 {
		return ""
	}
	return r.at.String()
}

// Shard is that of the last event returned, or of what comes next; 0 before the server has said.
func (r *Reader) Shard() uint32 { return r.at.Shard }

// Live tells whether a following read has caught up, and every event that Next returns from now on was recorded since.
func (r *Reader) Live() bool { return r.live }

// Resolved is the offset of the first event when the starting point fell into a gap; 0 when it did not. Known after the first
// Next.
func (r *Reader) Resolved() uint64 { return r.resolved }

// Close ends the read. It may be called twice.
func (r *Reader) Close() error {
	r.stop()
	if r.err == nil {
		r.err = &Error{Code: CodeUnavailable, Message: "the reader was closed", cause: errClosed, final: true}
	}
	r.hangUp()
	return nil
}
