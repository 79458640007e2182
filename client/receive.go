package client

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/gesta-db/gesta/api/eventwire"
	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/api/position"
)

// fail keeps the error that ends the read.
func (r *Reader) fail(err error) {
	r.err = err
	r.stop()
	r.hangUp()
}

// hangUp lets go of the stream.
func (r *Reader) hangUp() {
	if r.stream != nil {
		r.cancel()
		r.stream = nil
	}
}

// decode returns the next event of the frame; nil when it was no event, or the frame is at its end or broken.
func (r *Reader) decode() *Recorded {
	f, n := nextField(r.rest)
	if n < 0 {
		r.fail(&Error{Code: CodeInternal, Message: "the server's frame is malformed", cause: errFrame})
		return nil
	}
	r.rest = r.rest[n:]
	if f.num != fieldEvents {
		return nil
	}
	if len(r.chunk) == 0 {
		r.chunk = make([]Recorded, min(chunkEvents, 1+len(r.rest)/(len(f.bytes)+3)))
	}
	e := &r.chunk[0]
	if err := eventwire.AliasRecorded(f.bytes, e); err != nil {
		r.fail(&Error{Code: CodeInternal, Message: "the server's event is malformed: " + err.Error(), cause: err})
		return nil
	}
	r.chunk = r.chunk[1:]
	r.read++
	r.fresh = false
	r.at.Offset = e.Offset
	if r.opts.Backwards {
		r.at.Offset-- // read backwards, a position is read itself
	}
	return e
}

// Field numbers of ReadResponse.
const (
	fieldEvents       = 1
	fieldReadPosition = 2
	fieldLive         = 3
	fieldResolved     = 4
	fieldShard        = 5
	fieldHistory      = 6
)

// fill receives the next frame, on a new stream if need be.
func (r *Reader) fill() error {
	if r.ended || r.opts.Limit > 0 && r.read >= r.opts.Limit {
		return io.EOF
	}
	if r.stream == nil {
		if err := r.open(); err != nil {
			return r.again(err)
		}
	}
	err := r.stream.RecvMsg(&r.in)
	if err == io.EOF {
		r.ended = true
		r.hangUp()
		return io.EOF
	}
	if err != nil {
		e, _ := errorOf(r.addr, err)
		return r.again(e)
	}
	r.client.contact.Store(true)
	r.tried, r.quiet = attempts{}, time.Time{}
	return r.accept(r.in.data)
}

// accept takes in what a frame says beside its events.
func (r *Reader) accept(frame []byte) error {
	r.rest = frame
	live, events, token := false, false, ""
	for b := frame; len(b) > 0; {
		f, n := nextField(b)
		if n < 0 {
			return &Error{Code: CodeInternal, Message: "the server's frame is malformed", cause: errFrame}
		}
		b = b[n:]
		switch f.num {
		case fieldEvents:
			events = true
		case fieldReadPosition:
			token = string(f.bytes)
		case fieldLive:
			live = f.number != 0
		case fieldResolved:
			r.resolved = f.number
		case fieldShard:
			r.at.Shard = uint32(f.number)
		case fieldHistory:
			r.at.History, r.known = f.number, true
		}
	}
	if events || token != "" {
		r.before, r.fresh = r.position, true
		r.position = token // a frame with neither leaves the read where it was
		r.place()
	}
	if live {
		r.live = true
		if r.opts.OnLive != nil {
			r.opts.OnLive()
		}
	}
	return nil
}

// place notes where the frame is in the shards of a topic that it is not of.
func (r *Reader) place() {
	r.others = r.others[:0]
	if r.scope.kind != scopeTopic {
		return
	}
	list, err := position.ParseList(r.position)
	if err != nil {
		return // the server says so when it is given back
	}
	for _, p := range list {
		if p.Shard != r.at.Shard {
			r.others = append(r.others, p)
		}
	}
}

