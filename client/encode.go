package client

import (
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/api/eventwire"
	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// maxRequest bounds one commit before it is sent: four times the server's default, above any of its maxima for one event.
// Without it a commit over gRPC's own limit would end the stream for everybody else's.
const maxRequest = 32 << 20

// The tags of the messages that are written by hand, each one byte: AppendStreamRequest, AppendCall, AppendRequest,
// StreamAppend, Expectation and google.protobuf.Duration.
const (
	tagCalls   = 1<<3 | 2
	tagCallID  = 1 << 3
	tagRequest = 2<<3 | 2
	tagTimeout = 3<<3 | 2

	tagStreams   = 1<<3 | 2
	tagCommandID = 2<<3 | 2
	tagNoCreate  = 3 << 3

	tagTopic       = 1<<3 | 2
	tagKey         = 2<<3 | 2
	tagExpectation = 3<<3 | 2
	tagEvents      = 4<<3 | 2

	tagRevision = 1 << 3
	tagState    = 2 << 3

	tagSeconds = 1 << 3
	tagNanos   = 2 << 3
)

// appendRequest writes an AppendRequest. Events without an id get one, and those without a traceparent
// the one given, if any.
func appendRequest(dst []byte, streams []Append, o appendOptions, traceparent string) []byte {
	for i := range streams {
		dst = appendStream(dst, &streams[i], traceparent)
	}
	dst = appendText(dst, tagCommandID, o.commandID)
	if o.noCreate {
		dst = append(dst, tagNoCreate, 1)
	}
	return dst
}

func appendStream(dst []byte, a *Append, traceparent string) []byte {
	var rule [16]byte
	expectation := appendExpectation(rule[:0], a.Expect)
	size := sizeText(a.Topic) + sizeText(a.Key)
	if len(expectation) > 0 {
		size += 1 + protowire.SizeBytes(len(expectation))
	}
	for i := range a.Events {
		size += 1 + protowire.SizeBytes(sizeEvent(&a.Events[i], traceparent))
	}
	dst = append(dst, tagStreams)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = appendText(dst, tagTopic, a.Topic)
	dst = appendText(dst, tagKey, a.Key)
	if len(expectation) > 0 {
		dst = append(dst, tagExpectation)
		dst = protowire.AppendBytes(dst, expectation)
	}
	for i := range a.Events {
		dst = appendEvent(dst, &a.Events[i], traceparent)
	}
	return dst
}

func appendEvent(dst []byte, e *Event, traceparent string) []byte {
	dst = append(dst, tagEvents)
	dst = protowire.AppendVarint(dst, uint64(sizeEvent(e, traceparent)))
	if e.ID == "" {
		// The id is the first field: what follows it is the event without one.
		dst = append(dst, 1<<3|2, idBytes)
		dst = appendID(dst)
	}
	return appendTrace(eventwire.AppendEvent(dst, e), e, traceparent)
}

// sizeEvent is the event's size with the id and the traceparent that it gets if it has none.
func sizeEvent(e *Event, traceparent string) int {
	n := eventwire.SizeEvent(e) + sizeTrace(e, traceparent)
	if e.ID == "" {
		n += 2 + idBytes
	}
	return n
}

func appendExpectation(dst []byte, e Expect) []byte {
	state := gestav1.StreamState_STREAM_STATE_UNSPECIFIED
	switch e.rule {
	case ruleRevision:
		return protowire.AppendVarint(append(dst, tagRevision), e.revision)
	case ruleNone:
		state = gestav1.StreamState_STREAM_STATE_NONE
	case ruleExists:
		state = gestav1.StreamState_STREAM_STATE_EXISTS
	default:
		return dst
	}
	return append(dst, tagState, byte(state))
}

// appendCall writes one call of a frame around a request that is already encoded.
func appendCall(dst []byte, id uint64, request, timeout []byte) []byte {
	size := 1 + protowire.SizeVarint(id) + 1 + protowire.SizeBytes(len(request)) + len(timeout)
	dst = append(dst, tagCalls)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = protowire.AppendVarint(append(dst, tagCallID), id)
	dst = append(dst, tagRequest)
	dst = protowire.AppendBytes(dst, request)
	return append(dst, timeout...)
}

// appendTimeout writes the field timeout of a call.
func appendTimeout(dst []byte, d time.Duration) []byte {
	var body [24]byte
	b := protowire.AppendVarint(append(body[:0], tagSeconds), uint64(d/time.Second))
	b = protowire.AppendVarint(append(b, tagNanos), uint64(d%time.Second))
	dst = append(dst, tagTimeout)
	return protowire.AppendBytes(dst, b)
}

func appendText(dst []byte, tag byte, s string) []byte {
	if s == "" {
		return dst
	}
	dst = protowire.AppendVarint(append(dst, tag), uint64(len(s)))
	return append(dst, s...)
}

func sizeText(s string) int {
	if s == "" {
		return 0
	}
	return 1 + protowire.SizeBytes(len(s))
}

const (
	idBytes    = 26 // 128 random bits, five in each character
	idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
)

// appendID writes a random event id.
func appendID(dst []byte) []byte {
	a, b := rand.Uint64(), rand.Uint64()
	for range idBytes / 2 {
		dst = append(dst, idAlphabet[a&31], idAlphabet[b&31])
		a, b = a>>5, b>>5
	}
	return dst
}

// NewID returns a random event id: 26 characters, 128 random bits.
func NewID() string { return string(appendID(make([]byte, 0, idBytes))) }

func tooLarge(n int) *Error {
	return &Error{
		Code:    CodeTooLarge,
		Message: fmt.Sprintf("the commit has %d bytes, the client sends at most %d: split it", n, maxRequest),
		Details: map[string]string{"limit": fmt.Sprint(maxRequest)},
	}
}

func appendNumber(dst []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(append(dst, tag), v)
}

func appendBlob(dst []byte, tag byte, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	return protowire.AppendBytes(append(dst, tag), b)
}
