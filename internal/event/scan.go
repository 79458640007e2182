package event

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of a message on the wire.
type field struct {
	number protowire.Number
	typ    protowire.Type
	value  uint64 // of a varint
	bytes  []byte // of a length-delimited field
}

// is tells whether the field has this number and wire type.
func (f *field) is(number protowire.Number, typ protowire.Type) bool {
	return f.number == number && f.typ == typ
}

// next reads the field that b begins with and gives what follows it; ok is false when it is malformed.
func (f *field) next(b []byte) (rest []byte, ok bool) {
	if len(b) > 1 && b[0] >= 1<<3 && b[0] < 0x80 && b[0]&7 == uint8(protowire.BytesType) { // most fields: a tag of one byte, a text
		f.number, f.typ = protowire.Number(b[0]>>3), protowire.BytesType
		if n := int(b[1]); n < 0x80 && n <= len(b)-2 {
			f.bytes = b[2 : 2+n]
			return b[2+n:], true
		}
		b = b[1:]
	} else {
		var n int
		if f.number, f.typ, n = protowire.ConsumeTag(b); n < 0 || f.number > protowire.MaxValidNumber {
			return nil, false
		}
		b = b[n:]
	}
	return f.take(b)
}

// take reads the value behind the tag.
func (f *field) take(b []byte) (rest []byte, ok bool) {
	var n int
	switch f.typ {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(f.number, f.typ, b)
	}
	if n < 0 {
		return nil, false
	}
	return b[n:], true
}

// parts are an event's fields where they lie in the request.
type parts struct {
	id, typ, contentType, data, source []byte
	schemaVersion                      uint64
	timed                              bool
	seconds, nanos                     int64
	metadata                           []pair
	tags                               [][]byte
}

type pair struct{ name, value []byte }

// scan reads an event's fields; a field that comes twice counts the last time, as protobuf says. The problem it gives is in
// the field it names.
func (p *parts) scan(b []byte) (name string, bad *problem) {
	var f field
	for len(b) > 0 {
		rest, ok := f.next(b)
		if !ok {
			return "", malformedField()
		}
		if name, bad = p.take(&f); bad != nil {
			return name, bad
		}
		b = rest
	}
	return "", nil
}

func (p *parts) take(f *field) (name string, bad *problem) {
	switch {
	case f.is(1, protowire.BytesType):
		p.id = f.bytes
	case f.is(2, protowire.BytesType):
		p.typ = f.bytes
	case f.is(3, protowire.VarintType):
		p.schemaVersion = f.value
	case f.is(4, protowire.BytesType):
		p.contentType = f.bytes
	case f.is(5, protowire.BytesType):
		p.data = f.bytes
	case f.is(6, protowire.BytesType):
		return "time", p.takeTime(f.bytes)
	case f.is(7, protowire.BytesType):
		p.source = f.bytes
	case f.is(8, protowire.BytesType):
		return "metadata", p.takePair(f.bytes)
	case f.is(9, protowire.BytesType):
		p.tags = append(p.tags, f.bytes)
	default:
		return "", unknownField(f)
	}
	return "", nil
}

func (p *parts) takeTime(b []byte) *problem {
	p.timed = true
	var f field
	for len(b) > 0 {
		rest, ok := f.next(b)
		switch {
		case !ok:
			return malformedField()
		case f.is(1, protowire.VarintType):
			p.seconds = int64(f.value)
		case f.is(2, protowire.VarintType):
			p.nanos = int64(f.value)
		default:
			return unknownField(&f)
		}
		b = rest
	}
	return nil
}

func (p *parts) takePair(b []byte) *problem {
	var f field
	var entry pair
	for len(b) > 0 {
		rest, ok := f.next(b)
		switch {
		case !ok:
			return malformedField()
		case f.is(1, protowire.BytesType):
			entry.name = f.bytes
		case f.is(2, protowire.BytesType):
			entry.value = f.bytes
		default:
			return unknownField(&f)
		}
		b = rest
	}
	p.metadata = append(p.metadata, entry)
	return nil
}

func malformedField() *problem { return invalid("is not valid protobuf") }
