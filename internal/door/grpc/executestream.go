package grpc

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
)

// executor is one ExecuteStream: as an appender, with commands.
type executor struct {
	replier
	who   gateway.Caller
	names names
}

// execution is a command on its way; it is the call's User.
type execution struct {
	entity.Call
	from *executor
	id   uint64
	size int
}

func (d *Door) executeStream(stream grpc.ServerStream) error {
	leave, err := openAppends(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	d.streams.Add(1)
	defer d.streams.Add(-1)
	x := &executor{replier: replier{door: d, stream: stream, wake: make(chan struct{}, 1)}, names: names{}}
	x.who, x.budget = d.callerOf(stream.Context())
	ended := make(chan error, 1)
	go func() { ended <- x.takeIn() }()
	return x.sendOut(ended)
}

// takeIn reads frames until the client has no more (nil), or something is wrong.
func (x *executor) takeIn() error {
	var calls []callWire
	for {
		var in inFrame
		err := x.door.receive(x.stream, &in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		calls, err = x.takeFrame(&in, calls[:0])
		if err != nil {
			return err
		}
	}
}

func (x *executor) takeFrame(in *inFrame, calls []callWire) ([]callWire, error) {
	defer in.free()
	calls, err := splitFrame(in.bytes(), calls)
	if err != nil || len(calls) == 0 {
		return calls, err
	}
	size := len(in.bytes()) + len(calls)*callOverhead
	if err := x.budget.Wait(x.stream.Context(), size); err != nil {
		return calls, err
	}
	if !x.accept(len(calls)) {
		x.budget.Give(size)
		return calls, gateway.ErrDraining()
	}
	own := len(in.bytes())
	for i := range calls {
		own -= len(calls[i].request)
	}
	for rest := calls; len(rest) > 0; {
		n := min(part, len(rest))
		if n == len(rest) {
			x.submit(rest[:n], own) // the frame's own bytes are the last call's
		} else {
			x.submit(rest[:n], 0)
		}
		rest = rest[n:]
	}
	clear(calls) // they point into the frame
	return calls, nil
}

func (x *executor) submit(wires []callWire, own int) {
	now := time.Now()
	store := make([]execution, len(wires))
	calls := make([]*entity.Call, 0, len(wires))
	for i := range wires {
		w, c := &wires[i], &store[i]
		c.from, c.id, c.size = x, w.id, len(w.request)+callOverhead
		if i == len(wires)-1 {
			c.size += own
		}
		if c.Err = w.err; c.Err == nil {
			c.Err = decodeExecute(w.request, &c.Call, x.names)
		}
		if c.Err != nil {
			x.reply(c)
			continue
		}
		if w.timeout > 0 {
			c.Deadline = now.Add(w.timeout)
		}
		c.Done, c.User = executed, c
		calls = append(calls, &c.Call)
	}
	if len(calls) > 0 {
		x.door.gate.Execute(x.who, calls)
	}
}

// executed is every command's Done.
func executed(call *entity.Call) {
	c := call.User.(*execution)
	if call.Err == nil && call.ReturnState && call.Outcome.State == nil {
		go func() { // the first outcome of a repeat: its state is to be made
			call.Err = c.from.door.gate.CompleteState(c.from.stream.Context(), call)
			c.from.reply(c)
		}()
		return
	}
	c.from.reply(c)
}

// reply puts a command's outcome with those that are about to be sent. It does not block.
func (x *executor) reply(c *execution) {
	x.put(c.size, func(dst []byte) []byte { return appendExecuteReply(dst, c.id, &c.Outcome, c.Err) })
}

// names keeps the texts that come again and again: kinds, commands and media types. It is used by one goroutine.
type names map[string]string

// mostNames bounds them: past it each is copied.
const mostNames = 256

func (n names) of(b []byte) string {
	if s, ok := n[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(n) < mostNames {
		n[s] = s
	}
	return s
}

// decodeExecute reads an ExecuteRequest; what it keeps is copied.
func decodeExecute(b []byte, c *entity.Call, known names) error {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errBadRequest()
		}
		b = b[n:]
		switch typ {
		case protowire.BytesType:
			body, m := protowire.ConsumeBytes(b)
			if m < 0 {
				return errBadRequest()
			}
			if err := takeBody(c, number, body, known); err != nil {
				return err
			}
			b = b[m:]
		case protowire.VarintType:
			v, m := protowire.ConsumeVarint(b)
			switch {
			case m < 0:
				return errBadRequest()
			case number == 6:
				c.Expected, c.Expects = v, true
			case number == 7:
				c.ReturnState = v != 0
			default:
				return errUnknownField("request.")
			}
			b = b[m:]
		default:
			return errUnknownField("request.")
		}
	}
	return nil
}

func takeBody(c *entity.Call, number protowire.Number, b []byte, known names) error {
	switch number {
	case 1:
		c.Kind = known.of(b)
	case 2:
		c.Key = string(b)
	case 3:
		c.Command = known.of(b)
	case 4:
		return takePayload(&c.Payload, b, known)
	case 5:
		c.ID = string(b)
	case 8:
		return takeMetadata(c, b)
	default:
		return errUnknownField("request.")
	}
	return nil
}

func takePayload(p *event.Payload, b []byte, known names) error {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 || typ != protowire.BytesType {
			return errBadRequest()
		}
		body, m := protowire.ConsumeBytes(b[n:])
		if m < 0 {
			return errBadRequest()
		}
		switch number {
		case 1:
			p.ContentType = known.of(body)
		case 2:
			p.Type = known.of(body)
		case 3:
			p.Data = bytes.Clone(body)
		default:
			return errUnknownField("request.payload.")
		}
		b = b[n+m:]
	}
	return nil
}

