package client

import (
	"context"
	"time"
)

// Append is what to add to one stream.
type Append struct {
	Topic  string // created when it does not exist, unless NoCreate is given
	Key    string // may be empty: a topic without keys is one plain log
	Expect Expect
	Events []Event // at least one
}

// Result tells where a commit is. It is on stable storage on a majority of the shard's voters.
type Result struct {
	// Streams has one entry for each Append, in their order.
	Streams []StreamResult `json:"streams"`
	// Position is the token of the commit's last event: reading from "pos:" + Position continues after the commit.
	Position string `json:"position"`
	// Repeated is true when these events, or this command, had been written before: this is the first outcome again.
	Repeated bool `json:"repeated"`
	// CreatedTopics are the topics that this commit created.
	CreatedTopics []string `json:"created_topics,omitempty"`
}

// StreamResult is where the events of one stream are: revisions count in the stream, offsets in the shard, both from 1.
type StreamResult struct {
	FirstRevision uint64 `json:"first_revision"`
	LastRevision  uint64 `json:"last_revision"`
	FirstOffset   uint64 `json:"first_offset"`
	LastOffset    uint64 `json:"last_offset"`
}

// AppendOption changes one append.
type AppendOption func(*appendOptions)

type appendOptions struct {
	commandID string
	noCreate  bool
}

// CommandID names the whole commit for idempotency, beside the ids of its events; up to 256 bytes, unique for the first stream.
func CommandID(id string) AppendOption { return func(o *appendOptions) { o.commandID = id } }

// NoCreate refuses the commit with [CodeNotFound] when a topic does not exist, instead of creating it.
func NoCreate() AppendOption { return func(o *appendOptions) { o.noCreate = true } }

// Append writes events to one stream and returns when they are durable.
//
// Errors: CodeConflict when the expectation does not hold, CodeInvalid and CodeTooLarge for what the server does not take,
// CodeNotFound with NoCreate, CodeUnknownOutcome when the answer was lost until ctx ended, and what could not be retried away
// until then (CodeBusy, CodeNoLeader, CodeUnavailable), CodeNoSpace.
func (c *Client) Append(ctx context.Context, a Append, opts ...AppendOption) (Result, error) {
	streams := [1]Append{a}
	return c.commit(ctx, streams[:], opts)
}

// Commit writes events to several streams of one shard: all of them become visible together, or none. Errors are those of
// Append.
func (c *Client) Commit(ctx context.Context, streams []Append, opts ...AppendOption) (Result, error) {
	return c.commit(ctx, streams, opts)
}

// Start sends a commit without waiting for its outcome, which the Pending gives. It waits only while 16 MiB are under way.
// Started commits keep their order per stream (see the package's documentation). When ctx ends, the commit is given up.
func (c *Client) Start(ctx context.Context, streams []Append, opts ...AppendOption) *Pending {
	return c.appends.start(ctx, streams, opts)
}

func (c *Client) commit(ctx context.Context, streams []Append, opts []AppendOption) (Result, error) {
	l := c.appends
	if l.ordered(streams) {
		return l.start(ctx, streams, opts).outcome()
	}
	k := newCall()
	if err := k.encode(ctx, streams, opts); err != nil {
		return Result{}, err
	}
	if _, ok := ctx.Deadline(); !ok {
		k.expires = time.Now().Add(c.opts.Timeout)
	}
	return l.do(ctx, k)
}
