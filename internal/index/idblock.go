package index

import (
	"encoding/binary"
	"math/bits"
)

const (
	// idsPerKey is about how many ids share a key, the bucket of their highest bits.
	idsPerKey = 96
	// printBytes is how much of the hash after the bucket's bits is kept: with them, at least 36 bits tell ids apart, 43 in a
	// segment of usual size.
	printBytes = 4
	// minBucketBits makes the known part of a hash as long as the id window's.
	minBucketBits = windowBits + 24 - 8*printBytes
)

// bucketBits is how many of the hash's highest bits name the bucket when there are n ids; at least as many as the id window needs
// beside the print.
func bucketBits(n int) uint8 { return uint8(min(max(bits.Len(uint(n/idsPerKey)), minBucketBits), 16)) }

// widthOf is how many bytes hold any number up to most.
func widthOf(most uint64) uint8 { return uint8(max(1, (bits.Len64(most)+7)/8)) }

func bucketOf(hash uint64, bucketBits uint8) uint16 { return uint16(hash >> (64 - bucketBits)) }

func printOf(hash uint64, bucketBits uint8) uint32 { return uint32(hash << bucketBits >> 32) }

func appendID(dst []byte, e keyed, base uint64, bits, width uint8) []byte {
	dst = binary.BigEndian.AppendUint32(dst, printOf(e.key, bits))
	var offset [8]byte
	binary.LittleEndian.PutUint64(offset[:], e.value-base)
	return append(dst, offset[:width]...)
}

// readIDs calls f with the print and the offset of each id of a bucket, in the order of the prints.
func readIDs(value []byte, base uint64, width uint8, f func(print uint32, offset uint64)) error {
	step := printBytes + int(width)
	if len(value)%step != 0 {
		return errShort
	}
	for ; len(value) > 0; value = value[step:] {
		f(binary.BigEndian.Uint32(value), base+idOffset(value, width))
	}
	return nil
}

func idOffset(entry []byte, width uint8) uint64 {
	var offset [8]byte
	copy(offset[:], entry[printBytes:printBytes+int(width)])
	return binary.LittleEndian.Uint64(offset[:])
}

// findIDs appends the offsets of a bucket's ids with this print.
func findIDs(dst []uint64, value []byte, base uint64, width uint8, print uint32) ([]uint64, error) {
	step := printBytes + int(width)
	if len(value)%step != 0 {
		return dst, errShort
	}
	for ; len(value) > 0; value = value[step:] {
		if p := binary.BigEndian.Uint32(value); p == print {
			dst = append(dst, base+idOffset(value, width))
		} else if p > print {
			break
		}
	}
	return dst, nil
}
