package index

import (
	"encoding/binary"
	"errors"
)

// errShort is a value that ends early or holds an impossible number. Values are under Pebble's checksums, so this is a bug or
// damage that no checksum saw; either way the index is to be built again.
var errShort = errors.New("a value of the index does not parse")

// input reads the parts of a value; after the first failure all reads give zero.
type input struct {
	b   []byte
	bad bool
}

func (in *input) uvarint() uint64 {
	if len(in.b) > 0 && in.b[0] < 0x80 {
		v := in.b[0]
		in.b = in.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(in.b)
	if n <= 0 {
		in.fail()
		return 0
	}
	in.b = in.b[n:]
	return v
}

func (in *input) bytes(n uint64) []byte {
	if n > uint64(len(in.b)) {
		in.fail()
		return nil
	}
	b := in.b[:n:n]
	in.b = in.b[n:]
	return b
}

func (in *input) byte() byte {
	if b := in.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (in *input) uint64() uint64 {
	if b := in.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (in *input) fail() { in.bad, in.b = true, nil }

func (in *input) err() error {
	if in.bad {
		return errShort
	}
	return nil
}

// Columns of numbers: one byte says whether all are equal (one number follows) or each follows.
const (
	columnEqual = 0
	columnEach  = 1
)

func appendColumn(dst []byte, values []uint64) []byte {
	for _, v := range values {
		if v != values[0] {
			dst = append(dst, columnEach)
			for _, v := range values {
				dst = binary.AppendUvarint(dst, v)
			}
			return dst
		}
	}
	dst = append(dst, columnEqual)
	if len(values) > 0 {
		dst = binary.AppendUvarint(dst, values[0])
	}
	return dst
}

func (in *input) column(dst []uint64) {
	if len(dst) == 0 {
		in.byte()
		return
	}
	if in.byte() == columnEqual {
		v := in.uvarint()
		for i := range dst {
			dst[i] = v
		}
		return
	}
	for i := range dst {
		dst[i] = in.uvarint()
	}
}
