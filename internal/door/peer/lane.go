package peer

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/grpc"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

const (
	// What waits for a peer at most. Control messages are small; entries are shared with the log's own cache, and Raft itself
	// stops a little before.
	controlQueue = 4 * limits.MiB
	logQueue     = 64 * limits.MiB
	// frameBytes is what a frame gathers: beyond it a larger one no longer pays. One message may be larger.
	frameBytes = 1 * limits.MiB
	// frameMessages bounds a frame of small ones.
	frameMessages = 4096
	// handshakeWait is how long a peer may take to connect and answer.
	handshakeWait = 2 * time.Second
	firstBackoff  = 50 * time.Millisecond
	lastBackoff   = time.Second
	// silence is how long a ping may stay without an answer. Behind entries it waits for what is on its way before it.
	controlSilence = 2 * time.Second
	logSilence     = 5 * time.Second
	// largestHealth bounds what is told every second.
	largestHealth = 64 * limits.KiB
)

// lane sends the messages of one class to one peer.
type lane struct {
	link  *link
	class Class
	limit int64

	mu      sync.Mutex
	queue   []envelope
	bytes   int64
	dropped uint64
	// due are what the next frame brings besides messages.
	ping   uint64 // 0: none
	health []byte // nil: none
	// groups that were sent entries, and those that were sent a snapshot, since the connection stands
	entries, snapshots map[uint32]bool
	// cut ends the stream that stands; nil: none does
	cut context.CancelCauseFunc
	// waiting is since when a ping has no answer; zero: none is out
	waiting time.Time
	// the newest ping that was sent, and when
	number uint64
	sent   time.Time
	wake   chan struct{}
}

func newLane(l *link, class Class, limit int64) *lane {
	return &lane{link: l, class: class, limit: limit, wake: make(chan struct{}, 1)}
}

func (n *lane) nudge() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// put queues a message, or drops it when the queue is full.
func (n *lane) put(group uint32, m *raftpb.Message) {
	e := envelope{group, m, sizeOf(m)}
	n.mu.Lock()
	full := e.size > n.link.t.largestMessage || n.bytes > 0 && n.bytes+int64(e.size) > n.limit
	if full {
		n.dropped++
	} else {
		n.queue = append(n.queue, e)
		n.bytes += int64(e.size)
	}
	n.mu.Unlock()
	if full {
		n.link.t.dropped(n.link.to, n.class, e)
		return
	}
	n.nudge()
}

// run keeps a stream to the peer until the link ends.
func (n *lane) run() {
	defer n.link.wg.Done()
	wait := firstBackoff
	for n.link.ctx.Err() == nil {
		stood, err := n.attempt()
		n.down(stood, err)
		if errors.Is(err, errUnknown) {
			n.link.t.retire(n.link)
		}
		if stood {
			wait = firstBackoff
		}
		if !n.link.sleep(wait/2 + rand.N(wait/2)) {
			break
		}
		wait = min(2*wait, lastBackoff)
	}
	n.clear()
}

// errs of an attempt.
var (
	errNoAnswer = errors.New("the node did not answer in time")
	errSilent   = errors.New("the node is silent")
	errUnknown  = errors.New("the node is no member, or nobody knows where it listens")
	errClosed   = errors.New("the connection was closed here")
	errEnded    = errors.New("the node ended the connection")
)

// attempt connects and sends until the stream breaks. Stood tells that it was accepted.
func (n *lane) attempt() (stood bool, err error) {
	addr, ok := n.link.address()
	if !ok {
		return false, errUnknown
	}
	conn, err := n.link.t.dial(addr, n.class)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cut := context.WithCancelCause(n.link.ctx)
	defer cut(errClosed)
	late := time.AfterFunc(handshakeWait, func() { cut(errNoAnswer) })
	defer late.Stop()
	stream, err := n.link.open(ctx, conn, peerv1.Peer_Exchange_FullMethodName, nil)
	if err != nil {
		return false, because(ctx, err)
	}
	if !late.Stop() {
		return false, because(ctx, errNoAnswer)
	}
	n.up(cut)
	received := make(chan struct{})
	go func() {
		defer close(received)
		n.receive(stream, cut)
	}()
	err = n.send(ctx, stream)
	cut(err)
	<-received
	return true, because(ctx, err)
}

// because is why a context was ended on purpose, or else what was returned.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func (n *lane) up(cut context.CancelCauseFunc) {
	var health []byte
	if n.class == Control {
		health = n.link.t.health()
	}
	n.mu.Lock()
	n.health = health
	n.cut, n.waiting, n.number = cut, time.Time{}, 0
	n.entries, n.snapshots = map[uint32]bool{}, map[uint32]bool{}
	n.mu.Unlock()
	n.link.standing(n.class)
}

// down tells of what the end of a stream, or of an attempt, may have lost.
func (n *lane) down(stood bool, err error) {
	n.mu.Lock()
	n.cut, n.ping, n.health = nil, 0, nil
	entries, snapshots := n.entries, n.snapshots
	n.entries, n.snapshots = nil, nil
	n.mu.Unlock()
	t := n.link.t
	for group := range entries {
		t.lost(group, n.link.to, false)
	}
	for group := range snapshots {
		t.lost(group, n.link.to, true)
	}
	n.clear()
	n.link.fallen(n.class, stood, err)
}

