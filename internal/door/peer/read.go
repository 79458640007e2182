package peer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	peerv1 "github.com/gesta-db/gesta/api/gesta/peer/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// Read begins a read of a shard at an incarnation that has a replica of it. What the replica refuses is refused here. A connection
// that breaks ends the reader with unavailable: the read can go on elsewhere from the last batch's position. The context is for the
// beginning alone.
func (t *Transport) Read(ctx context.Context, to uint64, shard uint32, spec event.ReadSpec) (event.Reader, error) {
	q, err := readRequest(shard, &spec)
	if err != nil {
		return nil, err
	}
	q.Caller = nameIn(ctx)
	s, err := t.pull(ctx, to, Work, peerv1.Peer_Read_FullMethodName, q)
	if err != nil {
		return nil, fmt.Errorf("read shard %d: %w", shard, err)
	}
	r := &reader{pull: s, t: t}
	r.start()
	return r, nil
}

// readRequest says a spec in the protocol's words.
func readRequest(shard uint32, spec *event.ReadSpec) (*peerv1.ReadRequest, error) {
	q := &peerv1.ReadRequest{
		Shard: shard, Scope: peerv1.ReadScope(spec.Scope), Topic: spec.Topic, Key: spec.Key, From: spec.From.String(), Backwards: spec.Backwards,
		Follow: spec.Follow, Limit: spec.Limit, Stale: spec.Stale, Types: spec.Types, KeyPrefix: spec.KeyPrefix, Tags: spec.Tags,
	}
	if spec.Where != nil {
		if text, ok := spec.Where.(fmt.Stringer); ok {
			q.Where = text.String()
		}
		if q.Where == "" {
			return nil, errs.New(errs.Unsupported, "this condition cannot be sent to another node").With("field", "where")
		}
	}
	return q, nil
}

// readSpec is readRequest turned round.
func (t *Transport) readSpec(q *peerv1.ReadRequest) (spec event.ReadSpec, err error) {
	if len(q.ProtoReflect().GetUnknown()) > 0 {
		return spec, errs.New(errs.Unsupported, "a read asks for what this release does not know: upgrade this node")
	}
	spec = event.ReadSpec{
		Scope: event.Scope(q.GetScope()), Topic: q.GetTopic(), Key: q.GetKey(), Backwards: q.GetBackwards(), Follow: q.GetFollow(), Limit: q.GetLimit(), Stale: q.GetStale(),
		Types: q.GetTypes(), KeyPrefix: q.GetKeyPrefix(), Tags: q.GetTags(),
	}
	if s := q.GetScope(); s < peerv1.ReadScope_READ_SCOPE_STREAM || s > peerv1.ReadScope_READ_SCOPE_ALL {
		return spec, errs.New(errs.Unsupported, "a read has a scope that this release does not know (%d): upgrade this node", s)
	}
	if spec.From, err = event.ParsePoint(q.GetFrom(), false); err != nil {
		return spec, err
	}
	if q.GetWhere() == "" {
		return spec, nil
	}
	if t.o.Where == nil {
		return spec, errs.New(errs.Unsupported, "this node reads without conditions: upgrade it").With("field", "where")
	}
	spec.Where, err = t.o.Where(q.GetWhere())
	return spec, err
}

// Read serves a read of this node's replica.
func (s server) Read(q *peerv1.ReadRequest, stream grpc.ServerStreamingServer[peerv1.ReadResponse]) error {
	spec, err := s.t.readSpec(q)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	if spec.Follow {
		defer context.AfterFunc(s.t.draining, cancel)()
	}
	from := caller(ctx)
	from.Caller = q.GetCaller()
	r, err := s.t.o.Handler.Read(ctx, from, q.GetShard(), spec)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := s.t.accept(stream); err != nil {
		return err
	}
	if err := sendAll(ctx, stream, r); !errors.Is(err, context.Canceled) || s.t.draining.Err() == nil {
		return err
	}
	return s.t.errDraining()
}

func sendAll(ctx context.Context, stream grpc.ServerStream, r event.Reader) error {
	for {
		b, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.SendMsg(batchFrame(&b)); err != nil {
			return err
		}
	}
}

// batchFrame is a ReadResponse. Each event's bytes are copied once, as they are.
func batchFrame(b *event.Batch) outFrame {
	size := 64
	for _, e := range b.Events {
		size += 1 + protowire.SizeBytes(len(e))
	}
	f := newFrame(size)
	for _, e := range b.Events {
		*f = protowire.AppendBytes(append(*f, 1<<3|2), e)
	}
	*f = appendLengthed(*f, 2<<3|2, func(dst []byte) []byte { return appendPlace(dst, b.Position) })
	*f = appendFlag(*f, 3<<3, b.Live)
	*f = appendNumber(*f, 4<<3, b.ResolvedOffset)
	return sealed(f)
}

// decodeBatch reads a ReadResponse; the events are parts of b.
func decodeBatch(b []byte, events [][]byte) (batch event.Batch, err error) {
	batch.Events = events[:0]
	err = fields(b, func(number protowire.Number, kind protowire.Type, v uint64, b []byte) error {
		switch {
		case number == 1 && kind == protowire.BytesType:
			batch.Events = append(batch.Events, b[:len(b):len(b)])
		case number == 2 && kind == protowire.BytesType:
			return decodePlace(b, &batch.Position)
		case number == 3 && kind == protowire.VarintType:
			batch.Live = v != 0
		case number == 4 && kind == protowire.VarintType:
			batch.ResolvedOffset = v
		}
		return nil
	})
	return batch, err
}

// reader gives the batches of a read that is elsewhere. A goroutine receives, one frame ahead, so that Next can end with its context
// and be called again.
type reader struct {
	pull   *pull
	t      *Transport
	frames chan inFrame
	held   inFrame
	events [][]byte
	err    error // why frames was closed; read after it was
}

func (r *reader) start() {
	r.frames = make(chan inFrame)
	go func() {
		defer close(r.frames)
		for {
			var f inFrame
			if err := r.pull.stream.RecvMsg(&f); err != nil {
				r.err = err
				return
			}
			select {
			case r.frames <- f:
			case <-r.pull.ctx.Done():
				f.free()
				r.err = r.pull.ctx.Err()
				return
			}
		}
	}()
}

// Next waits for the next batch.
func (r *reader) Next(ctx context.Context) (event.Batch, error) {
	r.held.free()
	select {
	case f, ok := <-r.frames:
		if !ok {
			return event.Batch{}, r.pull.ended(r.err, "the read")
		}
		r.held = f
	case <-ctx.Done():
		return event.Batch{}, ctx.Err()
	}
	b, err := decodeBatch(r.held.bytes(), r.events)
	r.events = b.Events
	return b, err
}

// Close ends the read and waits until nothing of it is left.
func (r *reader) Close() {
	r.pull.close()
	for f := range r.frames {
		f.free()
	}
	r.held.free()
}
