package grpc

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/internal/errs"
)

// Field numbers of the frames, as in log.proto.
const (
	fieldCalls = 1 // AppendStreamRequest

	fieldCallID  = 1 // AppendCall
	fieldRequest = 2
	fieldTimeout = 3

	fieldSeconds = 1 // google.protobuf.Duration
	fieldNanos   = 2
)

const (
	// mostCalls bounds the calls of a frame: each costs memory beyond its bytes.
	mostCalls = 65_536
	// callOverhead is what a call is taken to cost beside its bytes.
	callOverhead = 512
	// longestTimeout bounds how long a call may be remembered.
	longestTimeout = time.Hour
)

// callWire is a call as it lies in a frame. Err is set when it alone is malformed.
type callWire struct {
	id      uint64
	request []byte
	timeout time.Duration // 0: not given
	err     error
}

// splitFrame cuts a frame into its calls. An error is about the frame as a whole.
func splitFrame(b []byte, calls []callWire) ([]callWire, error) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || number != fieldCalls || kind != protowire.BytesType {
			return nil, errs.New(errs.Invalid, "a frame is malformed: it holds calls and nothing else").With("field", "calls")
		}
		call, m := protowire.ConsumeBytes(b[n:])
		if m < 0 {
			return nil, errs.New(errs.Invalid, "a frame is cut off").With("field", "calls")
		}
		if len(calls) == mostCalls {
			return nil, errs.New(errs.TooLarge, "a frame has at most %d calls; send several frames", mostCalls).With("field", "calls")
		}
		calls = append(calls, splitCall(call))
		b = b[n+m:]
	}
	return calls, nil
}

// splitCall takes a call apart. The id comes out also when the rest is malformed, if it stands before it.
func splitCall(b []byte) (c callWire) {
	seen := uint32(0)
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return c.malformed("call is malformed", "calls")
		}
		if number > fieldTimeout {
			c.err = errUnknownField("calls.")
			return c
		}
		if seen&(1<<number) != 0 {
			return c.malformed("call has a field twice", "calls")
		}
		seen |= 1 << number
		m := c.field(number, kind, b[n:])
		if m < 0 {
			return c.malformed("call is malformed", "calls")
		}
		b = b[n+m:]
	}
	if seen&(1<<fieldTimeout) != 0 && c.err == nil && (c.timeout <= 0 || c.timeout > longestTimeout) {
		return c.malformed("timeout must be more than 0 and at most 1h", "timeout")
	}
	return c
}

func (c callWire) malformed(what, field string) callWire {
	c.err = errs.New(errs.Invalid, "%s", what).With("field", field)
	return c
}

// field takes one field's value and gives its length, or a negative number.
func (c *callWire) field(number protowire.Number, kind protowire.Type, b []byte) (n int) {
	switch {
	case number == fieldCallID && kind == protowire.VarintType:
		c.id, n = protowire.ConsumeVarint(b)
	case number == fieldRequest && kind == protowire.BytesType:
		c.request, n = protowire.ConsumeBytes(b)
	case number == fieldTimeout && kind == protowire.BytesType:
		var d []byte
		if d, n = protowire.ConsumeBytes(b); n >= 0 {
			c.timeout = duration(d)
		}
	default:
		return -1
	}
	return n
}

// duration reads a google.protobuf.Duration; what cannot be read, or is out of range, is negative.
func duration(b []byte) time.Duration {
	var seconds, nanos int64
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || kind != protowire.VarintType {
			return -1
		}
		v, m := protowire.ConsumeVarint(b[n:])
		if m < 0 {
			return -1
		}
		switch number {
		case fieldSeconds:
			seconds = int64(v)
		case fieldNanos:
			nanos = int64(int32(v))
		default:
			return -1
		}
		b = b[n+m:]
	}
	if seconds < 0 || nanos < 0 || nanos >= 1e9 {
		return -1
	}
	return time.Duration(min(seconds, int64(2*longestTimeout/time.Second)))*time.Second + time.Duration(nanos)
}
