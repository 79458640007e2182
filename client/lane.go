package client

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// frameTarget is the size, in bytes, at which a frame is sent although more waits: enough for some 3,000 small commits.
	frameTarget = 1 << 20
	// sweepEvery is how often calls are given up whose time is over: a hundredth of the default timeout.
	sweepEvery = 100 * time.Millisecond
)

// lane carries the appends, or the commands, of all callers over one stream. Callers put calls into the queue; one sender takes what has
// gathered and sends it as frames; one receiver per session hands out the outcomes. Only the sender opens and gives up sessions.
type lane struct {
	client *Client
	road   *road

	mu       sync.Mutex
	queue    []*call
	session  *session // the one whose slots hold the calls that were sent
	underway int      // bytes
	live     int      // calls without outcome
	waiting  []*ticket
	lines    map[lineKey]*line // streams with calls that were started
	pendings map[*Pending]struct{}
	started  bool
	closed   bool
	sweeping bool
	used     bool // a call was queued since busy was asked
	silences int  // nodes that were left for their silence since the last reply
	sweeper  *time.Timer

	wake    chan struct{} // the queue is no longer empty
	stopped chan struct{} // the sender has returned
	taken   []*call       // the sender's
}

func newLane(c *Client, way *road) *lane {
	return &lane{
		client: c, road: way, wake: make(chan struct{}, 1), stopped: make(chan struct{}),
		lines: map[lineKey]*line{}, pendings: map[*Pending]struct{}{},
	}
}

// do sends a call until it has an outcome that is not to be retried, or ctx ends.
func (l *lane) do(ctx context.Context, k *call) (Result, error) {
	k.ends = k.expires
	if d, ok := ctx.Deadline(); ok {
		k.ends = d
	}
	var tried attempts
	for {
		if err := l.submit(ctx, k); err != nil {
			return Result{}, tried.verdict(err)
		}
		l.wait(ctx, k)
		res, err := k.res, k.err
		if err == nil {
			k.recycle()
			return res, nil
		}
		tried.failed(err)
		if !err.retryable() || time.Until(k.ends) < l.road.ahead {
			return Result{}, tried.verdict(err) // a try more would say less: only that it may have been written
		}
		if err := l.rest(ctx, k, tried.n); err != nil {
			return Result{}, tried.verdict(err)
		}
		k.state, k.err = callNew, nil
	}
}

// rest is the pause after attempt n.
func (l *lane) rest(ctx context.Context, k *call, n int) *Error {
	if !k.expires.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, k.expires)
		defer cancel()
	}
	if err := sleep(ctx, pause(n)); err != nil {
		return givenUp(false, err)
	}
	return nil
}

// submit queues a call as soon as there is room for it.
func (l *lane) submit(ctx context.Context, k *call) *Error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return closedError()
	}
	if err := ctx.Err(); err != nil {
		l.mu.Unlock()
		return givenUp(false, err)
	}
	if !l.fits(k.weight()) {
		if err := l.admit(ctx, k); err != nil { // unlocks
			return err
		}
		l.mu.Lock()
		if l.closed {
			l.release(k.weight())
			l.mu.Unlock()
			return closedError()
		}
	} else {
		l.underway += k.weight()
	}
	l.live++
	l.enqueue(k)
	l.mu.Unlock()
	return nil
}

// enqueue puts the call behind all others; with the lock held.
func (l *lane) enqueue(k *call) {
	k.state, l.used = callQueued, true
	l.queue = append(l.queue, k)
	if len(l.queue) > 1 {
		return // the sender knows
	}
	if !l.started {
		l.started = true
		go l.run()
	}
	if !l.sweeping {
		l.sweeping = true
		l.sweeper = time.AfterFunc(sweepEvery, l.sweep)
	}
	l.nudge()
}

// wait returns when the call has an outcome in k.res and k.err, which may be that ctx ended.
func (l *lane) wait(ctx context.Context, k *call) {
	if ctx.Done() == nil {
		<-k.done
		return
	}
	select {
	case <-k.done:
		return
	case <-ctx.Done():
	}
	l.mu.Lock()
	if k.state == callDone {
		l.mu.Unlock()
		<-k.done // its outcome is on the way
		return
	}
	sent := k.state == callSent
	l.detach(k)
	l.mu.Unlock()
	k.err = givenUp(sent, ctx.Err())
}

// detach takes the call off the wire's books; with the lock held. The caller completes it.
func (l *lane) detach(k *call) {
	if s := l.session; k.state == callSent && s != nil && int(k.slot) < len(s.slots) && s.slots[k.slot] == k {
		s.slots[k.slot] = gone
	}
	k.state = callDone
	if k.pending == nil {
		l.live--
		l.release(k.weight())
	}
}

// complete gives a detached call its outcome.
func (l *lane) complete(k *call, res Result, err *Error) {
	if k.pending != nil {
		l.settle(k.pending, res, err)
		return
	}
	k.res, k.err = res, err
	k.done <- struct{}{}
}

// run is the sender.
func (l *lane) run() {
	defer close(l.stopped)
	var s *session
	for {
		var ended chan struct{}
		if s != nil {
			ended = s.ended
		}
		select {
		case <-l.wake:
			runtime.Gosched() // callers that were answered together come back together: one frame for all of them
			s = l.flush(s)
		case <-ended:
			l.lost(s)
			s = nil
		case <-l.client.ctx.Done():
			if s != nil {
				l.lost(s)
			}
			return
		}
	}
}

