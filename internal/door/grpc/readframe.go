package grpc

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/limits"
)

// Tags of ReadResponse.
const (
	tagEvents         = 1<<3 | 2
	tagReadPosition   = 2<<3 | 2
	tagLive           = 3 << 3
	tagResolvedOffset = 4 << 3
	tagShard          = 5 << 3
	tagHistory        = 6<<3 | 1
)

const (
	// frameBytes is where a batch is cut into frames: twice what a reader aims at, so that most batches are one frame, and below
	// the 4 MiB that gRPC's clients accept by default, unless a single event is larger.
	frameBytes = 512 * limits.KiB
	// frameTrailer is room for everything in a frame that is no event, placeTrailer for each further shard of its position.
	frameTrailer = 128
	placeTrailer = 32
)

// pool holds frames: small ones of readers at the tail, those of full batches, and the largest.
var pool = mem.NewTieredBufferPool(4*limits.KiB, 32*limits.KiB, 320*limits.KiB, frameBytes+frameTrailer, 2*limits.MiB)

// framer turns a reader's batches into frames.
type framer struct {
	send  func(any) error
	begun bool
	shard uint32 // of the frame before
}

// batch sends one batch, in several frames when it is large. Each event's bytes are copied once, as they are.
func (f *framer) batch(b event.Batch) error {
	for {
		n, size := fit(b.Events)
		frame := event.Batch{Events: b.Events[:n], Position: b.Position, Others: b.Others, ResolvedOffset: b.ResolvedOffset}
		b.Events, b.ResolvedOffset = b.Events[n:], 0
		last := len(b.Events) == 0
		if last {
			frame.Live = b.Live && n == 0
		} else if err := endAt(&frame, b.Position); err != nil {
			return err
		}
		if err := f.frame(&frame, size); err != nil {
			return err
		}
		if last && b.Live && n > 0 { // live has a frame of its own
			return f.frame(&event.Batch{Position: b.Position, Others: b.Others, Live: true}, 0)
		}
		if last {
			return nil
		}
	}
}

// fit tells how many events go into the next frame, at least one, and their size there.
func fit(events [][]byte) (n, size int) {
	for _, e := range events {
		s := 1 + protowire.SizeBytes(len(e))
		if n > 0 && size+s > frameBytes {
			break
		}
		n, size = n+1, size+s
	}
	return n, size
}

// endAt sets where a frame ends that is not the batch's last: at its last event, or, when the batch goes backwards, before it.
func endAt(frame *event.Batch, batchEnd position.Position) error {
	var v eventwire.View
	if err := eventwire.ViewRecorded(frame.Events[len(frame.Events)-1], &v); err != nil {
		return fmt.Errorf("a recorded event cannot be sent: %w", err)
	}
	frame.Position = batchEnd
	frame.Position.Offset = v.Offset
	if batchEnd.Offset < v.Offset {
		frame.Position.Offset--
	}
	return nil
}

func (f *framer) frame(b *event.Batch, size int) error {
	buffer := pool.Get(size + frameTrailer + placeTrailer*len(b.Others))
	*buffer = appendReadFrame((*buffer)[:0], b, !f.begun || f.shard != b.Position.Shard)
	f.begun, f.shard = true, b.Position.Shard
	return f.send(outFrame{mem.NewBuffer(buffer, pool)})
}

// appendReadFrame appends a ReadResponse; named with shard and history.
func appendReadFrame(dst []byte, b *event.Batch, named bool) []byte {
	for _, e := range b.Events {
		dst = protowire.AppendVarint(append(dst, tagEvents), uint64(len(e)))
		dst = append(dst, e...)
	}
	dst = append(dst, tagReadPosition, 0)
	start := len(dst)
	dst = closeLength(b.Position.AppendAmong(dst, b.Others), start)
	if b.Live {
		dst = append(dst, tagLive, 1)
	}
	dst = appendNumber(dst, tagResolvedOffset, b.ResolvedOffset)
	if named {
		dst = appendNumber(dst, tagShard, uint64(b.Position.Shard))
		dst = protowire.AppendFixed64(append(dst, tagHistory), b.Position.History)
	}
	return dst
}
