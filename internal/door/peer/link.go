package peer

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/internal/errs"
)

// link is this node's way to one other incarnation: its lanes of messages, the connections for everything else, and what is
// known of it.
type link struct {
	t       *Transport
	to      uint64
	ctx     context.Context
	end     context.CancelFunc
	wg      sync.WaitGroup
	control *lane
	log     *lane
	commits *commits

	mu sync.Mutex
	// conns are those of work and bulk, made when they are first needed.
	conns map[Class]*grpc.ClientConn
	addr  string // where conns lead
	// what Status tells
	connected bool
	since     time.Time
	why       string
	clock     estimate
}

func newLink(t *Transport, to uint64) *link {
	l := &link{t: t, to: to, conns: map[Class]*grpc.ClientConn{}, since: time.Now(), why: "connecting"}
	l.ctx, l.end = context.WithCancel(t.ctx)
	l.control, l.log = newLane(l, Control, controlQueue), newLane(l, Log, logQueue)
	l.commits = newCommits(l)
	return l
}

func (l *link) start() {
	l.wg.Add(2)
	go l.control.run()
	go l.log.run()
}

// close ends everything to the peer and waits until it has ended.
func (l *link) close() {
	l.commits.shut()
	l.end()
	l.hangUp()
	l.wg.Wait()
	l.hangUp() // what began in between
}

// address tells where the peer listens now, and drops connections that lead to where it no longer does.
func (l *link) address() (addr string, ok bool) {
	addr, ok = l.t.o.Resolver(l.to)
	l.mu.Lock()
	moved := l.addr != "" && addr != l.addr
	l.addr = addr
	l.mu.Unlock()
	if moved {
		l.hangUp()
	}
	return addr, ok
}

// conn gives the connection for a class.
func (l *link) conn(class Class) (*grpc.ClientConn, error) {
	addr, ok := l.address()
	if !ok {
		return nil, errs.New(errs.Unavailable, "incarnation %s: %w", hex(l.to), errUnknown)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return nil, errs.New(errs.Unavailable, "incarnation %s: %w", hex(l.to), errClosed)
	}
	if c := l.conns[class]; c != nil {
		return c, nil
	}
	c, err := l.t.dial(addr, class)
	if err != nil {
		return nil, err
	}
	l.conns[class] = c
	return c, nil
}

// hangUp closes the connections of work and bulk: what is on them ends, and what comes next connects anew.
func (l *link) hangUp() {
	l.mu.Lock()
	conns := l.conns
	l.conns = map[Class]*grpc.ClientConn{}
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// open opens a stream and waits until the peer has accepted it. Question is all that is sent on one that only the peer sends on.
func (l *link) open(ctx context.Context, conn *grpc.ClientConn, method string, question any) (grpc.ClientStream, error) {
	stream, err := conn.NewStream(l.t.addressed(ctx, l.to), &bothWays, method)
	if err != nil {
		return nil, err
	}
	if question != nil { // Header tells what went wrong
		_ = stream.SendMsg(question)
		_ = stream.CloseSend()
	}
	md, err := stream.Header()
	if err != nil {
		return nil, err
	}
	if md == nil { // it ended without one
		return nil, stream.RecvMsg(&peerv1.Pong{})
	}
	h, err := l.t.answered(md, l.to)
	if err != nil {
		return nil, err
	}
	l.t.seen(h)
	return stream, nil
}

func (l *link) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// standing tells that a lane's stream was accepted.
func (l *link) standing(class Class) {
	if class == Control {
		l.mu.Lock()
		l.connected, l.since, l.why = true, time.Now(), ""
		l.mu.Unlock()
		l.t.once.forget("link " + hex(l.to))
		l.t.log.Info("connected to a node", "node", l.t.nodeOf(l.to), "incarnation", hex(l.to))
	}
	if told := l.t.o.Listener.Connected; told != nil {
		told(l.to, class)
	}
}

// fallen tells that a lane's stream ended, or was not accepted.
func (l *link) fallen(class Class, stood bool, err error) {
	if told := l.t.o.Listener.Lost; told != nil && stood {
		told(l.to, class, err)
	}
	if class != Control || l.ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	if l.connected {
		l.connected, l.since = false, time.Now()
	}
	l.why = err.Error()
	l.mu.Unlock()
	l.t.once.warn("link "+hex(l.to), "a node cannot be reached; trying again", "node", l.t.nodeOf(l.to), "incarnation", hex(l.to), "error", err)
	if stood && !said(err) {
		l.hangUp()
	}
}

// said tells that the peer itself ended a stream. Otherwise its way here is broken, perhaps for all connections, and one on which
// nothing waits to be sent, but answers are waited for, would not notice by itself.
func said(err error) bool {
	var word *errs.Error
	return errors.Is(err, errEnded) || errors.As(err, &word)
}

func (l *link) heard(now time.Time) { l.t.noteHeard(l.to, now) }

// pulse keeps watch over the lanes. A peer that is silent on one connection is taken to be so on all.
func (l *link) pulse(now time.Time, paused time.Duration, number uint64, health []byte) {
	if l.control.pulse(now, paused, number, health) {
		l.log.cutNow(errSilent)
		l.hangUp()
	}
	l.log.pulse(now, paused, number, nil)
	l.commits.expire(now)
}

func (l *link) roundTrip(took time.Duration, unixNanos int64) {
	ahead := time.Unix(0, unixNanos).Sub(l.t.clock.Now().Add(-took / 2).Round(0))
	l.mu.Lock()
	l.clock.add(took, ahead)
	l.mu.Unlock()
	if told := l.t.o.Listener.RoundTrip; told != nil {
		told(l.to, took)
	}
}

func (l *link) status() Status {
	controlBytes, controlDropped := l.control.load()
	logBytes, logDropped := l.log.load()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{Incarnation: l.to, Addr: l.addr, Connected: l.connected, Since: l.since, Reason: l.why, QueuedBytes: controlBytes + logBytes, Dropped: controlDropped + logDropped}
	s.RoundTrip, s.ClockOffset = l.clock.best()
	return s
}

// estimate is what the newest round trips tell of a peer's clock.
type estimate struct {
	took, ahead [8]time.Duration
	n           int
}

// add takes a round trip: the peer's clock was ahead by that much, give or take half of took. One that contradicts the best
// before it tells that a clock was moved, and begins anew.
func (e *estimate) add(took, ahead time.Duration) {
	if t, a := e.best(); e.n > 0 && (ahead-a).Abs() > (took+t)/2+time.Millisecond {
		e.n = 0
	}
	i := e.n % len(e.took)
	e.took[i], e.ahead[i] = took, ahead
	e.n++
}

// best is the shortest.
func (e *estimate) best() (took, ahead time.Duration) {
	for i := range min(e.n, len(e.took)) {
		if i == 0 || e.took[i] < took {
			took, ahead = e.took[i], e.ahead[i]
		}
	}
	return took, ahead
}
