package peer

import (
	"bytes"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/limits"
)

// appendPayload appends a Payload, or nothing when there is none.
func appendPayload(dst []byte, tag byte, p *event.Payload) []byte {
	if p == nil {
		return dst
	}
	return appendLengthed(dst, tag, func(dst []byte) []byte {
		dst = appendBytes(dst, 1<<3|2, []byte(p.ContentType))
		dst = appendBytes(dst, 2<<3|2, []byte(p.Type))
		return appendBytes(dst, 3<<3|2, p.Data)
	})
}

func appendState(dst []byte, s *event.State) []byte {
	if s == nil {
		return dst
	}
	return appendLengthed(dst, tagCarried, func(dst []byte) []byte {
		dst = appendNumber(dst, 1<<3, uint64(s.Version))
		return appendPayload(dst, 2<<3|2, &s.Payload)
	})
}

// decodePayload copies.
func decodePayload(b []byte, p *event.Payload) error {
	return fields(b, func(number protowire.Number, kind protowire.Type, _ uint64, b []byte) error {
		if kind != protowire.BytesType {
			return malformed("a payload")
		}
		switch number {
		case 1:
			p.ContentType = string(b)
		case 2:
			p.Type = string(b)
		case 3:
			p.Data = bytes.Clone(b)
		default:
			return malformed("a payload")
		}
		return nil
	})
}

func decodeState(b []byte, s *event.State) error {
	return fields(b, func(number protowire.Number, kind protowire.Type, v uint64, b []byte) error {
		switch {
		case number == 1 && kind == protowire.VarintType && v <= math.MaxUint32:
			s.Version = uint32(v)
		case number == 2 && kind == protowire.BytesType:
			return decodePayload(b, &s.Payload)
		default:
			return malformed("a state")
		}
		return nil
	})
}

// dress gives a commit what its call has beside the events, within the limits.
func (w *forwarded) dress(c *event.Commit, lim *limits.Limits) error {
	if w.digest != nil {
		c.Request = (*[32]byte)(bytes.Clone(w.digest))
	}
	if c.Reply = w.reply; w.reply != nil {
		if n := len(w.reply.Data); n > lim.ReplyBytes {
			return errs.New(errs.TooLarge, "a reply has %d bytes, and reply_bytes is %d", n, lim.ReplyBytes).With("limit", "reply_bytes")
		}
		c.Bytes += len(w.reply.Data)
	}
	if c.State = w.state; w.state != nil {
		if n := len(w.state.Data); n > lim.StateBytes {
			return errs.New(errs.TooLarge, "a state has %d bytes, and state_bytes is %d", n, lim.StateBytes).With("limit", "state_bytes")
		}
		c.Bytes += len(w.state.Data)
	}
	return nil
}

// commit is the gate for what peers forward: the same as for what clients send.
func (w *forwarded) commit(lim *limits.Limits, newID func() string) (*event.Commit, error) {
	if w.err != nil {
		return nil, w.err
	}
	c, err := event.DecodeAppendRequest(w.request, lim, newID)
	if err != nil {
		return nil, err
	}
	return c, w.dress(c, lim)
}
