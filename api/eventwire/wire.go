package eventwire

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// varint reads the varint at b[i:]; next is where it ends, or -1 when it is cut off or too long.
func varint(b []byte, i int) (v uint64, next int) {
	if i < len(b) && b[i] < 0x80 {
		return uint64(b[i]), i + 1
	}
	return longVarint(b, i)
}

func longVarint(b []byte, i int) (uint64, int) {
	v, n := binary.Uvarint(b[min(i, len(b)):])
	if n <= 0 {
		return 0, -1
	}
	return v, i + n
}

// span reads the length at b[i:] and gives the bounds of the bytes that follow it; to is -1 when they are cut off.
func span(b []byte, i int) (from, to int) {
	if i < len(b) && b[i] < 0x80 {
		if to = i + 1 + int(b[i]); to > len(b) {
			return 0, -1
		}
		return i + 1, to
	}
	n, from := longVarint(b, i)
	if from < 0 || n > uint64(len(b)-from) {
		return 0, -1
	}
	return from, from + int(n)
}

// skip passes over the value of an unknown field, or of a known one with another wire type, as the generated code does.
func skip(b []byte, i int, tag uint64) (next int) {
	if number := tag >> 3; number < uint64(protowire.MinValidNumber) || number > uint64(protowire.MaxValidNumber) || i > len(b) {
		return -1
	}
	n := protowire.ConsumeFieldValue(protowire.Number(tag>>3), protowire.Type(tag&7), b[i:])
	if n < 0 {
		return -1
	}
	return i + n
}

func malformed(what string, at int) error {
	return fmt.Errorf("%w: %s at byte %d", ErrMalformed, what, at)
}
