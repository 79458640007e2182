package seglog

import (
	"hash/crc32"
)

// Version is the newest version of the segment format that this package reads and writes.
const Version = 1

const (
	pageBytes    = 4096 // the segment's header page; files grow by whole pages
	sectorBytes  = 512  // a header and a seal each lie in one sector, so that a disk writes them whole or not
	sealOffset   = sectorBytes
	sealBytes    = 64
	segmentMagic = "GESTASEG"
	sealMagic    = "GESTAFIN"
)

// header is what a segment file begins with. It is written before the file gets its name, and never again.
type header struct {
	version      uint32
	shard        uint64
	first        uint64 // index of the first entry
	salt         uint64 // random; without it no bytes pass for a batch header
	segmentBytes int64
	maxBatch     uint32 // entries in a batch at most
	generation   uint64
	size         int64  // of the file when it got its name
	sure         int64  // end of what was durable when it got its name: damage before it is never a torn write
	prevFirst    uint64 // first index of the segment before; 0: none
	prevEnd      int64  // where its batches end
	prevTerm     uint64 // term of the entry before first
	kept         uint64 // first index kept by the log when the file was made
	doubt        uint64 // highest index that a cut batch may have held and the log did not hold when the file was made
}

func (h *header) encode() []byte {
	b := make([]byte, sectorBytes)
	copy(b, segmentMagic)
	le.PutUint32(b[8:], Version)
	for i, v := range []uint64{
		h.shard, h.first, h.salt, uint64(h.segmentBytes), uint64(h.maxBatch), h.generation, uint64(h.size), uint64(h.sure),
		h.prevFirst, uint64(h.prevEnd), h.prevTerm, h.kept, h.doubt,
	} {
		le.PutUint64(b[16+8*i:], v)
	}
	le.PutUint32(b[12:], headerSum(b))
	return b
}

// headerSum stays where it is in every version, so that a damaged version number is not taken for a newer format.
func headerSum(b []byte) uint32 {
	sum := crc32.Update(0x67657374, castagnoli, b[:12])
	return crc32.Update(sum, castagnoli, b[16:sectorBytes])
}

// decodeHeader tells whether b is a whole header; one of a newer version is whole, but only its version is known.
func decodeHeader(b []byte) (h header, ok bool) {
	if len(b) < sectorBytes || string(b[:8]) != segmentMagic || le.Uint32(b[12:]) != headerSum(b[:sectorBytes]) {
		return h, false
	}
	h.version = le.Uint32(b[8:])
	if h.version != Version {
		return h, h.version > Version
	}
	v := func(i int) uint64 { return le.Uint64(b[16+8*i:]) }
	h = header{
		version: h.version, shard: v(0), first: v(1), salt: v(2), segmentBytes: int64(v(3)), maxBatch: uint32(v(4)),
		generation: v(5), size: int64(v(6)), sure: int64(v(7)), prevFirst: v(8), prevEnd: int64(v(9)), prevTerm: v(10),
		kept: v(11), doubt: v(12),
	}
	return h, isZero(b[16+8*13 : sectorBytes])
}

// seal is the stamp that makes a segment sealed: it is written when the footer is durable and the file ends after it.
type seal struct {
	footer int64 // where the footer begins, which is where the batches end
	size   int64 // of the file
	sum    uint32
}

func (s seal) encode(h *header) []byte {
	b := make([]byte, sealBytes)
	copy(b, sealMagic)
	le.PutUint64(b[16:], uint64(s.footer))
	le.PutUint64(b[24:], uint64(s.size))
	le.PutUint32(b[32:], s.sum)
	le.PutUint32(b[12:], sealSum(b, h))
	return b
}

func sealSum(b []byte, h *header) uint32 {
	sum := crc32.Update(uint32(mix(mix(h.shard, h.first), h.salt)), castagnoli, b[:12])
	return crc32.Update(sum, castagnoli, b[16:sealBytes])
}

// decodeSeal takes the seal's place in the header page: none (all zero), a seal, or damage.
func decodeSeal(b []byte, h *header) (s seal, sealed, ok bool) {
	if isZero(b) {
		return s, false, true
	}
	if string(b[:8]) != sealMagic || le.Uint32(b[12:]) != sealSum(b, h) {
		return s, false, false
	}
	s = seal{footer: int64(le.Uint64(b[16:])), size: int64(le.Uint64(b[24:])), sum: le.Uint32(b[32:])}
	return s, true, s.footer >= pageBytes && s.size > s.footer
}
