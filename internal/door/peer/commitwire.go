package peer

import (
	"maps"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// Tags (field number and wire type), each one byte. See peer.proto, and gesta/v1/log.proto for the commit itself.
const (
	tagCalls = 1<<3 | 2 // ForwardRequest

	tagCallID  = 1 << 3 // ForwardCall
	tagShard   = 2 << 3
	tagAppend  = 3<<3 | 2
	tagTimeout = 4 << 3
	tagCaller  = 5<<3 | 2
	tagRequest = 6<<3 | 2
	tagReply   = 7<<3 | 2
	tagCarried = 8<<3 | 2

	tagAppendStream  = 1<<3 | 2 // AppendRequest
	tagAppendCommand = 2<<3 | 2
	tagAppendNoNew   = 3 << 3

	tagTopic       = 1<<3 | 2 // StreamAppend
	tagKey         = 2<<3 | 2
	tagExpectation = 3<<3 | 2
	tagEvents      = 4<<3 | 2

	tagRevision = 1 << 3 // Expectation
	tagState    = 2 << 3

	tagReplies = 1<<3 | 2 // ForwardResponse
	tagClosing = 2 << 3

	tagReplyID = 1 << 3 // ForwardReply
	tagOutcome = 2<<3 | 2
	tagFailure = 3<<3 | 2

	tagWritten  = 1<<3 | 2 // Outcome
	tagPlace    = 2<<3 | 2
	tagRepeated = 3 << 3
	tagFormer   = 4<<3 | 2

	tagHistory = 2<<3 | 1 // Place
	tagOffset  = 3 << 3

	tagCode    = 1<<3 | 2 // Failure
	tagText    = 2<<3 | 2
	tagDetails = 3<<3 | 2
)

// appendLengthed appends tag and what encode appends, with its length between the two.
func appendLengthed(dst []byte, tag byte, encode func([]byte) []byte) []byte {
	dst = append(dst, tag, 0)
	start := len(dst)
	return closeLength(encode(dst), start)
}

// closeLength writes the length of dst[start:] into the byte before it, and moves it when one byte does not do.
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

func appendBytes(dst []byte, tag byte, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	return protowire.AppendBytes(append(dst, tag), b)
}

func appendFlag(dst []byte, tag byte, v bool) []byte {
	if v {
		dst = append(dst, tag, 1)
	}
	return dst
}

// appendCommit appends a commit as the gesta.v1.AppendRequest that asks for it. Events are copied as they are.
func appendCommit(dst []byte, c *event.Commit) []byte {
	for i := range c.Streams {
		s := &c.Streams[i]
		dst = protowire.AppendVarint(append(dst, tagAppendStream), uint64(sizeStream(s)))
		dst = appendBytes(dst, tagTopic, s.Topic)
		dst = appendBytes(dst, tagKey, s.Key)
		dst = appendExpect(dst, s.Expect)
		for j := range s.Events {
			dst = protowire.AppendBytes(append(dst, tagEvents), s.Events[j].Bytes)
		}
	}
	dst = appendBytes(dst, tagAppendCommand, c.CommandID)
	return appendFlag(dst, tagAppendNoNew, c.NoCreate)
}

// sizeStream is known before the events are copied, so that they are copied once.
func sizeStream(s *event.Append) int {
	var room [16]byte
	n := len(appendExpect(room[:0], s.Expect))
	for _, b := range [][]byte{s.Topic, s.Key} {
		if len(b) > 0 {
			n += 1 + protowire.SizeBytes(len(b))
		}
	}
	for i := range s.Events {
		n += 1 + protowire.SizeBytes(len(s.Events[i].Bytes))
	}
	return n
}

func appendExpect(dst []byte, e event.Expect) []byte {
	switch e.Kind {
	case event.Exact:
		dst = append(dst, tagExpectation, byte(1+protowire.SizeVarint(e.Revision)), tagRevision)
		return protowire.AppendVarint(dst, e.Revision)
	case event.None:
		return append(dst, tagExpectation, 2, tagState, byte(gestav1.StreamState_STREAM_STATE_NONE))
	case event.Exists:
		return append(dst, tagExpectation, 2, tagState, byte(gestav1.StreamState_STREAM_STATE_EXISTS))
	}
	return dst
}

// forwarded is a call as it lies in a frame. Err is set when it alone is malformed.
type forwarded struct {
	id      uint64
	shard   uint32
	request []byte
	timeout time.Duration // 0: none
	caller  []byte
	// what the commit has beside its events
	digest []byte
	reply  *event.Payload
	state  *event.State
	err    error
}

// mostCalls bounds the calls of a frame: each costs memory beyond its bytes.
const mostCalls = 65_536

// splitCalls cuts a ForwardRequest into its calls. They point into b.
func splitCalls(b []byte, calls []forwarded) ([]forwarded, error) {
	err := fields(b, func(number protowire.Number, kind protowire.Type, _ uint64, b []byte) error {
		if number != 1 || kind != protowire.BytesType {
			return errs.New(errs.Unsupported, "a frame of commits has a field that this release does not know: upgrade this node")
		}
		if len(calls) == mostCalls {
			return errs.New(errs.TooLarge, "a frame has more than %d commits", mostCalls)
		}
		calls = append(calls, splitCall(b))
		return nil
	})
	return calls, err
}

func splitCall(b []byte) (c forwarded) {
	err := fields(b, func(number protowire.Number, kind protowire.Type, v uint64, b []byte) error {
		switch {
		case number == 1 && kind == protowire.VarintType:
			c.id = v
		case number == 2 && kind == protowire.VarintType && v <= math.MaxUint32:
			c.shard = uint32(v)
		case number == 3 && kind == protowire.BytesType:
			c.request = b
		case number == 4 && kind == protowire.VarintType:
			c.timeout = time.Duration(min(v, math.MaxInt64))
		case number == 5 && kind == protowire.BytesType:
			c.caller = b
		case number == 6 && kind == protowire.BytesType && len(b) == 32:
			c.digest = b
		case number == 7 && kind == protowire.BytesType:
			c.reply = new(event.Payload)
			return decodePayload(b, c.reply)
		case number == 8 && kind == protowire.BytesType:
			c.state = new(event.State)
			return decodeState(b, c.state)
		case number > 8 && c.err == nil:
			c.err = errs.New(errs.Unsupported, "a forwarded commit has a field that this release does not know; nothing was written: upgrade this node")
		default:
			return malformed("a forwarded commit")
		}
		return nil
	})
	if c.err == nil {
		c.err = err
	}
	return c
}

// appendReply appends a call's outcome to a ForwardResponse.
func appendReply(dst []byte, id uint64, o *event.Outcome, err error) []byte {
	return appendLengthed(dst, tagReplies, func(dst []byte) []byte {
		dst = appendNumber(dst, tagReplyID, id)
		if err != nil {
			return appendLengthed(dst, tagFailure, func(dst []byte) []byte { return appendFailure(dst, errs.As(err)) })
		}
		return appendLengthed(dst, tagOutcome, func(dst []byte) []byte { return appendOutcome(dst, o) })
	})
}

func appendOutcome(dst []byte, o *event.Outcome) []byte {
	for i := range o.Streams {
		s := &o.Streams[i]
		dst = appendLengthed(dst, tagWritten, func(dst []byte) []byte {
			for tag, v := range [...]uint64{s.FirstRevision, s.LastRevision, s.FirstOffset, s.LastOffset} {
				dst = appendNumber(dst, byte(tag+1)<<3, v)
			}
			return dst
		})
	}
	dst = appendLengthed(dst, tagPlace, func(dst []byte) []byte { return appendPlace(dst, o.Position) })
	dst = appendFlag(dst, tagRepeated, o.Repeated)
	return appendPayload(dst, tagFormer, o.Reply)
}

func appendFailure(dst []byte, e *errs.Error) []byte {
	dst = appendBytes(dst, tagCode, []byte(e.Code))
	dst = appendBytes(dst, tagText, []byte(sentence(e.Message)))
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		dst = appendLengthed(dst, tagDetails, func(dst []byte) []byte {
			dst = protowire.AppendString(append(dst, 1<<3|2), sentence(name))
			return protowire.AppendString(append(dst, 2<<3|2), sentence(e.Details[name]))
		})
	}
	return dst
}

