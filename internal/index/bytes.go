package index

import (
	"encoding/binary"
	"errors"
	"math/bits"
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

// appendColumn encodes numbers as the least of them and what each is above it, all in the same width (1 byte for the width, 0 when
// all are equal), so that they are read without branches.
func appendColumn(dst []byte, values []uint64) []byte {
	least, most := ^uint64(0), uint64(0)
	for _, v := range values {
		least, most = min(least, v), max(most, v)
	}
	width := 0
	if most > least {
		width = (bits.Len64(most-least) + 7) / 8
	}
	dst = binary.AppendUvarint(append(dst, byte(width)), least)
	for _, v := range values {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], v-least)
		dst = append(dst, b[:width]...)
	}
	return dst
}

// column decodes as many numbers as dst has room for.
func (in *input) column(dst []uint64) {
	width, least := uint64(in.byte()), in.uvarint()
	b := in.bytes(width * uint64(len(dst)))
	if in.bad || width > 8 {
		in.fail()
		return
	}
	switch width {
	case 0:
		for i := range dst {
			dst[i] = least
		}
	case 1:
		for i, v := range b {
			dst[i] = least + uint64(v)
		}
	case 2:
		for i := range dst {
			dst[i] = least + uint64(binary.LittleEndian.Uint16(b[2*i:]))
		}
	default:
		for i := range dst {
			var v [8]byte
			copy(v[:], b[uint64(i)*width:uint64(i+1)*width])
			dst[i] = least + binary.LittleEndian.Uint64(v[:])
		}
	}
}
