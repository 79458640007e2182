package grpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
)

func (d *Door) read(stream grpc.ServerStream) error {
	d.streams.Add(1)
	defer d.streams.Add(-1)
	ctx, span := d.serve(stream.Context(), gestav1.Log_Read_FullMethodName)
	err := d.readOne(ctx, stream, span)
	if errors.Is(err, context.Canceled) {
		span.End(nil) // the reader left: the usual end of following
	} else {
		span.End(err)
	}
	return err
}

func (d *Door) readOne(ctx context.Context, stream grpc.ServerStream, span gateway.Span) error {
	q := new(gestav1.ReadRequest)
	if err := stream.RecvMsg(q); err != nil {
		return err
	}
	spec, err := d.readSpec(q)
	if err != nil {
		return err
	}
	if len(spec.Topic) > 0 {
		span.Text("gesta.topic", string(spec.Topic))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if spec.Follow {
		defer context.AfterFunc(d.draining, cancel)()
	}
	who, _ := d.callerOf(ctx)
	r, err := d.gate.Read(ctx, who, q.GetShard(), spec)
	if err != nil {
		return err
	}
	defer r.Close()
	return d.ended(spec, sendAll(ctx, stream, r))
}

// ended tells a reader that followed and was stopped by Drain what happened to it.
func (d *Door) ended(spec event.ReadSpec, err error) error {
	if spec.Follow && errors.Is(err, context.Canceled) && d.draining.Err() != nil {
		return gateway.ErrDraining()
	}
	return err
}

func sendAll(ctx context.Context, stream grpc.ServerStream, r event.Reader) error {
	frames := framer{send: stream.SendMsg}
	for {
		b, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := frames.batch(b); err != nil {
			return err
		}
	}
}

// readSpec checks a request and says it in the gateway's words.
func (d *Door) readSpec(q *gestav1.ReadRequest) (spec event.ReadSpec, err error) {
	if err := checkKnown(q.ProtoReflect(), ""); err != nil {
		return spec, err
	}
	if err := d.readScope(q, &spec); err != nil {
		return spec, err
	}
	spec.Backwards, spec.Follow, spec.Limit, spec.Stale = q.GetBackwards(), q.GetFollow(), q.GetLimit(), q.GetStale()
	if spec.Backwards && spec.Follow {
		return spec, invalid("follow", "a read that goes backwards cannot follow: drop one of the two")
	}
	switch q.GetOrder() {
	case gestav1.ReadOrder_READ_ORDER_UNSPECIFIED:
	case gestav1.ReadOrder_READ_ORDER_RECORDED:
		spec.Order = event.ByRecorded
	default:
		return spec, errs.New(errs.Unsupported, "order %d is none that this version knows; use a newer server", q.GetOrder()).With("field", "order")
	}
	if spec.From, err = event.ParsePoint(q.GetFrom(), spec.Backwards); err != nil {
		return spec, err
	}
	if spec.Scope == event.ScopeTopic && spec.From.Kind == event.Number {
		return spec, invalid("from", "a topic has no revisions to start at; use start, end, pos:, time: or a stream of the topic")
	}
	if spec.Scope != event.ScopeStream && spec.From.Kind == event.AtID {
		return spec, invalid("from", "an event is found by its id in a stream only; read TOPIC/KEY")
	}
	return spec, d.readFilter(q.GetFilter(), &spec)
}

func (d *Door) readScope(q *gestav1.ReadRequest, spec *event.ReadSpec) error {
	switch scope := q.GetScope().(type) {
	case *gestav1.ReadRequest_Stream:
		spec.Scope, spec.Topic, spec.Key = event.ScopeStream, []byte(scope.Stream.GetTopic()), []byte(scope.Stream.GetKey())
		return d.checkStream("stream.", scope.Stream.GetTopic(), scope.Stream.GetKey())
	case *gestav1.ReadRequest_Topic:
		spec.Scope, spec.Topic = event.ScopeTopic, []byte(scope.Topic)
		return d.checkTopic("topic", scope.Topic)
	case *gestav1.ReadRequest_Shard:
		spec.Scope = event.ScopeAll
		return nil
	}
	return invalid("scope", "say what to read: a stream, a topic or a shard")
}

func (d *Door) readFilter(f *gestav1.Filter, spec *event.ReadSpec) error {
	err := d.gate.Narrow(spec, gateway.Filter{Types: f.GetTypes(), KeyPrefix: f.GetKeyPrefix(), Tags: f.GetTags(), Where: f.GetWhere()})
	if err != nil {
		e := errs.As(err)
		return e.With("field", "filter."+e.Details["field"])
	}
	return nil
}

func (d *Door) checkStream(prefix, topic, key string) error {
	if err := d.checkTopic(prefix+"topic", topic); err != nil {
		return err
	}
	return d.checkKey(prefix+"key", key)
}

func (d *Door) checkTopic(field, topic string) error {
	if err := event.CheckTopic(topic); err != nil {
		return errs.As(err).With("field", field)
	}
	return nil
}

func (d *Door) checkKey(field, key string) error {
	if err := event.CheckKey(key, d.gate.Limits()); err != nil {
		return errs.As(err).With("field", field)
	}
	return nil
}

func invalid(field, sentence string) error {
	return errs.New(errs.Invalid, "%s", sentence).With("field", field)
}
