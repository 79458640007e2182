package grpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/gesta-db/gesta/api/eventwire"
	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
)

const traceparentName = eventwire.Traceparent

// Frames carries the frames of an attached handler; what they say is not the door's to know.
type Frames struct {
	stream   grpc.ServerStream
	draining <-chan struct{}
}

// Context ends with the stream.
func (f *Frames) Context() context.Context { return f.stream.Context() }

// Recv gives the next frame, which is valid until free.
func (f *Frames) Recv() (frame []byte, free func(), err error) {
	var in inFrame
	if err := f.stream.RecvMsg(&in); err != nil {
		return nil, nil, err
	}
	return in.bytes(), in.free, nil
}

// Send sends a frame, which is the stream's from then on.
func (f *Frames) Send(frame []byte) error { return f.stream.SendMsg(outFrame{mem.SliceBuffer(frame)}) }

// Draining ends when the node begins to stop.
func (f *Frames) Draining() <-chan struct{} { return f.draining }

// runtimeService describes gesta.v1.Runtime, whose frames go to who was given in Options.
func (d *Door) runtimeService() *grpc.ServiceDesc {
	desc := gestav1.Runtime_ServiceDesc
	desc.HandlerType = (*any)(nil)
	desc.Streams = []grpc.StreamDesc{{StreamName: "Attach", ClientStreams: true, ServerStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
		if d.attach == nil {
			return toStatus(errs.New(errs.Unsupported, "this node runs no entities"))
		}
		d.streams.Add(1)
		defer d.streams.Add(-1)
		who, _ := d.callerOf(stream.Context())
		return toStatus(d.attach(who, &Frames{stream: stream, draining: d.draining.Done()}))
	}}}
	return &desc
}

// attachFunc serves one attached handler until its stream ends.
type attachFunc func(who gateway.Caller, frames *Frames) error
