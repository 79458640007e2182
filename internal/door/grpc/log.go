package grpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// logService describes gesta.v1.Log with handlers of ours. Append is registered as a stream of one message each way, which is
// the same on the wire: so its bytes, and what is wrong with them, come here before gRPC judges them.
var logService = grpc.ServiceDesc{
	ServiceName: gestav1.Log_ServiceDesc.ServiceName,
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Head", Handler: headMethod}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Append", Handler: mapped((*Door).append)},
		{StreamName: "AppendStream", Handler: mapped((*Door).appendStream), ClientStreams: true, ServerStreams: true},
		{StreamName: "Read", Handler: mapped((*Door).read), ServerStreams: true},
	},
	Metadata: gestav1.Log_ServiceDesc.Metadata,
}

func mapped(handle func(*Door, grpc.ServerStream) error) grpc.StreamHandler {
	return func(srv any, stream grpc.ServerStream) error {
		return toStatus(handle(srv.(*Door), stream))
	}
}

func headMethod(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	d, q := srv.(*Door), new(gestav1.HeadRequest)
	if err := decode(q); err != nil {
		return nil, err
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: gestav1.Log_Head_FullMethodName}
	return intercept(ctx, q, info, func(ctx context.Context, _ any) (any, error) { return d.head(ctx, q) })
}

func (d *Door) head(ctx context.Context, q *gestav1.HeadRequest) (*gestav1.HeadResponse, error) {
	topic, key := q.GetStream().GetTopic(), q.GetStream().GetKey()
	if err := d.checkStream("stream.", topic, key); err != nil {
		return nil, err
	}
	who, _ := d.callerOf(ctx)
	h, at, err := d.gate.Head(ctx, who, []byte(topic), []byte(key))
	if err != nil {
		return nil, err
	}
	return &gestav1.HeadResponse{Revision: h.Revision, Offset: h.Offset, RecordedTime: recordedTime(h.Time), Position: at.String()}, nil
}

// append is the unary Append.
func (d *Door) append(stream grpc.ServerStream) error {
	ctx, span := d.serve(stream.Context(), gestav1.Log_Append_FullMethodName)
	err := d.appendOne(ctx, stream)
	span.End(err)
	return err
}

func (d *Door) appendOne(ctx context.Context, stream grpc.ServerStream) error {
	var in inFrame
	if err := d.receive(stream, &in); errors.Is(err, io.EOF) {
		return errs.New(errs.Invalid, "the call came without a request")
	} else if err != nil {
		return err
	}
	who, budget := d.callerOf(ctx)
	size := len(in.bytes())
	if err := budget.Take(size + callOverhead); err != nil {
		in.free()
		return err
	}
	defer budget.Give(size + callOverhead)
	commit, err := event.DecodeTraced(in.bytes(), d.gate.Limits(), newID, traceparent(ctx))
	in.free()
	if err != nil {
		return err
	}
	outcome, created, err := d.gate.Append(ctx, who, commit)
	if err != nil {
		return err
	}
	return stream.SendMsg(outFrame{responseFrame(&outcome, created)})
}

// receive takes one message as it came, unless it is too large.
func (d *Door) receive(stream grpc.ServerStream, in *inFrame) error {
	if err := stream.RecvMsg(in); err != nil {
		return err
	}
	if size := len(in.bytes()); size > d.largestFrame() {
		in.free()
		return errs.New(errs.TooLarge, "the message has %d bytes; it may have %d (in_flight_bytes is %d): send less at once", size, d.largestFrame(), d.gate.Limits().InFlightBytes).With("limit", "in_flight_bytes")
	}
	return nil
}