// flush sends the queue and returns the session it ended with.
func (l *lane) flush(s *session) *session {
	for l.client.ctx.Err() == nil {
		if s == nil && !l.queued() {
			return nil
		}
		if s == nil {
			var err *Error
			if s, err = l.connect(); err != nil {
				l.refuse(err)
				return nil
			}
			l.mu.Lock()
			l.session = s
			l.mu.Unlock()
		}
		if wait, left := l.move(s); wait {
			return s
		} else if left {
			s = nil
			continue
		}
		calls := l.take(s)
		if len(calls) == 0 {
			return s
		}
		if err := l.send(s, calls); err != nil {
			if err != io.EOF { // EOF: the stream has ended, and the receiver is about to learn why
				s.cancel()
			}
			l.lost(s)
			s = nil
		}
	}
	return s
}

// move ends a session with a node that is no longer the one to append at. The order within a stream is that of one session, so
// it waits until everything that was sent is answered.
func (l *lane) move(s *session) (wait, left bool) {
	if l.client.nodes.append() == s.node {
		l.mu.Lock()
		s.moving = false
		l.mu.Unlock()
		return false, false
	}
	l.mu.Lock()
	s.moving = true
	idle := s.idle()
	l.mu.Unlock()
	if !idle {
		return true, false
	}
	s.cancel()
	l.lost(s)
	return false, true
}

// nudge has the sender look again.
func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// busy tells whether calls are under way, or were since it was asked last.
func (l *lane) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	used := l.used || l.live > 0
	l.used = false
	return used
}

func (l *lane) queued() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) > 0
}

// take moves what fits into one frame from the queue into slots.
func (l *lane) take(s *session) []*call {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.taken)
	l.taken = l.taken[:0]
	n, size := 0, 0
	for n < len(l.queue) && size < frameTarget {
		k := l.queue[n]
		n++
		if k.state != callQueued {
			continue // given up while it waited
		}
		if size > 0 && size+k.weight() > frameTarget {
			n--
			break
		}
		k.state = callSent
		s.take(k)
		l.taken = append(l.taken, k)
		size += k.weight()
	}
	l.queue = slices.Delete(l.queue, 0, n)
	return l.taken
}

// send writes one frame. What it reads of the calls does not change before they are answered or lost.
func (l *lane) send(s *session, calls []*call) error {
	data := framePool.Get(0)
	now := time.Now()
	var field [32]byte
	for _, k := range calls {
		rest := k.ends.Sub(now)
		rest = max(rest-min(rest/8, l.road.ahead), time.Millisecond)
		*data = appendCall(*data, uint64(k.slot), k.request, appendTimeout(field[:0], rest))
	}
	return s.stream.SendMsg(&outFrame{data})
}

// refuse fails everything in the queue: nothing of it was sent.
func (l *lane) refuse(err *Error) {
	l.mu.Lock()
	var calls []*call
	for _, k := range l.queue {
		if k.state == callQueued {
			l.detach(k)
			calls = append(calls, k)
		}
	}
	l.queue = nil
	l.mu.Unlock()
	for _, k := range calls {
		l.complete(k, Result{}, err)
	}
}

// sweep gives up the calls whose time is over, and comes back while there are any.
func (l *lane) sweep() {
	now := time.Now()
	var calls []*call
	late := func(k *call) {
		if k != nil && k.pending == nil && k.state != callDone && !k.expires.IsZero() && now.After(k.expires) {
			k.err = givenUp(k.state == callSent, context.DeadlineExceeded)
			l.detach(k)
			calls = append(calls, k)
		}
	}
	others := l.client.nodes.count() > 1
	l.mu.Lock()
	for _, k := range l.queue {
		late(k)
	}
	if s := l.session; s != nil {
		if others {
			l.tire(s, now)
		}
		for _, k := range s.slots {
			late(k)
		}
	}
	var ended []*Pending
	for p := range l.pendings {
		if now.After(p.call.ends) {
			ended = append(ended, p)
		}
	}
	if l.sweeping = l.live > 0 && !l.closed; l.sweeping {
		l.sweeper.Reset(sweepEvery)
	}
	l.mu.Unlock()
	for _, k := range calls {
		l.complete(k, Result{}, k.err)
	}
	for _, p := range ended {
		l.abandon(p, context.DeadlineExceeded)
	}
}

// close ends everything and returns when nothing runs any more; the client's context has ended.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	started := l.started
	if l.sweeper != nil {
		l.sweeper.Stop()
	}
	l.mu.Unlock()
	if started {
		<-l.stopped
	}
	l.refuse(closedError())
	l.mu.Lock()
	pendings := make([]*Pending, 0, len(l.pendings))
	for p := range l.pendings {
		pendings = append(pendings, p)
	}
	l.mu.Unlock()
	for _, p := range pendings {
		l.abandon(p, errClosed)
	}
}

var errClosed = errors.New("the client was closed")

func closedError() *Error {
	return &Error{Code: CodeUnavailable, Message: "the client was closed: nothing was written", cause: errClosed, final: true}
}
