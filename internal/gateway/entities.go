package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"sync/atomic"

	"github.com/gesta-db/gesta/api/eventwire"
	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// EntityLog is what entities need of a log, beside what Shard has.
type EntityLog interface {
	Load(spec event.LoadSpec) (event.Loaded, error)
	Command(topic, key, id []byte) (o event.Outcome, digest [32]byte, ok bool, err error)
	Barrier(ctx context.Context) error
	Revision(topic, key []byte) (uint64, error)
}

// Placement tells which node runs an entity.
type Placement interface {
	// Owner tells whether it is this one, and which one else.
	Owner(kind, key string) (local bool, node uint64)
}

// EntityOptions let a gateway run entities.
type EntityOptions struct {
	// Log gives what entities need of a shard.
	Log       func(shard uint32) (EntityLog, bool)
	Logger    *slog.Logger // nil: silent
	Listener  *entity.Listener
	Placement Placement // nil: all run here
	Ask       Ask       // nil: there are no other nodes
	// IDs begins the ids of commands without one: unlike any other process's, ever.
	IDs string
}

func (g *Gateway) openEntities(o *EntityOptions) {
	if o == nil {
		return
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	g.placement, g.askNode, g.ids.prefix = o.Placement, o.Ask, o.IDs
	g.entityLog = &entityLog{g: g, log: o.Log}
	g.entities = entity.Open(entity.Config{Limits: *g.limits, Logger: o.Logger, Listener: o.Listener, IDs: o.IDs + "c"}, g.entityLog, g.clock)
}

// ids are names unlike any others.
type ids struct {
	prefix string
	n      atomic.Uint64
}

func (i *ids) next() string { return i.prefix + "d-" + strconv.FormatUint(i.n.Add(1), 36) }

// DrainEntities asks handlers to go once no command is under way; CloseEntities ends what is left.
func (g *Gateway) DrainEntities() {
	if g.entities != nil {
		g.entities.Drain("the node stops")
	}
}

// CloseEntities ends every command and attachment.
func (g *Gateway) CloseEntities() {
	if g.entities != nil {
		g.entities.Close()
	}
}

// EntityStats tells how much of entities is in memory.
func (g *Gateway) EntityStats() entity.Stats {
	if g.entities == nil {
		return entity.Stats{}
	}
	return g.entities.Stats()
}

func errNoEntities() error {
	return errs.New(errs.Unsupported, "this node runs no entities")
}

// Execute takes the commands of one caller in their order. Each call's Done is called once, with what came of it; it is not called
// before Execute returns for calls that were accepted.
func (g *Gateway) Execute(who Caller, calls []*entity.Call) {
	now := g.clock.Now()
	kept := calls[:0:len(calls)]
	for _, c := range calls {
		c.Received = now
		if c.Deadline.IsZero() {
			c.Deadline = now.Add(DefaultTimeout)
		}
		if err := g.checkCall(who, c); err != nil {
			c.Err = err
			c.Done(c)
			continue
		}
		kept = append(kept, c)
	}
	if len(kept) > 0 {
		g.dispatch(kept)
	}
}

// checkCall holds a command against what is known before it is decided.
func (g *Gateway) checkCall(who Caller, c *entity.Call) error {
	if g.entities == nil {
		return errNoEntities()
	}
	if err := g.admitAppend(); err != nil {
		return err
	}
	if err := g.auth.Authorize(who, ActExecute, []byte(c.Kind)); err != nil {
		return err
	}
	if err := event.CheckTopic(c.Kind); err != nil {
		return errs.New(errs.Invalid, "kind: %w", err).With("field", "kind")
	}
	if err := event.CheckCommand(c.Key, c.Command, c.ID, &c.Payload, g.limits); err != nil {
		return err
	}
	if len(c.Metadata) == 0 {
		return nil
	}
	return event.CheckMetadata(c.Metadata, g.limits)
}

// ExecuteOne is Execute for one command, awaited. When the first outcome of a repeat comes without the state that is wanted, the state
// is made.
func (g *Gateway) ExecuteOne(ctx context.Context, who Caller, c *entity.Call) (entity.Outcome, error) {
	if g.entities == nil {
		return entity.Outcome{}, errNoEntities()
	}
	done := make(chan struct{})
	c.Done = func(*entity.Call) { close(done) }
	if d, ok := ctx.Deadline(); ok {
		c.Deadline = d
	}
	g.Execute(who, []*entity.Call{c})
	select {
	case <-done:
	case <-ctx.Done():
		return entity.Outcome{}, errs.New(errs.UnknownOutcome, "the call ended before its outcome was known; repeat it with the same id: %w", ctx.Err())
	}
	if c.Err != nil || !c.ReturnState || c.Outcome.State != nil {
		return c.Outcome, c.Err
	}
	if err := g.CompleteState(ctx, c); err != nil {
		return entity.Outcome{}, err
	}
	return c.Outcome, nil
}

// CompleteState makes the state that a call wanted whose outcome came without: it is the first outcome of a repeat. A command that
// ended its entity led to none.
func (g *Gateway) CompleteState(ctx context.Context, c *entity.Call) error {
	if c.Outcome.Revision == 0 {
		return nil
	}
	s, err := g.fold(ctx, c.Kind, c.Key, c.Outcome.Revision)
	if errs.CodeOf(err) == errs.Gone {
		return nil
	}
	if err != nil {
		return errs.New(errs.UnknownOutcome, "the command was executed, but its state could not be made: repeat it with the same id: %w", err)
	}
	c.Outcome.State = s.State
	return nil
}

// State tells what an entity amounts to: now, at a revision, or at a point.
func (g *Gateway) State(ctx context.Context, who Caller, kind, key string, revision uint64, at event.Point) (entity.Outcome, error) {
	if g.entities == nil {
		return entity.Outcome{}, errNoEntities()
	}
	if err := g.admit(); err != nil {
		return entity.Outcome{}, err
	}
	if err := g.auth.Authorize(who, ActRead, []byte(kind)); err != nil {
		return entity.Outcome{}, err
	}
	if err := g.checkNames(kind, key); err != nil {
		return entity.Outcome{}, err
	}
	switch {
	case revision > 0:
		return g.fold(ctx, kind, key, revision)
	case at.Kind == event.Number:
		return g.fold(ctx, kind, key, at.Number)
	case at.Kind == event.Start, at.Kind == event.End:
		return g.stateNow(ctx, kind, key)
	}
	revision, err := g.revisionAt(ctx, kind, key, at)
	if err != nil {
		return entity.Outcome{}, err
	}
	return g.fold(ctx, kind, key, revision)
}

func (g *Gateway) checkNames(kind, key string) error {
	if err := event.CheckTopic(kind); err != nil {
		return errs.New(errs.Invalid, "kind: %w", err).With("field", "kind")
	}
	if key == "" {
		return errs.New(errs.Invalid, "key is empty: name the entity").With("field", "key")
	}
	return event.CheckKey(key, g.limits)
}

func (g *Gateway) stateNow(ctx context.Context, kind, key string) (entity.Outcome, error) {
	if local, node := g.owner(kind, key); !local {
		return g.stateAt(ctx, node, kind, key, 0)
	}
	return g.ask(ctx, kind, key, func(c *entity.Call) { g.entities.Execute([]*entity.Call{c}) })
}

func (g *Gateway) fold(ctx context.Context, kind, key string, revision uint64) (entity.Outcome, error) {
	if local, node := g.owner(kind, key); !local {
		return g.stateAt(ctx, node, kind, key, revision)
	}
	return g.ask(ctx, kind, key, func(c *entity.Call) { g.entities.Fold(c, revision) })
}

func (g *Gateway) ask(ctx context.Context, kind, key string, put func(*entity.Call)) (entity.Outcome, error) {
	done, now := make(chan struct{}), g.clock.Now()
	c := &entity.Call{Kind: kind, Key: key, Received: now, Deadline: now.Add(DefaultTimeout), Done: func(*entity.Call) { close(done) }}
	if d, ok := ctx.Deadline(); ok {
		c.Deadline = d
	}
	put(c)
	select {
	case <-done:
		if errs.CodeOf(c.Err) == errs.UnknownOutcome { // nothing is written by a question
			c.Err = errs.New(errs.Unavailable, "the handler did not make the state in time: try again")
		}
		return c.Outcome, c.Err
	case <-ctx.Done():
		return entity.Outcome{}, errs.New(errs.Unavailable, "the caller stopped waiting: %w", ctx.Err())
	}
}

// revisionAt finds the newest event of an entity up to a point.
func (g *Gateway) revisionAt(ctx context.Context, kind, key string, at event.Point) (uint64, error) {
	spec := event.ReadSpec{Scope: event.ScopeStream, Topic: []byte(kind), Key: []byte(key), From: at, Backwards: true, Limit: 1}
	shards, err := g.scope(ctx, 0, &spec)
	if err != nil {
		return 0, err
	}
	s, err := g.shard(shards[0])
	if err != nil {
		return 0, err
	}
	r, err := s.Read(ctx, spec)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for {
		b, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return 0, errs.New(errs.NotFound, "entity %s/%s had no events then", kind, key)
		}
		if err != nil {
			return 0, err
		}
		for _, e := range b.Events {
			var v eventwire.View
			if err := eventwire.ViewRecorded(e, &v); err != nil {
				return 0, err
			}
			return v.Revision, nil
		}
	}
}

// Deletion asks for the end of an entity.
type Deletion struct {
	Kind, Key, ID string
	Expected      uint64
	Expects       bool
	Metadata      []event.Pair
}

// deleteTries is how often a deletion is tried while others write the entity's stream.
const deleteTries = 16

// DeleteEntity writes a tombstone. An entity that has one already is gone, one without events not_found.
func (g *Gateway) DeleteEntity(ctx context.Context, who Caller, d *Deletion) (o event.Outcome, err error) {
	if g.entities == nil {
		return o, errNoEntities()
	}
	if err := g.auth.Authorize(who, ActExecute, []byte(d.Kind)); err != nil {
		return o, err
	}
	if err := g.checkNames(d.Kind, d.Key); err != nil {
		return o, err
	}
	if err := event.CheckCommand(d.Key, event.Tombstone, d.ID, &event.Payload{}, g.limits); err != nil {
		return o, err
	}
	if err := event.CheckMetadata(d.Metadata, g.limits); err != nil {
		return o, err
	}
	if d.ID != "" {
		if o, digest, ok, err := g.entityLog.Command([]byte(d.Kind), []byte(d.Key), []byte(d.ID)); ok || err != nil {
			if err == nil && digest != event.RequestDigest(event.Tombstone, &event.Payload{}) {
				err = errs.New(errs.Invalid, "the id %q was used before for something else: use a new one", d.ID).With("field", "id")
			}
			return o, err
		}
	}
	for range deleteTries {
		if o, err = g.deleteOnce(ctx, who, d); errs.CodeOf(err) != errs.Conflict || d.Expects {
			return o, err
		}
	}
	return o, errs.New(errs.Busy, "others write to %s/%s all the time; nothing was written: try again later", d.Kind, d.Key)
}

func (g *Gateway) deleteOnce(ctx context.Context, who Caller, d *Deletion) (o event.Outcome, err error) {
	s, err := g.shardOf([]byte(d.Kind), []byte(d.Key))
	if err != nil {
		return o, err
	}
	h, _, err := s.Head(ctx, []byte(d.Kind), []byte(d.Key))
	switch {
	case err != nil:
		return o, err
	case h.Revision == 0:
		return o, errs.New(errs.NotFound, "entity %s/%s has no events", d.Kind, d.Key)
	case d.Expects && d.Expected != h.Revision:
		return o, errs.New(errs.Conflict, "entity %s/%s is at revision %d, expected revision %d: look at it again and decide anew", d.Kind, d.Key, h.Revision, d.Expected).
			With("topic", d.Kind).With("key", d.Key).With("actual_revision", strconv.FormatUint(h.Revision, 10))
	}
	l, err := g.entityLog.Load(event.LoadSpec{Topic: []byte(d.Kind), Key: []byte(d.Key), AtMost: h.Revision, After: h.Revision - 1, Bytes: 1})
	if err != nil {
		return o, err
	}
	if l.Deleted {
		return o, errs.New(errs.Gone, "entity %s/%s was deleted at revision %d", d.Kind, d.Key, h.Revision).With("revision", strconv.FormatUint(h.Revision, 10))
	}
	commit, err := g.tombstone(d, h.Revision)
	if err != nil {
		return o, err
	}
	o, _, err = g.Append(ctx, who, commit)
	return o, err
}

func (g *Gateway) tombstone(d *Deletion, revision uint64) (*event.Commit, error) {
	id := d.ID
	if id == "" {
		id = g.ids.next()
	}
	var s event.Stamper
	events, size, err := s.Prepare(&event.Stamp{ID: id, Time: g.clock.Now(), Metadata: d.Metadata, Cause: id}, nil, true, nil, g.limits)
	if err != nil {
		return nil, err
	}
	digest := event.RequestDigest(event.Tombstone, &event.Payload{})
	return &event.Commit{
		Streams:   []event.Append{{Topic: []byte(d.Kind), Key: []byte(d.Key), Expect: event.Expect{Kind: event.Exact, Revision: revision}, Events: events}},
		CommandID: []byte(d.ID), Request: &digest, State: &event.State{Payload: event.Payload{Type: event.Tombstone}}, Bytes: size,
	}, nil
}

// Attach lets a handler serve kinds.
func (g *Gateway) Attach(ctx context.Context, who Caller, hello *gestav1.Hello, h entity.Handler) (*entity.Attached, *gestav1.Welcome, error) {
	if g.entities == nil {
		return nil, nil, errNoEntities()
	}
	if err := g.admit(); err != nil {
		return nil, nil, err
	}
	read, err := entity.ReadHello(hello, g.limits)
	if err != nil {
		return nil, nil, err
	}
	for i := range read.Kinds {
		if err := g.auth.Authorize(who, ActServe, []byte(read.Kinds[i].Name)); err != nil {
			return nil, nil, err
		}
	}
	a, err := g.entities.Attach(ctx, read, h)
	if err != nil {
		return nil, nil, err
	}
	l := g.limits
	return a, &gestav1.Welcome{
		Protocol: entity.Protocol, NodeId: g.identity.NodeID, ClusterId: g.identity.ClusterID, ServerVersion: g.identity.Version, Process: a.Name,
		Limits: &gestav1.HandlerLimits{EventBytes: uint64(l.EventBytes), CommitBytes: uint64(l.CommitBytes), CommitEvents: uint32(l.CommitEvents), StateBytes: uint64(l.StateBytes), ReplyBytes: uint64(l.ReplyBytes)},
	}, nil
}
