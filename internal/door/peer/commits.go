package peer

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/limits"
)

const (
	// commitOverhead is what a call is taken to cost beside its bytes.
	commitOverhead = 512
	// commitFrame is what a frame of commits gathers: while the leader judges one, the next is on its way.
	commitFrame = 256 * limits.KiB
)

// commits forwards calls to one peer over one stream at a time. A call is first in queue, then in pending, then done; whoever takes
// it out of either finishes it.
type commits struct {
	link *link

	mu      sync.Mutex
	queue   []*commit
	pending map[uint64]*commit
	bytes   int64 // of both
	next    uint64
	running bool
	closed  bool
	idle    chan struct{} // closed when nothing is left after closed
	wake    chan struct{}
}

// commit is a call on its way to a leader.
type commit struct {
	id     uint64
	shard  uint32
	caller string
	call   *event.Call
	size   int
}

func newCommits(l *link) *commits {
	return &commits{link: l, pending: map[uint64]*commit{}, idle: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// Submit forwards calls, in their order, to the node that leads their shard. It does not block; each call is done once, like one
// that is submitted to a shard: no_leader means that it was not sent or that the node does not lead (the detail "leader" says who
// does, when it is known), unknown_outcome that it may have been written, busy that too much is on its way to that node.
func (t *Transport) Submit(to uint64, shard uint32, calls []*event.Call) {
	t.SubmitFor("", to, shard, calls)
}

// SubmitFor is Submit in someone's name.
func (t *Transport) SubmitFor(caller string, to uint64, shard uint32, calls []*event.Call) {
	l, err := t.way(to)
	if err != nil {
		err = errs.New(errs.NoLeader, "the shard's leader cannot be reached; nothing was written: %w", err)
		for _, c := range calls {
			t.finish(to, &commit{call: c}, nil, err)
		}
		return
	}
	l.commits.submit(caller, shard, calls)
}

func (c *commits) submit(caller string, shard uint32, calls []*event.Call) {
	var refused []*commit
	var why []error
	c.mu.Lock()
	for _, call := range calls {
		one := &commit{shard: shard, caller: caller, call: call, size: call.Commit.Bytes + commitOverhead}
		if err := c.admit(one); err != nil {
			refused, why = append(refused, one), append(why, err)
			continue
		}
		c.next++
		one.id = c.next
		c.queue = append(c.queue, one)
		c.bytes += int64(one.size)
	}
	if len(c.queue) > 0 && !c.running {
		c.running = true
		c.link.wg.Add(1)
		go c.run()
	}
	c.mu.Unlock()
	c.nudge()
	for i, one := range refused {
		c.link.t.finish(c.link.to, one, nil, why[i])
	}
}

func (c *commits) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// admit refuses what may not be sent. c.mu is held.
func (c *commits) admit(one *commit) error {
	limit := c.link.t.o.Limits.InFlightBytes
	switch {
	case cameFromPeer(one.call):
		return errs.New(errs.NoLeader, "the commit was forwarded here and this node does not lead its shard any more; nothing was written: try again")
	case c.closed && c.link.t.draining.Err() != nil:
		return c.link.t.errDraining()
	case c.closed:
		return noLeader(errClosed)
	case c.bytes > 0 && c.bytes+int64(one.size) > limit:
		return errs.New(errs.Busy, "%d bytes of commits are on their way to the shard's leader, and in_flight_bytes is %d; nothing was written: try again later", c.bytes, limit).With("limit", "in_flight_bytes")
	}
	return nil
}

// run forwards until the stream breaks or the leader takes no more, and ends what is then left.
func (c *commits) run() {
	defer c.link.wg.Done()
	err := c.forward()
	c.mu.Lock()
	sent, unsent := c.pending, c.queue
	c.pending, c.queue, c.bytes, c.running = map[uint64]*commit{}, nil, 0, false
	c.leave()
	c.mu.Unlock()
	to, t := c.link.to, c.link.t
	for _, one := range sent {
		t.finish(to, one, nil, errs.New(errs.UnknownOutcome, "the connection to the shard's leader broke after the commit was sent; it may have been written: repeat it with the same ids: %w", err))
	}
	for _, one := range unsent {
		t.finish(to, one, nil, noLeader(err))
	}
}

func noLeader(err error) error {
	return errs.New(errs.NoLeader, "the shard's leader cannot be reached; nothing was written: try again: %w", err)
}

// forward opens a stream and uses it until it ends. The error is never nil.
func (c *commits) forward() error {
	conn, err := c.link.conn(Work)
	if err != nil {
		return err
	}
	ctx, cut := context.WithCancelCause(c.link.ctx)
	defer cut(errClosed)
	late := time.AfterFunc(handshakeWait, func() { cut(errNoAnswer) })
	stream, err := c.link.open(ctx, conn, peerv1.Peer_Forward_FullMethodName, nil)
	if !late.Stop() && err == nil {
		err = errNoAnswer
	}
	if err != nil {
		return because(ctx, plain(err))
	}
	closing, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- c.receive(stream, closing) }()
	err = c.send(ctx, stream, closing, ended)
	cut(err)
	return err
}

// send sends what waits until the stream ends. When the leader is closing, or this side is, the rest of the replies is waited for.
func (c *commits) send(ctx context.Context, stream grpc.ClientStream, closing <-chan struct{}, ended chan error) error {
	draining := c.link.t.draining.Done()
	last := false
	for {
		if last {
			c.turnAway()
		} else {
			if err := c.sendAll(stream); err != nil {
				return <-ended
			}
			if last = c.isClosed(); last {
				_ = stream.CloseSend()
			}
		}
		select {
		case <-c.wake:
		case <-draining:
			draining = nil
		case <-closing:
			closing, last = nil, true
			_ = stream.CloseSend()
		case err := <-ended:
			return err
		case <-ctx.Done():
			<-ended
			return because(ctx, ctx.Err())
		}
	}
}

// turnAway ends what waits while the leader takes no more.
func (c *commits) turnAway() {
	c.mu.Lock()
	unsent := c.queue
	c.queue = nil
	for _, one := range unsent {
		c.bytes -= int64(one.size)
	}
	c.mu.Unlock()
	for _, one := range unsent {
		c.link.t.finish(c.link.to, one, nil, noLeader(errors.New("the node stops")))
	}
}

func (c *commits) sendAll(stream grpc.ClientStream) error {
	for {
		batch, size := c.take()
		if len(batch) == 0 {
			return nil
		}
		if err := stream.SendMsg(commitsFrame(batch, size)); err != nil {
			return err
		}
	}
}

// take moves the next frame's calls to pending: from here on they may have been sent.
func (c *commits) take() (batch []*commit, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := 0
	for k < len(c.queue) && k < mostCalls && (k == 0 || size+c.queue[k].size <= commitFrame) {
		size += c.queue[k].size
		c.pending[c.queue[k].id] = c.queue[k]
		k++
	}
	batch, c.queue = c.queue[:k:k], c.queue[k:]
	return batch, size
}

func commitsFrame(batch []*commit, size int) outFrame {
	now := time.Now()
	b := newFrame(size)
	for _, one := range batch {
		*b = appendCall(*b, one, now)
	}
	return sealed(b)
}

// appendCall appends a ForwardCall. A deadline that has passed leaves the least there is: the leader says what became of it.
func appendCall(dst []byte, one *commit, now time.Time) []byte {
	return appendLengthed(dst, tagCalls, func(dst []byte) []byte {
		dst = appendNumber(dst, tagCallID, one.id)
		dst = appendNumber(dst, tagShard, uint64(one.shard))
		dst = appendLengthed(dst, tagAppend, func(dst []byte) []byte { return appendCommit(dst, one.call.Commit) })
		if !one.call.Deadline.IsZero() {
			dst = appendNumber(dst, tagTimeout, uint64(max(1, one.call.Deadline.Sub(now))))
		}
		dst = appendBytes(dst, tagCaller, []byte(one.caller))
		if r := one.call.Commit.Request; r != nil {
			dst = appendBytes(dst, tagRequest, r[:])
		}
		dst = appendPayload(dst, tagReply, one.call.Commit.Reply)
		return appendState(dst, one.call.Commit.State)
	})
}

// receive takes replies until the stream ends; the error says why, and is never nil.
func (c *commits) receive(stream grpc.ClientStream, closing chan struct{}) error {
	told := false
	for {
		var in inFrame
		if err := stream.RecvMsg(&in); errors.Is(err, io.EOF) {
			return errEnded
		} else if err != nil {
			return plain(err)
		}
		c.link.heard(time.Now())
		more, err := decodeReplies(in.bytes(), c.replied)
		in.free()
		if err != nil {
			return err
		}
		if more && !told {
			told = true
			close(closing)
		}
	}
}

// replied ends the call that a reply is for. A late one, for a call that was given up, is nobody's.
func (c *commits) replied(r *reply) {
	c.mu.Lock()
	one := c.pending[r.id]
	if one != nil {
		delete(c.pending, r.id)
		c.bytes -= int64(one.size)
	}
	c.leave()
	c.mu.Unlock()
	if one == nil {
		return
	}
	if !r.whole || r.err == nil && len(r.outcome.Streams) != len(one.call.Commit.Streams) {
		r.err = errs.New(errs.UnknownOutcome, "the leader's answer cannot be understood; it may have been written: repeat it with the same ids, and see that all nodes are of one release")
	}
	c.link.t.finish(c.link.to, one, &r.outcome, r.err)
}

// Recall ends the calls for a shard that were handed to a node and have no answer yet, because the shard has another leader: those
// that may have been sent with unknown_outcome, the others with no_leader. That node would answer too, but may be out of reach.
func (t *Transport) Recall(to uint64, shard uint32) {
	if l := t.link(to); l != nil {
		l.commits.recall(shard)
	}
}

func (c *commits) recall(shard uint32) {
	c.mu.Lock()
	var sent, unsent, rest []*commit
	for id, one := range c.pending {
		if one.shard == shard {
			sent = append(sent, one)
			delete(c.pending, id)
			c.bytes -= int64(one.size)
		}
	}
	for _, one := range c.queue {
		if one.shard != shard {
			rest = append(rest, one)
			continue
		}
		unsent = append(unsent, one)
		c.bytes -= int64(one.size)
	}
	c.queue = rest
	c.leave()
	c.mu.Unlock()
	for _, one := range sent {
		c.link.t.finish(c.link.to, one, nil, errs.New(errs.UnknownOutcome, "the shard got another leader before this one answered; it may have been written: repeat it with the same ids"))
	}
	for _, one := range unsent {
		c.link.t.finish(c.link.to, one, nil, noLeader(errors.New("another node leads the shard now")))
	}
}

// leave tells when nothing is left after the end. c.mu is held.
func (c *commits) leave() {
	if c.closed && len(c.queue) == 0 && len(c.pending) == 0 {
		select {
		case <-c.idle:
		default:
			close(c.idle)
		}
	}
}

func (c *commits) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// expire ends calls whose callers no longer wait, a little after their deadline: the leader's own answer is better.
func (c *commits) expire(now time.Time) {
	before := now.Add(-pulseEvery)
	var late []*commit
	c.mu.Lock()
	for id, one := range c.pending {
		if d := one.call.Deadline; !d.IsZero() && d.Before(before) {
			late = append(late, one)
			delete(c.pending, id)
			c.bytes -= int64(one.size)
		}
	}
	c.leave()
	c.mu.Unlock()
	for _, one := range late {
		c.link.t.finish(c.link.to, one, nil, errs.New(errs.UnknownOutcome, "the shard's leader did not answer in time; it may have been written: repeat it with the same ids"))
	}
}

// shut takes nothing more on.
func (c *commits) shut() {
	c.mu.Lock()
	c.closed = true
	c.leave()
	c.mu.Unlock()
	c.nudge()
}

// land takes nothing more on, and waits until all has its outcome.
func (c *commits) land(ctx context.Context) {
	c.shut()
	select {
	case <-c.idle:
	case <-ctx.Done():
	}
}

// finish is the one place where a forwarded call is done.
func (t *Transport) finish(to uint64, one *commit, o *event.Outcome, err error) {
	if err != nil {
		one.call.Err = err
	} else {
		one.call.Outcome = *o
	}
	if told := t.o.Listener.Forwarded; told != nil {
		told(to, one.call.Commit.Bytes, err)
	}
	one.call.Done(one.call)
}
