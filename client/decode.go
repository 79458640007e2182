package client

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

var errFrame = errors.New("the server's frame is malformed")

// Field numbers of AppendStreamResponse, AppendReply, AppendResponse and StreamOutcome.
const (
	fieldReplies = 1

	fieldCallID   = 1
	fieldResponse = 2
	fieldError    = 3

	fieldStreams  = 1
	fieldPosition = 2
	fieldRepeated = 3
	fieldCreated  = 4
)

// field is one field of a message: its value is in number or, for what has a length, in bytes.
type field struct {
	num    protowire.Number
	number uint64
	bytes  []byte
}

// nextField reads the field at the start of b; n is its size, negative when it is malformed.
func nextField(b []byte) (f field, n int) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, n
	}
	f.num = num
	m := 0
	switch typ {
	case protowire.VarintType:
		f.number, m = protowire.ConsumeVarint(b[n:])
	case protowire.BytesType:
		f.bytes, m = protowire.ConsumeBytes(b[n:])
	case protowire.Fixed64Type:
		f.number, m = protowire.ConsumeFixed64(b[n:])
	default:
		m = protowire.ConsumeFieldValue(num, typ, b[n:])
	}
	if m < 0 {
		return f, m
	}
	return f, n + m
}

// reply is one AppendReply; response and failure alias the frame.
type reply struct {
	id       uint64
	response []byte
	failure  []byte
	failed   bool
}

// decodeReplies appends a frame's replies to dst.
func decodeReplies(frame []byte, dst []reply) ([]reply, error) {
	for len(frame) > 0 {
		f, n := nextField(frame)
		if n < 0 {
			return dst, errFrame
		}
		frame = frame[n:]
		if f.num != fieldReplies {
			continue
		}
		r, err := decodeReply(f.bytes)
		if err != nil {
			return dst, err
		}
		dst = append(dst, r)
	}
	return dst, nil
}

func decodeReply(b []byte) (r reply, err error) {
	for len(b) > 0 {
		f, n := nextField(b)
		if n < 0 {
			return r, errFrame
		}
		b = b[n:]
		switch f.num {
		case fieldCallID:
			r.id = f.number
		case fieldResponse:
			r.response = f.bytes
		case fieldError:
			r.failure, r.failed = f.bytes, true
		}
	}
	return r, nil
}

// outcome makes of a reply what the caller gets.
func (r *reply) outcome(way *road, k *call) (Result, *Error) {
	if r.failed {
		return Result{}, decodeError(r.failure)
	}
	res, err := way.read(k, r.response)
	if err != nil {
		// The commit is written; but where, this client cannot tell.
		return Result{}, &Error{Code: CodeUnknownOutcome, Message: "the answer to a write is malformed", cause: err, final: true}
	}
	return res, nil
}

func decodeResult(b []byte) (res Result, err error) {
	for len(b) > 0 {
		f, n := nextField(b)
		if n < 0 {
			return res, errFrame
		}
		b = b[n:]
		switch f.num {
		case fieldStreams:
			s, err := decodeStreamResult(f.bytes)
			if err != nil {
				return res, err
			}
			res.Streams = append(res.Streams, s)
		case fieldPosition:
			res.Position = string(f.bytes)
		case fieldRepeated:
			res.Repeated = f.number != 0
		case fieldCreated:
			res.CreatedTopics = append(res.CreatedTopics, string(f.bytes))
		}
	}
	return res, nil
}

func decodeStreamResult(b []byte) (s StreamResult, err error) {
	for len(b) > 0 {
		f, n := nextField(b)
		if n < 0 {
			return s, errFrame
		}
		b = b[n:]
		switch f.num {
		case 1:
			s.FirstRevision = f.number
		case 2:
			s.LastRevision = f.number
		case 3:
			s.FirstOffset = f.number
		case 4:
			s.LastOffset = f.number
		}
	}
	return s, nil
}

func decodeError(b []byte) *Error {
	var m gestav1.Error
	if err := proto.Unmarshal(b, &m); err != nil {
		return &Error{Code: CodeUnknownOutcome, Message: "the reason of a failed append is malformed", cause: err, final: true}
	}
	return &Error{Code: Code(m.GetCode()), Message: m.GetMessage(), Details: m.GetDetails()}
}
