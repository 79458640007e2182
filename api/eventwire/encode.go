package eventwire

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"time"
)

// AppendEvent appends the canonical encoding of e to dst. It allocates only to grow dst, or for more than 64 metadata entries.
func AppendEvent(dst []byte, e *Event) []byte {
	dst = appendString(dst, tagID, e.ID)
	dst = appendString(dst, tagType, e.Type)
	if e.SchemaVersion != 0 {
		dst = binary.AppendUvarint(append(dst, tagSchemaVersion), uint64(e.SchemaVersion))
	}
	dst = appendString(dst, tagContentType, e.ContentType)
	if len(e.Data) > 0 {
		dst = binary.AppendUvarint(append(dst, tagData), uint64(len(e.Data)))
		dst = append(dst, e.Data...)
	}
	if !e.Time.IsZero() {
		dst = appendTime(dst, e.Time)
	}
	dst = appendString(dst, tagSource, e.Source)
	if len(e.Metadata) > 0 {
		dst = appendMetadata(dst, e.Metadata)
	}
	for _, tag := range e.Tags {
		dst = append(binary.AppendUvarint(append(dst, tagTag), uint64(len(tag))), tag...)
	}
	return dst
}

// SizeEvent gives the length of e's canonical encoding in bytes.
func SizeEvent(e *Event) int {
	n := sizeString(e.ID) + sizeString(e.Type) + sizeString(e.ContentType) + sizeString(e.Source)
	if e.SchemaVersion != 0 {
		n += 1 + sizeVarint(uint64(e.SchemaVersion))
	}
	if len(e.Data) > 0 {
		n += 1 + sizeSpan(len(e.Data))
	}
	if !e.Time.IsZero() {
		n += 1 + sizeSpan(sizeTime(e.Time))
	}
	for name, value := range e.Metadata {
		n += 1 + sizeSpan(2+sizeSpan(len(name))+sizeSpan(len(value)))
	}
	for _, tag := range e.Tags {
		n += 1 + sizeSpan(len(tag))
	}
	return n
}

// AppendRecorded appends the canonical encoding of a recorded event to dst. The event is given as its canonical encoding and
// copied as it is; recorded is in nanoseconds since 1970 UTC. It allocates only to grow dst; SizeRecorded tells by how much.
func AppendRecorded(dst, event []byte, offset, revision uint64, topic, key []byte, recorded int64) []byte {
	dst = binary.AppendUvarint(append(dst, tagEvent), uint64(len(event)))
	dst = append(dst, event...)
	if offset != 0 {
		dst = binary.AppendUvarint(append(dst, tagOffset), offset)
	}
	if revision != 0 {
		dst = binary.AppendUvarint(append(dst, tagRevision), revision)
	}
	if len(topic) > 0 {
		dst = append(binary.AppendUvarint(append(dst, tagTopic), uint64(len(topic))), topic...)
	}
	if len(key) > 0 {
		dst = append(binary.AppendUvarint(append(dst, tagKey), uint64(len(key))), key...)
	}
	if recorded != 0 {
		dst = binary.LittleEndian.AppendUint64(append(dst, tagRecorded), uint64(recorded))
	}
	return dst
}

// SizeRecorded gives the length of what AppendRecorded writes, in bytes, from the lengths of the event, topic and key.
func SizeRecorded(event int, offset, revision uint64, topic, key int, recorded int64) int {
	n := 1 + sizeSpan(event)
	if offset != 0 {
		n += 1 + sizeVarint(offset)
	}
	if revision != 0 {
		n += 1 + sizeVarint(revision)
	}
	if topic > 0 {
		n += 1 + sizeSpan(topic)
	}
	if key > 0 {
		n += 1 + sizeSpan(key)
	}
	if recorded != 0 {
		n += 1 + 8
	}
	return n
}

func appendString(dst []byte, tag byte, s string) []byte {
	if s == "" {
		return dst
	}
	return append(binary.AppendUvarint(append(dst, tag), uint64(len(s))), s...)
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, tagTime, byte(sizeTime(t))) // at most 17: the length is one byte
	if s := t.Unix(); s != 0 {
		dst = binary.AppendUvarint(append(dst, tagSeconds), uint64(s))
	}
	if n := t.Nanosecond(); n != 0 {
		dst = binary.AppendUvarint(append(dst, tagNanos), uint64(n))
	}
	return dst
}

func appendMetadata(dst []byte, metadata map[string]string) []byte {
	var room [64]string // on the stack: the default limit on entries
	names := room[:0]
	for name := range metadata {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := metadata[name]
		dst = binary.AppendUvarint(append(dst, tagMetadata), uint64(2+sizeSpan(len(name))+sizeSpan(len(value))))
		dst = append(binary.AppendUvarint(append(dst, tagName), uint64(len(name))), name...)
		dst = append(binary.AppendUvarint(append(dst, tagValue), uint64(len(value))), value...)
	}
	return dst
}

func sizeTime(t time.Time) (n int) {
	if s := t.Unix(); s != 0 {
		n += 1 + sizeVarint(uint64(s))
	}
	if nanos := t.Nanosecond(); nanos != 0 {
		n += 1 + sizeVarint(uint64(nanos))
	}
	return n
}

func sizeString(s string) int {
	if s == "" {
		return 0
	}
	return 1 + sizeSpan(len(s))
}

// sizeSpan is n bytes with their length before them.
func sizeSpan(n int) int { return sizeVarint(uint64(n)) + n }

func sizeVarint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }
