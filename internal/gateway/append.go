package gateway

import (
	"context"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// DefaultTimeout is how long an append waits for its outcome when the caller does not say.
const DefaultTimeout = 10 * time.Second

// Call is an append on its way.
type Call struct {
	// Commit, Deadline (zero: DefaultTimeout from now) and Done are set by the caller. Done is called once, possibly before
	// Submit returns, and must not block.
	Commit   *event.Commit
	Deadline time.Time
	Done     func(*Call)
	// User belongs to the caller.
	User any

	// Err, or Outcome, are set when Done is called. Created are the topics that were made for it, in either case.
	Outcome *event.Outcome
	Err     error
	Created []string

	started time.Time
	under   *flight
	inner   event.Call
}

// Submit takes on the calls of one caller in their order. It returns when all are queued or done; it waits only when a topic
// must be created, or is being deleted, until ctx ends.
func (g *Gateway) Submit(ctx context.Context, who Caller, calls []*Call) {
	now := g.clock.Now()
	q := queue{g: g, room: len(calls)}
	g.order.RLock()
	defer func() { g.order.RUnlock() }()
	for _, c := range calls {
		g.start(c, now)
		err := g.check(who, c.Commit)
		var shard uint32
		for known := false; err == nil; {
			if shard, known, err = g.locate(c.Commit); known || err != nil {
				break
			}
			// What came before goes first, and the lock is not held while a topic is made: that takes a write to disk.
			q.flush()
			g.order.RUnlock()
			err = g.makeTopics(ctx, c)
			g.order.RLock()
		}
		if err == nil {
			err = q.add(shard, &c.inner)
		}
		if err != nil {
			g.end(c, err)
			continue
		}
		c.under = g.under
	}
	q.flush()
}

// Append is Submit for one commit, awaited. Created are topics that were made for it, also when it then failed.
func (g *Gateway) Append(ctx context.Context, who Caller, commit *event.Commit) (outcome event.Outcome, created []string, err error) {
	if g.tracer == nil {
		return g.append(ctx, who, commit)
	}
	ctx, span := g.tracer.Step(ctx, "commit")
	describe(span, commit)
	outcome, created, err = g.append(ctx, who, commit)
	if err == nil {
		located(span, &outcome)
	}
	span.End(err)
	return outcome, created, err
}

func (g *Gateway) append(ctx context.Context, who Caller, commit *event.Commit) (outcome event.Outcome, created []string, err error) {
	done := make(chan struct{})
	c := &Call{Commit: commit, Done: func(*Call) { close(done) }}
	c.Deadline, _ = ctx.Deadline()
	g.Submit(ctx, who, []*Call{c})
	select {
	case <-done:
	case <-ctx.Done():
		return outcome, nil, errs.New(errs.UnknownOutcome, "the call ended before its outcome was known; repeat it with the same ids: %w", ctx.Err())
	}
	if c.Err != nil {
		return outcome, c.Created, c.Err
	}
	return *c.Outcome, c.Created, nil
}

func (g *Gateway) start(c *Call, now time.Time) {
	c.started = now
	if c.Deadline.IsZero() {
		c.Deadline = now.Add(DefaultTimeout)
	}
	c.inner = event.Call{Commit: c.Commit, Deadline: c.Deadline, Done: g.finish, User: c}
}

// finished is every inner call's Done.
func (g *Gateway) finished(inner *event.Call) {
	c := inner.User.(*Call)
	c.Outcome = &inner.Outcome
	c.under.done()
	g.end(c, inner.Err)
}

func (g *Gateway) end(c *Call, err error) {
	c.Err = err
	if told := g.listener.AppendDone; told != nil {
		told(g.clock.Now().Sub(c.started), countEvents(c.Commit), c.Commit.Bytes, err)
	}
	c.Done(c)
}

func (g *Gateway) check(who Caller, commit *event.Commit) error {
	if err := g.admitAppend(); err != nil {
		return err
	}
	for i := range commit.Streams {
		if err := g.auth.Authorize(who, ActAppend, commit.Streams[i].Topic); err != nil {
			return err
		}
	}
	return nil
}

// makeTopics creates what is missing, after what others are doing to these topics. A deletion may begin before the caller holds
// g.order again: it looks again.
func (g *Gateway) makeTopics(ctx context.Context, c *Call) error {
	ctx, cancel := context.WithDeadline(ctx, c.Deadline)
	defer cancel()
	for i := range c.Commit.Streams {
		name := string(c.Commit.Streams[i].Topic)
		created, err := g.ensureTopic(ctx, name, Layout{}, c.Commit.NoCreate)
		if err != nil {
			return err
		}
		if created {
			c.Created = append(c.Created, name)
		}
	}
	return nil
}

func countEvents(commit *event.Commit) (n int) {
	for i := range commit.Streams {
		n += len(commit.Streams[i].Events)
	}
	return n
}