// reply is a call's outcome as it came: Err, or Outcome.
type reply struct {
	id      uint64
	outcome event.Outcome
	err     error
	// whole is false when what came does not say how the call ended
	whole bool
}

// decodeReplies takes a ForwardResponse apart, reply by reply.
func decodeReplies(b []byte, each func(*reply)) (closing bool, err error) {
	err = fields(b, func(number protowire.Number, kind protowire.Type, v uint64, b []byte) error {
		switch {
		case number == 1 && kind == protowire.BytesType:
			var r reply
			if err := r.decode(b); err != nil {
				return err
			}
			each(&r)
		case number == 2 && kind == protowire.VarintType:
			closing = v != 0
		}
		return nil
	})
	return closing, err
}

func (r *reply) decode(b []byte) error {
	return fields(b, func(number protowire.Number, kind protowire.Type, v uint64, b []byte) error {
		switch {
		case number == 1 && kind == protowire.VarintType:
			r.id = v
		case number == 2 && kind == protowire.BytesType:
			r.whole = true
			return decodeOutcome(b, &r.outcome)
		case number == 3 && kind == protowire.BytesType:
			r.whole = true
			e, err := decodeFailure(b)
			r.err = e
			return err
		}
		return nil
	})
}

func decodeOutcome(b []byte, o *event.Outcome) error {
	return fields(b, func(number protowire.Number, kind protowire.Type, v uint64, b []byte) error {
		switch {
		case number == 1 && kind == protowire.BytesType:
			var s event.StreamOutcome
			if err := decodeWritten(b, &s); err != nil {
				return err
			}
			o.Streams = append(o.Streams, s)
		case number == 2 && kind == protowire.BytesType:
			return decodePlace(b, &o.Position)
		case number == 3 && kind == protowire.VarintType:
			o.Repeated = v != 0
		case number == 4 && kind == protowire.BytesType:
			o.Reply = new(event.Payload)
			return decodePayload(b, o.Reply)
		}
		return nil
	})
}

func decodeWritten(b []byte, s *event.StreamOutcome) error {
	return fields(b, func(number protowire.Number, kind protowire.Type, v uint64, _ []byte) error {
		if kind != protowire.VarintType {
			return nil
		}
		switch number {
		case 1:
			s.FirstRevision = v
		case 2:
			s.LastRevision = v
		case 3:
			s.FirstOffset = v
		case 4:
			s.LastOffset = v
		}
		return nil
	})
}

func decodeFailure(b []byte) (*errs.Error, error) {
	var code, text string
	details := map[string]string{}
	err := fields(b, func(number protowire.Number, kind protowire.Type, _ uint64, b []byte) error {
		if kind != protowire.BytesType {
			return nil
		}
		switch number {
		case 1:
			code = string(b)
		case 2:
			text = string(b)
		case 3:
			var name, value string
			if err := fields(b, func(number protowire.Number, _ protowire.Type, _ uint64, b []byte) error {
				if number == 1 {
					name = string(b)
				} else if number == 2 {
					value = string(b)
				}
				return nil
			}); err != nil {
				return err
			}
			details[name] = value
		}
		return nil
	})
	return failure(code, text, details), err
}
