package remote

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// mostResults bounds the results of a frame, and the decisions of a result.
const mostResults = 65_536

// frame is a HandlerFrame without its hello. What it holds does not point into the bytes it came from.
type frame struct {
	hello   []byte // an encoding of Hello; a part of the bytes
	results []*entity.Result
	credit  int
	drain   *string
	goodbye *string
}

// fields calls take for each field of a message.
func fields(b []byte, take func(number protowire.Number, typ protowire.Type, value uint64, body []byte) error) error {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return malformed()
		}
		b = b[n:]
		var value uint64
		var body []byte
		switch typ {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			body, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, typ, b)
		}
		if n < 0 {
			return malformed()
		}
		if err := take(number, typ, value, body); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func malformed() error {
	return errs.New(errs.Invalid, "a frame is not a valid gesta.v1.HandlerFrame: use code generated from runtime.proto").With("field", "frame")
}

func unknown(where string, number protowire.Number) error {
	return errs.New(errs.Unsupported, "%s has the field %d, which this version does not know: use a newer server, or speak the protocol version of welcome", where, number).With("field", where)
}

const (
	varint   = protowire.VarintType
	lengthed = protowire.BytesType
)

// decodeFrame takes a frame apart. An error ends the attachment.
func decodeFrame(b []byte) (*frame, error) {
	f := &frame{}
	err := fields(b, func(number protowire.Number, typ protowire.Type, value uint64, body []byte) error {
		switch {
		case number == 1 && typ == lengthed:
			f.hello = body
		case number == 2 && typ == lengthed:
			if len(f.results) == mostResults {
				return errs.New(errs.TooLarge, "a frame has at most %d results; send several frames", mostResults)
			}
			r, err := decodeResult(body)
			if err != nil {
				return err
			}
			f.results = append(f.results, r)
		case number == 3 && typ == varint:
			f.credit = int(min(value, math.MaxInt32))
		case number == 4 && typ == lengthed:
			return takeReason(body, &f.drain)
		case number == 5 && typ == lengthed:
			return takeReason(body, &f.goodbye)
		default:
			return unknown("frame", number)
		}
		return nil
	})
	return f, err
}

func takeReason(b []byte, to **string) error {
	reason := ""
	*to = &reason
	return fields(b, func(number protowire.Number, typ protowire.Type, _ uint64, body []byte) error {
		if number == 1 && typ == lengthed {
			reason = fmt.Sprintf("%.200s", body)
		}
		return nil
	})
}

// decoded is a result with one decision of one event, in one piece of memory.
type decoded struct {
	result   entity.Result
	decision [1]entity.Decision
	event    [1][]byte
}

func decodeResult(b []byte) (*entity.Result, error) {
	d := &decoded{}
	r := &d.result
	r.Decisions = d.decision[:0]
	err := fields(b, func(number protowire.Number, typ protowire.Type, value uint64, body []byte) (err error) {
		switch {
		case number == 1 && typ == varint:
			r.TaskID = value
		case number == 2 && typ == lengthed:
			if len(r.Decisions) == mostResults {
				return errs.New(errs.TooLarge, "a result has at most %d decisions", mostResults)
			}
			var room [][]byte
			if len(r.Decisions) == 0 {
				room = d.event[:0]
			}
			r.Decisions = append(r.Decisions, entity.Decision{Events: room})
			return decodeDecision(body, &r.Decisions[len(r.Decisions)-1])
		case number == 3 && typ == varint:
			r.Kept = value != 0
		case number == 4 && typ == varint:
			r.Revision = value
		case number == 5 && typ == lengthed:
			r.State, err = decodeState(body)
		case number == 6 && typ == varint:
			r.Missing = value != 0
		case number == 7 && typ == lengthed:
			r.Failed = true
			r.Failure, err = decodeFailure(body)
		default:
			return unknown("result", number)
		}
		return err
	})
	return r, err
}

func decodeDecision(b []byte, d *entity.Decision) error {
	return fields(b, func(number protowire.Number, typ protowire.Type, _ uint64, body []byte) (err error) {
		if d.Verdict != 0 || typ != lengthed {
			return errs.New(errs.Invalid, "a decision has several outcomes, or none that is known").With("field", "decision")
		}
		switch number {
		case 1:
			d.Verdict = entity.Accepted
			return decodeAcceptance(body, d)
		case 2:
			d.Verdict = entity.Rejected
			return decodeRejection(body, d)
		case 3:
			d.Verdict = entity.Later
			return decodeRetry(body, d)
		case 4:
			d.Verdict = entity.Failed
			d.Message, err = decodeFailure(body)
			return err
		}
		return unknown("decision", number)
	})
}

