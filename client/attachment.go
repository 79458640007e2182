package client

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

var attachDesc = grpc.StreamDesc{StreamName: "Attach", ClientStreams: true, ServerStreams: true}

// attachment is one stream to a server: from its hello to its end.
//
// A few runners share it. One of them receives a frame, does its tasks one after the other, and sends the results together, while
// the next one waits for the next frame: so no goroutine is started, and no task handed over, for a command. When a runner has
// been at the same task for two beats of the watch, another takes over the rest of its frame.
type attachment struct {
	service  *Service
	worker   *worker
	addr     string
	stream   grpc.ClientStream
	cancel   context.CancelFunc
	welcomed bool
	node     string

	receiving sync.Mutex // who holds it waits for the next frame
	ended     bool       // guarded by receiving: there is no next frame
	sending   sync.Mutex
	goodbye   bool // guarded by sending: nothing is sent any more

	mu       sync.Mutex
	runners  map[*runner]struct{}
	idle     int // runners that wait for a frame
	all      sync.WaitGroup
	over     chan struct{} // closed when there is no next frame
	err      error
	draining bool
	told     bool // the server has said that no more tasks come
	bye      *time.Timer
}

const (
	beat = 25 * time.Millisecond // of the watch over runners
	// lull is how long nothing must have been in hand, after the handler or the server asked to drain, before the handler says
	// goodbye: a frame that was on its way has come by then. If one comes later, the server asks another handler.
	lull = 100 * time.Millisecond
	// mostRunners bounds the commands that hang at the same time; the process takes no more when that many do.
	mostRunners = 1024
	// resultTarget is the size, in bytes, at which results are sent although more of the frame's tasks wait.
	resultTarget = 256 << 10
)

// run serves until the stream ends.
func (a *attachment) run(ctx context.Context, c *Client, conn *grpc.ClientConn, hello []byte) error {
	streamCtx, cancel := context.WithCancel(c.ctx)
	a.cancel, a.runners, a.over = cancel, map[*runner]struct{}{}, make(chan struct{})
	defer cancel()
	stopDialling := context.AfterFunc(ctx, cancel) // until there is something to drain
	defer stopDialling()
	if err := a.open(streamCtx, conn, hello); err != nil {
		return err
	}
	if !stopDialling() {
		return ctx.Err()
	}
	defer context.AfterFunc(ctx, func() { a.drain(true) })()
	stopWatch := make(chan struct{})
	watched := make(chan struct{})
	go func() { defer close(watched); a.watch(stopWatch) }()
	for range a.service.Workers {
		a.startRunner(nil)
	}
	if a.service.OnAttach != nil {
		a.service.OnAttach(a.node)
	}
	<-a.over
	close(stopWatch)
	<-watched
	a.settle()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bye != nil {
		a.bye.Stop()
	}
	return a.err
}

// settle waits for the runners, but not for what hangs.
func (a *attachment) settle() {
	settled := make(chan struct{})
	go func() { defer close(settled); a.all.Wait() }()
	late := time.NewTimer(lull)
	defer late.Stop()
	select {
	case <-settled:
	case <-late.C:
	}
}

// open says hello and waits for the welcome.
func (a *attachment) open(ctx context.Context, conn *grpc.ClientConn, hello []byte) error {
	stream, err := conn.NewStream(ctx, &attachDesc, gestav1.Runtime_Attach_FullMethodName, grpc.ForceCodecV2(rawCodec{}))
	if err == nil {
		a.stream = stream
		if err = a.stream.SendMsg(&outFrame{&hello}); err == io.EOF {
			err = nil // receiving tells why
		}
	}
	var f serverFrame
	if err == nil {
		err = a.receive(&f)
	}
	if err == nil && f.welcome == nil {
		return &Error{Code: CodeUnsupported, Message: a.addr + " does not begin with a welcome: it speaks another version of the protocol"}
	}
	if err != nil {
		return a.failure(err)
	}
	var w gestav1.Welcome
	if err := proto.Unmarshal(f.welcome, &w); err != nil {
		return &Error{Code: CodeUnsupported, Message: a.addr + " sends a welcome that cannot be read", cause: err}
	}
	a.welcomed = true
	a.service.Logger.Info("the handler is attached", "node", w.GetNodeId(), "addr", a.addr, "process", w.GetProcess())
	a.node = w.GetNodeId()
	return nil
}

