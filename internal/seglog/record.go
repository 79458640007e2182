package seglog

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/gesta-db/gesta/internal/errs"
)

// RecordHeader is the number of bytes before a record's payload: length u32, checksum u32, kind u8.
const RecordHeader = 9

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// mix folds two numbers into one so that each bit of the result depends on all bits given. The seeds of all checksums are made
// by it; it is part of the format.
func mix(a, b uint64) uint64 {
	x := a*0x9e3779b97f4a7c15 + b
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// recordSeed ties the records of an entry to their place: the same bytes under another index are damage.
func recordSeed(shard, index uint64) uint64 { return mix(mix(0x7265636f72640000, shard), index) }

func recordSum(seed uint64, kindAndPayload []byte) uint32 {
	return crc32.Update(uint32(mix(seed, uint64(len(kindAndPayload)))), castagnoli, kindAndPayload)
}

// AppendRecord appends one record to dst, sealed for the entry with this index.
func AppendRecord(dst []byte, shard, index uint64, kind byte, payload []byte) []byte {
	start := len(dst)
	dst = append(BeginRecord(dst, kind), payload...)
	EndRecord(dst, start, shard, index)
	return dst
}

// BeginRecord appends room for a record's header. The caller notes len(dst) before as the record's start, appends the payload,
// and calls EndRecord.
func BeginRecord(dst []byte, kind byte) []byte {
	return append(dst, 0, 0, 0, 0, 0, 0, 0, 0, kind)
}

// EndRecord seals the record that was begun at start and reaches to the end of dst.
func EndRecord(dst []byte, start int, shard, index uint64) {
	rec := dst[start:]
	le.PutUint32(rec, uint32(len(rec)-RecordHeader))
	le.PutUint32(rec[4:], recordSum(recordSeed(shard, index), rec[8:]))
}

// Records walks the records of an entry's data. It checks the framing only; see VerifyRecords.
type Records struct {
	data      []byte
	off, next int
	err       error
}

// WalkRecords begins before the first record of data.
func WalkRecords(data []byte) Records { return Records{data: data} }

// Next moves to the next record; false at the end, or where the framing is broken (see Err).
func (r *Records) Next() bool {
	if r.err != nil || r.next == len(r.data) {
		return false
	}
	rest := r.data[r.next:]
	if len(rest) < RecordHeader || uint64(len(rest)) < RecordHeader+uint64(le.Uint32(rest)) {
		r.err = errs.New(errs.Corrupt, "seglog: the record at byte %d does not fit in its entry of %d bytes", r.next, len(r.data))
		return false
	}
	r.off = r.next
	r.next += RecordHeader + int(le.Uint32(rest))
	return true
}

// Kind is the kind of the record moved to.
func (r *Records) Kind() byte { return r.data[r.off+8] }

// Payload is the payload of the record moved to; it aliases the data.
func (r *Records) Payload() []byte { return r.data[r.off+RecordHeader : r.next : r.next] }

// Off is the offset in the data of the record moved to, header included.
func (r *Records) Off() uint32 { return uint32(r.off) }

// Err is errs.Corrupt when the framing is broken.
func (r *Records) Err() error { return r.err }

func (r *Records) header() []byte { return r.data[r.off : r.off+RecordHeader] }

func (r *Records) intact(seed uint64) bool {
	return le.Uint32(r.data[r.off+4:]) == recordSum(seed, r.data[r.off+8:r.next])
}

// VerifyRecords checks the framing and the checksum of every record of an entry's data; the error is errs.Corrupt.
func VerifyRecords(data []byte, shard, index uint64) error {
	_, err := verifyRecords(data, shard, index)
	return err
}

// verifyRecords also gives the digest over the record headers, which an entry's header keeps.
func verifyRecords(data []byte, shard, index uint64) (digest uint32, err error) {
	seed := recordSeed(shard, index)
	w := WalkRecords(data)
	for w.Next() {
		if !w.intact(seed) {
			return 0, errs.New(errs.Corrupt, "seglog: the record at byte %d of entry %d does not match its checksum", w.off, index)
		}
		digest = crc32.Update(digest, castagnoli, w.header())
	}
	return digest, w.err
}

// digestRecords is the digest alone: the framing is checked, the payloads are not.
func digestRecords(data []byte) (digest uint32, err error) {
	w := WalkRecords(data)
	for w.Next() {
		digest = crc32.Update(digest, castagnoli, w.header())
	}
	return digest, w.err
}