// clear drops what waits.
func (n *lane) clear() {
	n.mu.Lock()
	queue := n.queue
	n.queue, n.bytes = nil, 0
	n.dropped += uint64(len(queue))
	n.mu.Unlock()
	if len(queue) > 0 {
		n.link.t.dropped(n.link.to, n.class, queue...)
	}
}

// send sends frames of what has gathered until the stream breaks.
func (n *lane) send(ctx context.Context, stream grpc.ClientStream) error {
	first := true
	for {
		frame, messages, err := n.take(first)
		if err != nil {
			return err
		}
		if frame == nil {
			select {
			case <-n.wake:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		first = false
		size := len(*frame)
		if err := stream.SendMsg(sealed(frame)); err != nil && !errors.Is(err, io.EOF) {
			return err
		} else if err != nil {
			<-ctx.Done() // what receives knows why
			return ctx.Err()
		}
		if told := n.link.t.o.Listener.Sent; told != nil && messages > 0 {
			told(n.link.to, n.class, messages, size)
		}
	}
}

// take gives the next frame: what is due, and the messages that wait, up to a frame's size. Nil: there is nothing.
func (n *lane) take(first bool) (frame *[]byte, messages int, err error) {
	batch, size, ping, health := n.due()
	if len(batch) == 0 && ping == 0 && health == nil && !first {
		return nil, 0, nil
	}
	frame = newFrame(size + len(health) + 64)
	b := *frame
	if first {
		b = append(b, tagStreamClass, byte(n.class)+1)
	}
	if ping != 0 {
		b = appendPing(b, ping)
	}
	if health != nil {
		b = appendHealth(b, health)
	}
	for _, e := range batch {
		if b, err = appendEnvelope(b, e); err != nil {
			return nil, 0, errs.New(errs.Internal, "a message of group %d cannot be encoded: %w", e.group, err)
		}
	}
	*frame = b
	clear(batch) // the queue's array may live on
	return frame, len(batch), nil
}

func (n *lane) due() (batch []envelope, size int, ping uint64, health []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := 0
	for k < len(n.queue) && k < frameMessages && (k == 0 || size+n.queue[k].size <= frameBytes) {
		size += n.queue[k].size
		n.note(n.queue[k])
		k++
	}
	batch, n.queue = n.queue[:k:k], n.queue[k:]
	if len(n.queue) == 0 {
		n.queue = nil // the batch keeps the array
	}
	n.bytes -= int64(size)
	ping, health = n.ping, n.health
	n.ping, n.health = 0, nil
	if ping != 0 {
		n.number, n.sent = ping, time.Now()
	}
	return batch, size, ping, health
}

func (n *lane) note(e envelope) {
	if n.entries == nil {
		return
	}
	switch e.m.GetType() {
	case raftpb.MsgSnap:
		n.snapshots[e.group] = true
	case raftpb.MsgApp:
		n.entries[e.group] = true
	}
}

// receive takes the answers to pings until the stream ends, and ends it for the sender.
func (n *lane) receive(stream grpc.ClientStream, cut context.CancelCauseFunc) {
	for {
		var in inFrame
		if err := stream.RecvMsg(&in); err != nil {
			cut(n.ended(err))
			return
		}
		number, unixNanos, ok, err := decodePong(in.bytes())
		in.free()
		if err != nil {
			cut(err)
			return
		}
		if ok {
			n.answered(number, unixNanos)
		}
	}
}

func (n *lane) ended(err error) error {
	if errors.Is(err, io.EOF) {
		return errEnded
	}
	if e, ok := fromStatus(err); ok {
		return e
	}
	return plain(err)
}

// answered takes the answer to the newest ping; older ones do not count.
func (n *lane) answered(number uint64, unixNanos int64) {
	now := time.Now()
	n.mu.Lock()
	newest := number == n.number
	took := now.Sub(n.sent)
	n.waiting = time.Time{}
	n.mu.Unlock()
	n.link.heard(now)
	if newest && n.class == Control {
		n.link.roundTrip(took, unixNanos)
	}
}

// pulse asks for a ping, and cuts a stream that is silent. Paused is how long this process itself stood still.
func (n *lane) pulse(now time.Time, paused time.Duration, number uint64, health []byte) (silent bool) {
	n.mu.Lock()
	cut := n.cut
	if cut == nil {
		n.mu.Unlock()
		return false
	}
	if !n.waiting.IsZero() {
		n.waiting = n.waiting.Add(paused)
	}
	limit := controlSilence
	if n.class == Log {
		limit = logSilence
	}
	silent = !n.waiting.IsZero() && now.Sub(n.waiting) > limit
	if n.waiting.IsZero() {
		n.waiting = now
	}
	n.ping = number
	if health != nil && n.class == Control {
		n.health = health
	}
	n.mu.Unlock()
	if silent {
		cut(errSilent)
	} else {
		n.nudge()
	}
	return silent
}

func (n *lane) cutNow(why error) {
	n.mu.Lock()
	cut := n.cut
	n.mu.Unlock()
	if cut != nil {
		cut(why)
	}
}

func (n *lane) load() (bytes int64, dropped uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bytes, n.dropped
}

// bothWays is what a client tells gRPC of a stream.
var bothWays = grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
