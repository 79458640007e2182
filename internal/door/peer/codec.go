package peer

import (
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// codec passes the bytes of hot messages through, and leaves all others to the protobuf codec.
type codec struct {
	proto encoding.CodecV2
}

func newCodec() codec { return codec{encoding.GetCodecV2(protocodec.Name)} }

// inFrame receives a message as it came. Free it when its bytes are no longer needed.
type inFrame struct {
	buffer mem.Buffer
}

func (f *inFrame) bytes() []byte { return f.buffer.ReadOnlyData() }

func (f *inFrame) free() {
	if f.buffer != nil {
		f.buffer.Free()
		f.buffer = nil
	}
}

// outFrame sends a message that is encoded already. Sending frees it.
type outFrame struct {
	buffer mem.Buffer
}

// pool holds frames: a few messages, a usual batch, a chunk of a file, and the largest that are common.
var pool = mem.NewTieredBufferPool(1<<10, 16<<10, 64<<10, 320<<10, 1<<20+64<<10, 4<<20)

// newFrame gives room for a frame of about n bytes; the frame may grow beyond.
func newFrame(n int) *[]byte {
	b := pool.Get(n)
	*b = (*b)[:0]
	return b
}

func sealed(b *[]byte) outFrame { return outFrame{mem.NewBuffer(b, pool)} }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(outFrame); ok {
		return mem.BufferSlice{f.buffer}, nil
	}
	return c.proto.Marshal(v)
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*inFrame); ok {
		f.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
		return nil
	}
	return c.proto.Unmarshal(data, v)
}

func (codec) Name() string { return protocodec.Name }
