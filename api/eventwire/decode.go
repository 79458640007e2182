package eventwire

import (
	"bytes"
	"encoding/binary"
	"time"
	"unicode/utf8"
	"unsafe"
)

// DecodeEvent sets e to the event that b encodes. It copies b once: e's strings and Data share that copy, so that keeping one
// of them keeps the whole event, and nothing of e changes when b does. Metadata and Tags are nil when there are none.
// The error wraps ErrMalformed; e is then without meaning.
func DecodeEvent(b []byte, e *Event) error { return AliasEvent(bytes.Clone(b), e) }

// DecodeRecorded sets r to the recorded event that b encodes; it copies as DecodeEvent does. One allocation for an event
// without metadata and tags.
func DecodeRecorded(b []byte, r *Recorded) error { return AliasRecorded(bytes.Clone(b), r) }

// AliasEvent is DecodeEvent without the copy: e's strings and Data are parts of b, so b must never change again.
func AliasEvent(b []byte, e *Event) error {
	*e = Event{}
	return mergeEvent(b, 0, len(b), e)
}

// AliasRecorded is DecodeRecorded without the copy: r's strings and Data are parts of b, so b must never change again. It
// does not allocate for an event without metadata and tags.
func AliasRecorded(b []byte, r *Recorded) error {
	*r = Recorded{RecordedTime: time.Unix(0, 0).UTC()}
	for i := 0; i < len(b); {
		at := i
		tag, next := varint(b, i)
		if next < 0 {
			return malformed("a field's tag", at)
		}
		if i = mergeRecorded(b, next, tag, r); i < 0 {
			return malformed("a field of a recorded event", at)
		}
	}
	return nil
}

// mergeRecorded reads the value at b[i:] of the field that tag names; -1 when it is malformed.
func mergeRecorded(b []byte, i int, tag uint64, r *Recorded) (next int) {
	switch tag {
	case tagEvent:
		from, to := span(b, i)
		if to < 0 || mergeEvent(b, from, to, &r.Event) != nil {
			return -1
		}
		return to
	case tagOffset:
		r.Offset, next = varint(b, i)
	case tagRevision:
		r.Revision, next = varint(b, i)
	case tagTopic:
		r.Topic, next = text(b, i)
	case tagKey:
		r.Key, next = text(b, i)
	case tagRecorded:
		if len(b)-i < 8 {
			return -1
		}
		r.RecordedTime = time.Unix(0, int64(binary.LittleEndian.Uint64(b[i:]))).UTC()
		return i + 8
	default:
		return skip(b, i, tag)
	}
	return next
}

// mergeEvent adds the fields in b[i:end] to e: a field that comes twice counts the last time, as protobuf says.
func mergeEvent(b []byte, i, end int, e *Event) error {
	b = b[:end]
	for i < end {
		at := i
		tag, next := varint(b, i)
		if next < 0 {
			return malformed("a field's tag", at)
		}
		if i = mergeField(b, next, tag, e); i < 0 {
			return malformed("a field of an event", at)
		}
	}
	return nil
}

// mergeField reads the value at b[i:] of the field that tag names; -1 when it is malformed.
func mergeField(b []byte, i int, tag uint64, e *Event) (next int) {
	switch tag {
	case tagID:
		e.ID, next = text(b, i)
	case tagType:
		e.Type, next = text(b, i)
	case tagSchemaVersion:
		var v uint64
		v, next = varint(b, i)
		e.SchemaVersion = uint32(v)
	case tagContentType:
		e.ContentType, next = text(b, i)
	case tagData:
		from, to := span(b, i)
		if to >= 0 {
			e.Data = b[from:to:to]
		}
		return to
	case tagTime:
		return mergeTime(b, i, &e.Time)
	case tagSource:
		e.Source, next = text(b, i)
	case tagMetadata:
		return mergeMetadata(b, i, e)
	case tagTag:
		var t string
		if t, next = text(b, i); next >= 0 {
			e.Tags = append(e.Tags, t)
		}
	default:
		return skip(b, i, tag)
	}
	return next
}

// text reads a string that is part of b.
func text(b []byte, i int) (s string, next int) {
	from, to := span(b, i)
	if to <= from {
		return "", to
	}
	if !utf8.Valid(b[from:to]) {
		return "", -1
	}
	// The caller owns b and has promised that these bytes never change: DecodeEvent's own copy, or AliasEvent's caller. The
	// spans of the strings and of Data never overlap, so writing to Data changes no string.
	return unsafe.String(&b[from], to-from), to
}

// mergeTime reads a google.protobuf.Timestamp.
func mergeTime(b []byte, i int, t *time.Time) (next int) {
	i, end := span(b, i)
	if end < 0 {
		return -1
	}
	var seconds int64
	var nanos int32
	if !t.IsZero() {
		seconds, nanos = t.Unix(), int32(t.Nanosecond())
	}
	b = b[:end]
	for i < end {
		tag, next := varint(b, i)
		if next < 0 {
			return -1
		}
		var v uint64
		switch tag {
		case tagSeconds:
			v, i = varint(b, next)
			seconds = int64(v)
		case tagNanos:
			v, i = varint(b, next)
			nanos = int32(uint32(v))
		default:
			i = skip(b, next, tag)
		}
		if i < 0 {
			return -1
		}
	}
	*t = time.Unix(seconds, int64(nanos)).UTC()
	return end
}

// mergeMetadata reads one entry of the metadata map.
func mergeMetadata(b []byte, i int, e *Event) (next int) {
	i, end := span(b, i)
	if end < 0 {
		return -1
	}
	var name, value string
	b = b[:end]
	for i < end {
		tag, next := varint(b, i)
		if next < 0 {
			return -1
		}
		switch tag {
		case tagName:
			name, i = text(b, next)
		case tagValue:
			value, i = text(b, next)
		default:
			i = skip(b, next, tag)
		}
		if i < 0 {
			return -1
		}
	}
	if e.Metadata == nil {
		e.Metadata = make(map[string]string, 4)
	}
	e.Metadata[name] = value
	return end
}
