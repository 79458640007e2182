package grpc

import (
	"maps"
	"slices"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// Tags (field number and wire type), each one byte, of what the door writes by hand.
const (
	tagReplies = 1<<3 | 2 // AppendStreamResponse

	tagCallID   = 1 << 3 // AppendReply
	tagResponse = 2<<3 | 2
	tagError    = 3<<3 | 2

	tagStreams  = 1<<3 | 2 // AppendResponse
	tagPosition = 2<<3 | 2
	tagRepeated = 3 << 3
	tagCreated  = 4<<3 | 2

	tagFirstRevision = 1 << 3 // StreamOutcome
	tagLastRevision  = 2 << 3
	tagFirstOffset   = 3 << 3
	tagLastOffset    = 4 << 3

	tagCode    = 1<<3 | 2 // Error
	tagMessage = 2<<3 | 2
	tagDetails = 3<<3 | 2

	tagMapKey   = 1<<3 | 2
	tagMapValue = 2<<3 | 2
)

// appendLengthed appends tag and what encode appends, with its length between the two.
func appendLengthed(dst []byte, tag byte, encode func([]byte) []byte) []byte {
	dst = append(dst, tag, 0)
	start := len(dst)
	return closeLength(encode(dst), start)
}

// closeLength writes the length of dst[start:] into the byte before it, and moves it when one byte does not do: lengths are
// mostly below 128.
func closeLength(dst []byte, start int) []byte {
	n := len(dst) - start
	if n < 0x80 {
		dst[start-1] = byte(n)
		return dst
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	for range more {
		dst = append(dst, 0)
	}
	copy(dst[start+more:], dst[start:start+n])
	protowire.AppendVarint(dst[:start-1], uint64(n))
	return dst
}

func appendNumber(dst []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(append(dst, tag), v)
}

func appendText(dst []byte, tag byte, s string) []byte {
	if s == "" {
		return dst
	}
	return protowire.AppendString(append(dst, tag), s)
}

// appendReply appends one reply of an AppendStreamResponse.
func appendReply(dst []byte, id uint64, outcome *event.Outcome, created []string, err error) []byte {
	dst = append(dst, tagReplies, 0)
	start := len(dst)
	dst = appendNumber(dst, tagCallID, id)
	if err != nil {
		dst = appendLengthed(dst, tagError, func(b []byte) []byte { return appendError(b, errs.As(err)) })
	} else {
		dst = append(dst, tagResponse, 0)
		inner := len(dst)
		dst = closeLength(appendResponse(dst, outcome, created), inner)
	}
	return closeLength(dst, start)
}

// appendResponse appends an AppendResponse.
func appendResponse(dst []byte, o *event.Outcome, created []string) []byte {
	for i := range o.Streams {
		dst = append(dst, tagStreams, 0)
		start := len(dst)
		dst = closeLength(appendStreamOutcome(dst, &o.Streams[i]), start)
	}
	dst = append(dst, tagPosition, 0)
	start := len(dst)
	dst = closeLength(o.Position.Append(dst), start)
	if o.Repeated {
		dst = append(dst, tagRepeated, 1)
	}
	for _, name := range created {
		dst = appendText(dst, tagCreated, name)
	}
	return dst
}

func appendStreamOutcome(dst []byte, o *event.StreamOutcome) []byte {
	dst = appendNumber(dst, tagFirstRevision, o.FirstRevision)
	dst = appendNumber(dst, tagLastRevision, o.LastRevision)
	dst = appendNumber(dst, tagFirstOffset, o.FirstOffset)
	return appendNumber(dst, tagLastOffset, o.LastOffset)
}

// appendError appends an Error.
func appendError(dst []byte, e *errs.Error) []byte {
	dst = appendText(dst, tagCode, string(e.Code))
	dst = appendText(dst, tagMessage, sentence(e.Message))
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		dst = appendLengthed(dst, tagDetails, func(b []byte) []byte {
			b = protowire.AppendString(append(b, tagMapKey), sentence(name))
			return protowire.AppendString(append(b, tagMapValue), sentence(e.Details[name]))
		})
	}
	return dst
}

// responseFrame is an AppendResponse as a message of its own.
func responseFrame(o *event.Outcome, created []string) mem.Buffer {
	return mem.SliceBuffer(appendResponse(make([]byte, 0, 128), o, created))
}