// receive reads the next frame. Its memory is fresh: what is decoded may keep parts of it.
func (a *attachment) receive(f *serverFrame) error {
	in := inFrame{keep: true}
	if err := a.stream.RecvMsg(&in); err != nil {
		return err
	}
	return f.parse(in.data)
}

func (a *attachment) failure(err error) error {
	if err == io.EOF {
		return nil
	}
	if errors.Is(err, errFrame) {
		return &Error{Code: CodeUnsupported, Message: a.addr + " sends frames that this handler cannot read", cause: err}
	}
	e, _ := errorOf(a.addr, err)
	return e
}

// next waits for a frame and accepts it; false at the stream's end.
func (a *attachment) next(f *serverFrame) bool {
	a.waiting(1)
	a.receiving.Lock()
	defer a.receiving.Unlock()
	defer a.waiting(-1)
	if a.ended {
		return false
	}
	err := a.receive(f)
	if err == nil {
		err = a.worker.accept(f)
	}
	if err != nil {
		a.ended = true
		a.mu.Lock()
		a.err = a.failure(err)
		a.mu.Unlock()
		a.cancel()
		close(a.over)
		return false
	}
	for _, raw := range f.faults {
		a.logFault(raw)
	}
	if f.drains {
		a.drain(false)
	}
	return true
}

func (a *attachment) waiting(n int) {
	a.mu.Lock()
	a.idle += n
	a.mu.Unlock()
}

func (a *attachment) logFault(raw []byte) {
	var m gestav1.Fault
	if proto.Unmarshal(raw, &m) == nil {
		a.service.Logger.Error("the server refused a result", "kind", m.GetKind(), "key", m.GetKey(), "code", m.GetCode(), "reason", m.GetMessage())
	}
}

// send writes a frame whose results are encoded; it takes the memory.
func (a *attachment) send(data *[]byte, credit int) {
	*data = appendNumber(*data, tagCredit, uint64(credit))
	a.sending.Lock()
	defer a.sending.Unlock()
	if a.goodbye {
		framePool.Put(data)
		return
	}
	_ = a.stream.SendMsg(&outFrame{data}) // receiving tells of the stream's end
}

// Tags of HandlerFrame's drain and goodbye.
const (
	tagDrain   = 4<<3 | 2
	tagGoodbye = 5<<3 | 2
)

// drain begins the end: when nothing has been in hand for a moment, the handler says goodbye. own tells that it was this side
// that wants to stop.
func (a *attachment) drain(own bool) {
	a.mu.Lock()
	begun := a.draining
	a.draining = true
	a.told = a.told || !own
	if !begun {
		a.bye = time.AfterFunc(a.service.DrainTimeout, a.hangUp)
	}
	a.mu.Unlock()
	if own {
		a.say(tagDrain, "the process ends", false)
	}
}

// hangUp ends an attachment that did not come to its end by itself.
func (a *attachment) hangUp() {
	a.say(tagGoodbye, "time is up", true)
	a.cancel()
}

// say sends a frame with a reason alone.
func (a *attachment) say(tag byte, reason string, last bool) {
	frame := protowire.AppendBytes([]byte{tag}, appendText(nil, tagFirstText, reason))
	a.sending.Lock()
	defer a.sending.Unlock()
	if a.goodbye {
		return
	}
	_ = a.stream.SendMsg(&outFrame{&frame})
	if last {
		a.goodbye = true
		_ = a.stream.CloseSend()
	}
}
