package client

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// rawCodec hands over frames that are already encoded. It answers to protobuf's name, because on the wire that is what it is.
type rawCodec struct{}

// outFrame is a frame to send; gRPC gives its memory back to framePool when the transport is done with it.
type outFrame struct{ data *[]byte }

// inFrame receives a frame. A frame with keep gets fresh memory each time, otherwise the memory is used again.
type inFrame struct {
	data []byte
	keep bool
}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*outFrame)
	if !ok {
		return nil, fmt.Errorf("a raw frame is wanted, not %T", v)
	}
	return mem.BufferSlice{mem.NewBuffer(f.data, framePool)}, nil
}

func (rawCodec) Unmarshal(in mem.BufferSlice, v any) error {
	f, ok := v.(*inFrame)
	if !ok {
		return fmt.Errorf("a raw frame is wanted, not %T", v)
	}
	n := in.Len()
	if f.keep || cap(f.data) < n {
		f.data = make([]byte, n)
	}
	f.data = f.data[:n]
	in.CopyTo(f.data)
	return nil
}
