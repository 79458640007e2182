package index

import (
	"bytes"
	"encoding/binary"
)

const (
	// blockBytes is about how long a block of streams grows: a look-up reads half of one on average.
	blockBytes = 768
	// maxInline is how many postings of a stream stand in its block; more go to keys of their own.
	maxInline = 64
	// postingsPerKey is how many postings of a long stream share a key.
	postingsPerKey = 512
)

// Flags in the low bits of a stream's count.
const (
	flagExternal = 1
	flagGaps     = 2
	flagBits     = 2
)

// streamEntry is what a segment knows of a stream.
type streamEntry struct {
	count        uint64
	gaps         bool // revisions are not contiguous here
	external     bool // postings have keys of their own, under number
	lastRevision uint64
	lastOffset   uint64 // after the segment's first offset
	number       uint32
	inline       []byte // postings before the last one, newest first
}

// blockWriter puts streams, in the order of their keys, into a block.
type blockWriter struct {
	buf  []byte
	last []byte
}

func (w *blockWriter) reset() { w.buf, w.last = w.buf[:0], w.last[:0] }

func (w *blockWriter) add(key []byte, e *streamEntry) {
	shared := commonPrefix(w.last, key)
	w.buf = binary.AppendUvarint(w.buf, uint64(shared))
	w.buf = binary.AppendUvarint(w.buf, uint64(len(key)-shared))
	w.buf = append(w.buf, key[shared:]...)
	w.last = append(w.last[:0], key...)
	tag := e.count << flagBits
	if e.external {
		tag |= flagExternal
	}
	if e.gaps {
		tag |= flagGaps
	}
	w.buf = binary.AppendUvarint(w.buf, tag)
	w.buf = binary.AppendUvarint(w.buf, e.lastRevision)
	w.buf = binary.AppendUvarint(w.buf, e.lastOffset)
	switch {
	case e.external:
		w.buf = binary.AppendUvarint(w.buf, uint64(e.number))
	case e.count > 1:
		w.buf = binary.AppendUvarint(w.buf, uint64(len(e.inline)))
		w.buf = append(w.buf, e.inline...)
	}
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// blockReader walks a block. key and entry are valid until the next call.
type blockReader struct {
	in    input
	key   []byte
	entry streamEntry
}

func (r *blockReader) reset(block []byte) { r.in, r.key = input{b: block}, r.key[:0] }

func (r *blockReader) next() bool {
	if len(r.in.b) == 0 {
		return false
	}
	shared := r.in.uvarint()
	suffix := r.in.bytes(r.in.uvarint())
	if shared > uint64(len(r.key)) {
		r.in.fail()
		return false
	}
	r.key = append(r.key[:shared], suffix...)
	tag := r.in.uvarint()
	r.entry = streamEntry{count: tag >> flagBits, external: tag&flagExternal != 0, gaps: tag&flagGaps != 0}
	r.entry.lastRevision = r.in.uvarint()
	r.entry.lastOffset = r.in.uvarint()
	switch {
	case r.entry.external:
		r.entry.number = uint32(r.in.uvarint())
	case r.entry.count > 1:
		r.entry.inline = r.in.bytes(r.in.uvarint())
	}
	return !r.in.bad
}

// find walks to a key. The block is the one that would hold it.
func (r *blockReader) find(key []byte) bool {
	for r.next() {
		if c := bytes.Compare(r.key, key); c >= 0 {
			return c == 0
		}
	}
	return false
}

// spot is a posting within a segment; its offset counts from the segment's first.
type spot struct{ offset, revision uint64 }

// appendInline encodes what precedes the last of a stream's spots (given oldest first), newest first.
func appendInline(dst []byte, spots []spot, gaps bool) []byte {
	for i := len(spots) - 2; i >= 0; i-- {
		dst = binary.AppendUvarint(dst, spots[i+1].offset-spots[i].offset)
		if gaps {
			dst = binary.AppendUvarint(dst, spots[i+1].revision-spots[i].revision)
		}
	}
	return dst
}

// spots appends an entry's inline postings, newest first.
func (e *streamEntry) spots(dst []spot) ([]spot, error) {
	in := input{b: e.inline}
	at := spot{offset: e.lastOffset, revision: e.lastRevision}
	dst = append(dst, at)
	for range e.count - 1 {
		at.offset -= in.uvarint()
		if e.gaps {
			at.revision -= in.uvarint()
		} else {
			at.revision--
		}
		dst = append(dst, at)
		if in.bad {
			break
		}
	}
	return dst, in.err()
}

// appendPostings encodes some of a long stream's spots, oldest first; the first one's revision stands in the key.
func appendPostings(dst []byte, spots []spot, gaps bool) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(spots)))
	dst = binary.AppendUvarint(dst, spots[0].offset)
	for i := 1; i < len(spots); i++ {
		dst = binary.AppendUvarint(dst, spots[i].offset-spots[i-1].offset)
		if gaps {
			dst = binary.AppendUvarint(dst, spots[i].revision-spots[i-1].revision)
		}
	}
	return dst
}

func readPostings(dst []spot, value []byte, first uint64, gaps bool) ([]spot, error) {
	in := input{b: value}
	n := in.uvarint()
	at := spot{revision: first, offset: in.uvarint()}
	for i := range n {
		if i > 0 {
			at.offset += in.uvarint()
			at.revision++
			if gaps {
				at.revision += in.uvarint() - 1
			}
		}
		if in.bad {
			break
		}
		dst = append(dst, at)
	}
	return dst, in.err()
}
