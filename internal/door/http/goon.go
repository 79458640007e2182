package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/limits"
)

// pieceBytes is about how much of an answer that goes on is sent at once.
const pieceBytes = 64 * limits.KiB

// retryMillis is how long a browser waits before it comes back.
const retryMillis = 2000

// goOn sends events as they are read, as lines or as server-sent events, until there are no more or the client goes.
func (d *Door) goOn(w http.ResponseWriter, c *call, r *reading) error {
	d.streams.Add(1)
	defer d.streams.Add(-1)
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	if r.spec.Follow {
		defer context.AfterFunc(d.draining, cancel)()
	}
	reader, err := c.gate.Read(ctx, c.who, r.shard, r.spec)
	if err != nil {
		return err
	}
	defer reader.Close()
	// The first batch comes at once, also when it only says that there is nothing: what is wrong until then is answered.
	b, err := reader.Next(ctx)
	if err != nil && !errors.Is(err, io.EOF) {
		return d.ended(r, err)
	}
	f := &flow{reading: r, w: w, control: http.NewResponseController(w), lost: cancel, timeout: d.o.Settings.WriteTimeout, beatEvery: d.o.Settings.Heartbeat}
	f.begin(b)
	defer f.stop()
	for err == nil {
		if err = f.batch(b); err == nil {
			b, err = reader.Next(ctx)
		}
	}
	f.end(d.ended(r, err))
	return nil
}

// ended says of a read that followed and was stopped by Close what happened to it.
func (d *Door) ended(r *reading, err error) error {
	if r.spec.Follow && errors.Is(err, context.Canceled) && d.draining.Err() != nil {
		return gateway.ErrDraining()
	}
	return err
}

// flow is an answer that goes on. Its memory is taken for each batch and given back, so that a reader who waits costs little.
type flow struct {
	*reading
	w         http.ResponseWriter
	control   *http.ResponseController
	lost      context.CancelFunc // called when the client takes nothing any more
	timeout   time.Duration
	beatEvery time.Duration

	mu      sync.Mutex // what follows, and writing, is shared with the heartbeat
	beat    *time.Timer
	stopped bool
	err     error
	reached []byte // the token of how far the reader is
	told    []byte // that of what the client knows of it
}

// begin sends the headers, and before the first server-sent event how long to wait before coming back.
func (f *flow) begin(first event.Batch) {
	// The answer may go on for longer than a request may take to come: the connection is then watched without an end.
	_ = f.control.SetReadDeadline(time.Time{})
	h := f.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	h.Set("X-Accel-Buffering", "no")
	if first.ResolvedOffset > 0 {
		h.Set("Gesta-Resolved-Offset", strconv.FormatUint(first.ResolvedOffset, 10))
	}
	if f.shape == shapeLines {
		h.Set("Content-Type", typeLines)
		f.w.WriteHeader(http.StatusOK)
		return
	}
	h.Set("Content-Type", typeStream)
	f.w.WriteHeader(http.StatusOK)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.send(append(strconv.AppendInt([]byte("retry: "), retryMillis, 10), "\n\n"...))
	f.beat = time.AfterFunc(f.beatEvery, f.heartbeat)
}

// stop ends the heartbeat, also one that is under way.
func (f *flow) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	if f.beat != nil {
		f.beat.Stop()
	}
}

// send writes and flushes; f.mu is held. After a failure everything fails.
func (f *flow) send(b []byte) {
	if f.err != nil || f.stopped {
		return
	}
	_ = f.control.SetWriteDeadline(time.Now().Add(f.timeout))
	if _, f.err = f.w.Write(b); f.err == nil {
		f.err = f.control.Flush()
	}
	if f.err != nil {
		f.lost()
	}
	if f.beat != nil {
		f.beat.Reset(f.beatEvery)
	}
}

// heartbeat is a comment, so that both sides and those between see that the connection lives. When a filter left out what the
// reader passed, it tells the position too: who comes back starts there.
func (f *flow) heartbeat() {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := []byte(":\n")
	if !bytes.Equal(f.reached, f.told) {
		b = appendID(b, f.reached)
		f.told = append(f.told[:0], f.reached...)
	}
	f.send(append(b, '\n'))
}

func appendID(dst, token []byte) []byte {
	return append(append(append(dst, "id: "...), token...), '\n')
}

// batch sends a batch, in several pieces when it is large.
func (f *flow) batch(b event.Batch) error {
	memory := newScratch()
	defer memory.free()
	f.mu.Lock()
	defer f.mu.Unlock()
	memory.out = memory.out[:0]
	var view eventwire.Recorded
	for _, e := range b.Events {
		if err := f.event(memory, e, &view, &b); err != nil {
			return err
		}
		if len(memory.out) >= pieceBytes {
			f.send(memory.out)
			memory.out = memory.out[:0]
		}
	}
	f.reached = b.Position.AppendAmong(f.reached[:0], b.Others)
	if b.Live && f.shape == shapeStream {
		memory.out = appendLive(memory.out, f.reached)
		f.told = append(f.told[:0], f.reached...)
	}
	if len(memory.out) > 0 || b.Live {
		f.send(memory.out)
	}
	return f.err
}

func (f *flow) event(memory *scratch, e []byte, view *eventwire.Recorded, b *event.Batch) (err error) {
	if f.shape == shapeLines {
		if memory.out, err = f.as.append(memory.out, e, view); err == nil {
			memory.out = append(memory.out, '\n')
		}
		return err
	}
	// The id stands before the data, and the data's own numbers are known only when it is written.
	if memory.in, err = f.as.append(memory.in[:0], e, view); err != nil {
		return err
	}
	f.told = f.positionOf(b.Position, view.Offset).AppendAmong(f.told[:0], b.Others)
	memory.out = appendID(memory.out, f.told)
	memory.out = append(append(memory.out, "data: "...), memory.in...)
	memory.out = append(memory.out, "\n\n"...)
	return nil
}

// appendLive tells that the reader has caught up and now follows.
func appendLive(dst, token []byte) []byte {
	dst = appendID(append(dst, "event: live\n"...), token)
	dst = append(append(append(dst, `data: {"position":"`...), token...), `"}`...)
	return append(dst, "\n\n"...)
}

// end tells that there are no more events, or why the answer ends before its time: as a server-sent event, or as a last line
// that is no event. Such lines are then cut off, so that nobody takes them for whole.
func (f *flow) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	whole := errors.Is(err, io.EOF)
	if f.shape == shapeStream && whole {
		f.send([]byte("event: end\ndata: {}\n\n"))
	}
	if whole {
		return
	}
	told, _ := json.Marshal(problemOf(err))
	if f.shape == shapeStream {
		f.send(append(append([]byte("event: problem\ndata: "), told...), "\n\n"...))
		return
	}
	f.send(append(append([]byte(`{"problem":`), told...), "}\n"...))
	panic(http.ErrAbortHandler)
}