func decodeAcceptance(b []byte, d *entity.Decision) error {
	return fields(b, func(number protowire.Number, typ protowire.Type, value uint64, body []byte) (err error) {
		switch {
		case number == 1 && typ == lengthed:
			d.Events = append(d.Events, bytes.Clone(body))
		case number == 2 && typ == lengthed:
			d.Reply, err = decodePayload(body)
		case number == 3 && typ == lengthed:
			d.State, err = decodeState(body)
		case number == 4 && typ == varint:
			d.Delete = value != 0
		case number == 5 && typ == lengthed:
			d.Actions++
		default:
			return unknown("acceptance", number)
		}
		return err
	})
}

func decodeRejection(b []byte, d *entity.Decision) error {
	const mostDetails, longest = 64, 16 << 10
	size := 0
	return fields(b, func(number protowire.Number, typ protowire.Type, _ uint64, body []byte) error {
		switch {
		case number == 1 && typ == lengthed:
			d.Code = fmt.Sprintf("%.256s", body)
		case number == 2 && typ == lengthed:
			d.Message = string(body)
		case number == 3 && typ == lengthed:
			var name, v string
			if err := fields(body, func(number protowire.Number, typ protowire.Type, _ uint64, body []byte) error {
				if number == 1 && typ == lengthed {
					name = string(body)
				} else if number == 2 && typ == lengthed {
					v = string(body)
				}
				return nil
			}); err != nil {
				return err
			}
			if size += len(name) + len(v); len(d.Details) == mostDetails || size > longest {
				return nil // a rejection that says too much is still one
			}
			if d.Details == nil {
				d.Details = map[string]string{}
			}
			d.Details[name] = v
		default:
			return unknown("rejection", number)
		}
		return nil
	})
}

func decodeRetry(b []byte, d *entity.Decision) error {
	return fields(b, func(number protowire.Number, typ protowire.Type, _ uint64, body []byte) error {
		if number == 1 && typ == lengthed {
			return fields(body, func(number protowire.Number, typ protowire.Type, value uint64, _ []byte) error {
				if number == 1 && typ == varint {
					d.After += time.Duration(min(value, 3600)) * time.Second
				} else if number == 2 && typ == varint {
					d.After += time.Duration(min(value, uint64(time.Second)))
				}
				return nil
			})
		}
		if number == 2 && typ == lengthed {
			d.Message = string(body)
		}
		return nil
	})
}

func decodeFailure(b []byte) (message string, err error) {
	err = fields(b, func(number protowire.Number, typ protowire.Type, _ uint64, body []byte) error {
		if number == 1 && typ == lengthed {
			message = fmt.Sprintf("%.1000s", body)
		}
		return nil
	})
	return message, err
}

func decodePayload(b []byte) (*event.Payload, error) {
	p := &event.Payload{}
	return p, fields(b, func(number protowire.Number, typ protowire.Type, _ uint64, body []byte) error {
		switch {
		case number == 1 && typ == lengthed:
			p.ContentType = known(body)
		case number == 2 && typ == lengthed:
			p.Type = string(body)
		case number == 3 && typ == lengthed:
			p.Data = bytes.Clone(body)
		default:
			return unknown("payload", number)
		}
		return nil
	})
}

func decodeState(b []byte) (*event.State, error) {
	s := &event.State{}
	return s, fields(b, func(number protowire.Number, typ protowire.Type, value uint64, body []byte) error {
		switch {
		case number == 1 && typ == lengthed:
			s.Type = string(body)
		case number == 2 && typ == varint:
			s.Version = uint32(value)
		case number == 3 && typ == lengthed:
			s.ContentType = known(body)
		case number == 4 && typ == lengthed:
			s.Data = bytes.Clone(body)
		case number == 5 && typ == varint: // the server knows
		default:
			return unknown("state", number)
		}
		return nil
	})
}

// known spares an allocation for what nearly everybody says.
func known(b []byte) string {
	switch string(b) {
	case "application/json":
		return "application/json"
	case "application/protobuf":
		return "application/protobuf"
	}
	return string(b)
}
