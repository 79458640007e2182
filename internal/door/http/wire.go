package http

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// The door says what it was asked in the words that package event decodes: the wire encoding of gesta.v1.AppendRequest. So
// there is one place that holds requests to the limits. Tags (field number and wire type) of the messages in it:
const (
	tagStreams   = 1<<3 | 2 // AppendRequest
	tagCommandID = 2<<3 | 2
	tagNoCreate  = 3 << 3

	tagTopic       = 1<<3 | 2 // StreamAppend
	tagKey         = 2<<3 | 2
	tagExpectation = 3<<3 | 2
	tagEvents      = 4<<3 | 2

	tagRevision = 1 << 3 // Expectation
	tagState    = 2 << 3

	tagID            = 1<<3 | 2 // Event
	tagType          = 2<<3 | 2
	tagSchemaVersion = 3 << 3
	tagContentType   = 4<<3 | 2
	tagData          = 5<<3 | 2
	tagTime          = 6<<3 | 2
	tagSource        = 7<<3 | 2
	tagMetadata      = 8<<3 | 2
	tagTag           = 9<<3 | 2

	tagSeconds = 1 << 3 // Timestamp
	tagNanos   = 2 << 3

	tagName  = 1<<3 | 2 // an entry of metadata
	tagValue = 2<<3 | 2
)

// openMessage begins a message whose length is not known yet; closeMessage, given what openMessage gave, ends it.
func openMessage(dst []byte, tag byte) (grown []byte, start int) {
	dst = append(dst, tag, 0)
	return dst, len(dst)
}

// closeMessage writes the length of dst[start:] into the byte before it, and moves it when one byte does not do.
func closeMessage(dst []byte, start int) []byte {
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

func appendField(dst []byte, tag byte, v []byte) []byte {
	return protowire.AppendBytes(append(dst, tag), v)
}

func appendNumber(dst []byte, tag byte, v uint64) []byte {
	return protowire.AppendVarint(append(dst, tag), v)
}

func appendPair(dst []byte, name, value []byte) []byte {
	dst, start := openMessage(dst, tagMetadata)
	dst = appendField(dst, tagName, name)
	dst = appendField(dst, tagValue, value)
	return closeMessage(dst, start)
}

func appendTimestamp(dst []byte, t time.Time) []byte {
	dst, start := openMessage(dst, tagTime)
	dst = appendNumber(dst, tagSeconds, uint64(t.Unix()))
	dst = appendNumber(dst, tagNanos, uint64(t.Nanosecond()))
	return closeMessage(dst, start)
}
