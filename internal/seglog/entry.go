package seglog

import (
	"bytes"
	"hash/crc32"

	"github.com/gesta-db/gesta/internal/errs"
)

// Type tells what an entry's data is.
type Type uint8

// TypeRecords is data in framed records; every other type up to maxType is raw bytes, kept as one record.
const TypeRecords Type = 0

// maxType: types with the high bit are kept for entries that end their segment.
const maxType Type = 0x7f

// EntryHeader is the number of bytes before an entry's data on disk.
const EntryHeader = 32

// Entry is one entry of the log. Indexes begin at 1; terms never fall.
type Entry struct {
	Index, Term uint64
	Type        Type
	Data        []byte
}

// entryHeader is the decoded header of an entry on disk.
type entryHeader struct {
	length      uint32 // of the data on disk, padding not included
	index, term uint64
	digest      uint32
	kind        Type
}

func entrySum(shard, index uint64, b []byte) uint32 {
	return crc32.Update(uint32(mix(mix(0x656e747279000000, shard), index)), castagnoli, b[4:EntryHeader])
}

func appendEntryHeader(dst []byte, shard uint64, h entryHeader) []byte {
	var b [EntryHeader]byte
	dst = append(dst, b[:]...)
	at := dst[len(dst)-EntryHeader:]
	le.PutUint32(at[4:], h.length)
	le.PutUint64(at[8:], h.index)
	le.PutUint64(at[16:], h.term)
	le.PutUint32(at[24:], h.digest)
	at[28] = byte(h.kind)
	le.PutUint32(at, entrySum(shard, h.index, at))
	return dst
}

// decodeEntryHeader takes the header of entry index; false when the bytes are not that.
func decodeEntryHeader(b []byte, shard, index uint64) (h entryHeader, ok bool) {
	if len(b) < EntryHeader || le.Uint32(b) != entrySum(shard, index, b) {
		return h, false
	}
	h = entryHeader{
		length: le.Uint32(b[4:]), index: le.Uint64(b[8:]), term: le.Uint64(b[16:]), digest: le.Uint32(b[24:]), kind: Type(b[28]),
	}
	return h, h.index == index && h.kind <= maxType && b[29] == 0 && b[30] == 0 && b[31] == 0
}

// entryBytes is what an entry with so much data on disk takes in a segment: its logical size, equal on all replicas.
func entryBytes(length int) int64 { return align8(EntryHeader + int64(length)) }

func align8(n int64) int64 { return (n + 7) &^ 7 }

// storedBytes is the length of an entry's data on disk.
func (e *Entry) storedBytes() int {
	if e.Type == TypeRecords {
		return len(e.Data)
	}
	return RecordHeader + len(e.Data)
}

// digest checks the framing of e's data and gives the digest for its header. Raw data is framed here, so it cannot fail.
func (e *Entry) digest(shard uint64) (uint32, error) {
	if e.Type == TypeRecords {
		return digestRecords(e.Data)
	}
	var head [RecordHeader]byte
	rec := AppendRecord(head[:0], shard, e.Index, 0, e.Data)
	return crc32.Update(0, castagnoli, rec[:RecordHeader]), nil
}

// appendTo appends the entry as it is stored, padded to 8 bytes.
func (e *Entry) appendTo(dst []byte, shard uint64, digest uint32) []byte {
	start := len(dst)
	h := entryHeader{length: uint32(e.storedBytes()), index: e.Index, term: e.Term, digest: digest, kind: e.Type}
	dst = appendEntryHeader(dst, shard, h)
	if e.Type == TypeRecords {
		dst = append(dst, e.Data...)
	} else {
		dst = AppendRecord(dst, shard, e.Index, 0, e.Data)
	}
	var pad [8]byte
	n := int64(len(dst) - start)
	return append(dst, pad[:align8(n)-n]...)
}

// open verifies stored data (without padding) and gives the entry; its data aliases b.
func (h *entryHeader) open(b []byte, shard uint64) (Entry, error) {
	e := Entry{Index: h.index, Term: h.term, Type: h.kind, Data: b[:len(b):len(b)]}
	digest, err := verifyRecords(b, shard, h.index)
	if err != nil {
		return Entry{}, err
	}
	if digest != h.digest {
		return Entry{}, errs.New(errs.Corrupt, "seglog: the records of entry %d are not the ones it was written with", h.index)
	}
	if h.kind == TypeRecords {
		return e, nil
	}
	w := WalkRecords(b)
	if !w.Next() || w.next != len(b) {
		return Entry{}, errs.New(errs.Corrupt, "seglog: entry %d of type %d is not one record", h.index, h.kind)
	}
	e.Data = w.Payload()
	return e, nil
}

var zeros [64 << 10]byte

// isZero tells whether all bytes are zero.
func isZero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}
