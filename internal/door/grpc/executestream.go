package grpc

import (
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
	who gateway.Caller
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
	x := &executor{replier: replier{door: d, stream: stream, wake: make(chan struct{}, 1)}}
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
			c.Err = decodeExecute(w.request, &c.Call)
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

// decodeExecute reads an ExecuteRequest; what it keeps is copied.
func decodeExecute(b []byte, c *entity.Call) error {
	text := string(b) // all that is text is cut from it
	for i := 0; i < len(b); {
		number, typ, n := protowire.ConsumeTag(b[i:])
		if n < 0 {
			return errBadRequest()
		}
		i += n
		if typ == protowire.BytesType {
			size, m := protowire.ConsumeVarint(b[i:])
			if m < 0 || size > uint64(len(b)-i-m) {
				return errBadRequest()
			}
			i += m
			if err := takeText(c, number, text[i:i+int(size)], b[i:i+int(size)]); err != nil {
				return err
			}
			i += int(size)
			continue
		}
		v, m := protowire.ConsumeVarint(b[i:])
		if typ != protowire.VarintType || m < 0 {
			return errBadRequest()
		}
		i += m
		switch number {
		case 6:
			c.Expected, c.Expects = v, true
		case 7:
			c.ReturnState = v != 0
		default:
			return errUnknownField("request.")
		}
	}
	return nil
}

func takeText(c *entity.Call, number protowire.Number, text string, b []byte) error {
	switch number {
	case 1:
		c.Kind = text
	case 2:
		c.Key = text
	case 3:
		c.Command = text
	case 4:
		return takePayload(&c.Payload, text, b)
	case 5:
		c.ID = text
	case 8:
		return takeMetadata(c, text)
	default:
		return errUnknownField("request.")
	}
	return nil
}

func takePayload(p *event.Payload, text string, b []byte) error {
	for i := 0; i < len(b); {
		number, typ, n := protowire.ConsumeTag(b[i:])
		if n < 0 || typ != protowire.BytesType {
			return errBadRequest()
		}
		size, m := protowire.ConsumeVarint(b[i+n:])
		if i += n + m; m < 0 || size > uint64(len(b)-i) {
			return errBadRequest()
		}
		switch to := i + int(size); number {
		case 1:
			p.ContentType = text[i:to]
		case 2:
			p.Type = text[i:to]
		case 3:
			p.Data = append([]byte(nil), b[i:to]...)
		default:
			return errUnknownField("request.payload.")
		}
		i += int(size)
	}
	return nil
}

func takeMetadata(c *entity.Call, text string) error {
	var pair event.Pair
	for b := text; len(b) > 0; {
		if len(b) < 2 || b[0] != tagMapKey && b[0] != tagMapValue {
			return errBadRequest()
		}
		size, m := protowire.ConsumeVarint([]byte(b[1:min(len(b), 11)]))
		if m < 0 || size > uint64(len(b)-1-m) {
			return errBadRequest()
		}
		v := b[1+m : 1+m+int(size)]
		if b[0] == tagMapKey {
			pair.Name = v
		} else {
			pair.Value = v
		}
		b = b[1+m+int(size):]
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