func takeMetadata(c *entity.Call, b []byte) error {
	var pair event.Pair
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 || typ != protowire.BytesType {
			return errBadRequest()
		}
		body, m := protowire.ConsumeBytes(b[n:])
		switch {
		case m < 0:
			return errBadRequest()
		case number == 1:
			pair.Name = string(body)
		case number == 2:
			pair.Value = string(body)
		}
		b = b[n+m:]
	}
	at, found := slices.BinarySearchFunc(c.Metadata, pair.Name, func(p event.Pair, name string) int { return strings.Compare(p.Name, name) })
	if found {
		c.Metadata[at] = pair
		return nil
	}
	c.Metadata = slices.Insert(c.Metadata, at, pair)
	return nil
}

func errBadRequest() error {
	return errs.New(errs.Invalid, "the request is not a valid gesta.v1.ExecuteRequest").With("field", "request")
}

// Tags of what the door writes by hand for commands.
const (
	tagReply     = 1<<3 | 2 // ExecuteResponse
	tagRevision  = 2 << 3
	tagAt        = 3<<3 | 2
	tagState     = 4<<3 | 2
	tagAgain     = 5 << 3
	tagHowMany   = 6 << 3
	tagContent   = 1<<3 | 2 // Payload
	tagType      = 2<<3 | 2
	tagData      = 3<<3 | 2
	tagSType     = 1<<3 | 2 // EntityState
	tagSVersion  = 2 << 3
	tagSContent  = 3<<3 | 2
	tagSData     = 4<<3 | 2
	tagSRevision = 5 << 3
)

// appendExecuteReply appends one reply of an ExecuteStreamResponse.
func appendExecuteReply(dst []byte, id uint64, o *entity.Outcome, err error) []byte {
	dst = append(dst, tagReplies, 0)
	start := len(dst)
	dst = appendNumber(dst, tagCallID, id)
	if err != nil {
		dst = appendLengthed(dst, tagError, func(b []byte) []byte { return appendError(b, errs.As(err)) })
	} else {
		dst = append(dst, tagResponse, 0)
		inner := len(dst)
		dst = closeLength(appendExecuteResponse(dst, o), inner)
	}
	return closeLength(dst, start)
}

func appendExecuteResponse(dst []byte, o *entity.Outcome) []byte {
	if p := o.Reply; p != nil {
		dst = append(dst, tagReply, 0)
		start := len(dst)
		dst = appendText(dst, tagContent, p.ContentType)
		dst = appendText(dst, tagType, p.Type)
		if len(p.Data) > 0 {
			dst = protowire.AppendBytes(append(dst, tagData), p.Data)
		}
		dst = closeLength(dst, start)
	}
	dst = appendNumber(dst, tagRevision, o.Revision)
	if o.Position.Shard != 0 {
		dst = append(dst, tagAt, 0)
		start := len(dst)
		dst = closeLength(o.Position.Append(dst), start)
	}
	if s := o.State; s != nil {
		dst = append(dst, tagState, 0)
		start := len(dst)
		dst = appendText(dst, tagSType, s.Type)
		dst = appendNumber(dst, tagSVersion, uint64(s.Version))
		dst = appendText(dst, tagSContent, s.ContentType)
		if len(s.Data) > 0 {
			dst = protowire.AppendBytes(append(dst, tagSData), s.Data)
		}
		dst = appendNumber(dst, tagSRevision, o.Revision)
		dst = closeLength(dst, start)
	}
	if o.Repeated {
		dst = append(dst, tagAgain, 1)
	}
	return appendNumber(dst, tagHowMany, uint64(o.Events))
}