// open starts a stream where the last one ended.
func (r *Reader) open() *Error {
	if token := r.Position(); token != "" {
		r.from = "pos:" + token
	}
	n := r.client.nodes.use()
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(telling(r.ctx))
	stream, err := n.conn.NewStream(ctx, &readDesc, gestav1.Log_Read_FullMethodName, grpc.ForceCodecV2(rawCodec{}))
	if err == nil {
		r.stream, r.addr, r.node, r.live = stream, n.addr, n, false
		err = r.ask()
	}
	if err != nil {
		r.cancel()
		r.stream = nil
		e, _ := errorOf(n.addr, err)
		e.final = e.final || e.Code == CodeUnavailable && !r.client.contact.Load() && r.tried.n+1 >= r.client.nodes.count()
		r.node = n
		return e
	}
	return nil
}

// ask sends the request.
func (r *Reader) ask() error {
	data, err := r.request()
	if err != nil {
		return err
	}
	if err := r.stream.SendMsg(&outFrame{&data}); err != nil && err != io.EOF { // EOF: RecvMsg tells why
		return err
	}
	return r.stream.CloseSend()
}

// again decides after a failure whether the read goes on: nil when it does.
func (r *Reader) again(e *Error) error {
	r.hangUp()
	if err := r.ctx.Err(); err != nil {
		return &Error{Code: CodeUnavailable, Message: "the read was ended: " + err.Error(), cause: err, final: true}
	}
	if r.client.ctx.Err() != nil {
		return &Error{Code: CodeUnavailable, Message: "the client was closed", cause: errClosed, final: true}
	}
	if !e.retryable() {
		return e
	}
	now := time.Now()
	if r.quiet.IsZero() {
		r.quiet = now
	}
	r.tried.failed(e)
	if now.Sub(r.quiet) > r.client.opts.Timeout {
		return r.tried.verdict(givenUp(false, context.DeadlineExceeded))
	}
	r.client.nodes.leave(r.node)
	if r.tried.n%r.client.nodes.count() == 0 {
		_ = sleep(r.ctx, pause(r.tried.n/r.client.nodes.count())) // its end is seen by the next attempt
	}
	return nil
}

// request is the encoded ReadRequest for what is left to read.
func (r *Reader) request() ([]byte, error) {
	m := &gestav1.ReadRequest{From: r.from, Backwards: r.opts.Backwards, Follow: r.opts.Follow, Stale: r.opts.Stale}
	if r.opts.ByTime {
		m.Order = gestav1.ReadOrder_READ_ORDER_RECORDED
	}
	if r.opts.Limit > 0 {
		m.Limit = r.opts.Limit - r.read
	}
	switch r.scope.kind {
	case scopeStream:
		m.Scope = &gestav1.ReadRequest_Stream{Stream: &gestav1.StreamRef{Topic: r.scope.topic, Key: r.scope.key}}
	case scopeTopic:
		m.Scope = &gestav1.ReadRequest_Topic{Topic: r.scope.topic}
	default:
		m.Scope = &gestav1.ReadRequest_Shard{Shard: r.scope.shard}
	}
	if o := r.opts; len(o.Types) > 0 || o.KeyPrefix != "" || len(o.Tags) > 0 || o.Where != "" {
		m.Filter = &gestav1.Filter{Types: o.Types, KeyPrefix: o.KeyPrefix, Tags: o.Tags, Where: o.Where}
	}
	return proto.Marshal(m)
}

// Clone returns a copy of the event that shares no memory with any other.
func Clone(r *Recorded) *Recorded {
	c := *r
	c.ID, c.Type, c.ContentType, c.Source = strings.Clone(r.ID), strings.Clone(r.Type), strings.Clone(r.ContentType), strings.Clone(r.Source)
	c.Topic, c.Key = strings.Clone(r.Topic), strings.Clone(r.Key)
	c.Data = bytes.Clone(r.Data)
	c.Tags = nil
	for _, t := range r.Tags {
		c.Tags = append(c.Tags, strings.Clone(t))
	}
	if r.Metadata != nil {
		c.Metadata = make(map[string]string, len(r.Metadata))
		for k, v := range r.Metadata {
			c.Metadata[strings.Clone(k)] = strings.Clone(v)
		}
	}
	return &c
}
