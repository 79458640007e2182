package seglog

import "hash/crc32"

// The kinds of a batch.
const (
	batchEntries = 1 // entries follow
	batchMark    = 2 // nothing follows: what is before was durable when it was written
	batchCut     = 3 // as a mark; note is the highest index that the damaged batch cut here may have held
	batchTrim    = 4 // as a mark; note is the first index kept from now on
)

const (
	batchHeader = 64
	batchMagic  = 0x48435442 // "BTCH"
	// margin is kept free between the last batch and the end of the file. The header of the batch that makes the file grow
	// lies in it, whole and in the part that was durable before, and names the new size: so a file that was cut short
	// anywhere is found out.
	margin = 3 * batchHeader
)

// batch is the header of one write.
type batch struct {
	kind   uint8
	seq    uint64 // number of the batch in its file, from 1
	first  uint64 // index of its first entry; the next index when it has none
	count  uint32
	length uint32 // of the entries with their padding
	commit uint64 // the highest index known to be committed when it was written
	note   uint64
	synced int64 // end of what was durable in this file before it was written
	size   int64 // of the file, durable before it was written
}

// batchSum ties a header to its file and its place in it: bytes copied from elsewhere, even from this log, never pass for one.
func batchSum(h *header, at int64, b []byte) uint32 {
	return crc32.Update(uint32(mix(mix(h.shard, h.first), mix(h.salt, uint64(at)))), castagnoli, b[8:batchHeader])
}

func (t *batch) encode(b []byte, h *header, at int64) {
	le.PutUint32(b, batchMagic)
	le.PutUint64(b[8:], t.seq)
	le.PutUint64(b[16:], t.first)
	le.PutUint64(b[24:], t.commit)
	le.PutUint64(b[32:], t.note)
	le.PutUint64(b[40:], uint64(t.synced))
	le.PutUint32(b[48:], t.count)
	le.PutUint32(b[52:], t.length)
	le.PutUint32(b[56:], uint32(t.size/pageBytes))
	le.PutUint32(b[60:], uint32(t.kind))
	le.PutUint32(b[4:], batchSum(h, at, b))
}

func decodeBatch(b []byte, h *header, at int64) (t batch, ok bool) {
	if len(b) < batchHeader || le.Uint32(b) != batchMagic || le.Uint32(b[4:]) != batchSum(h, at, b) {
		return t, false
	}
	return batch{
		seq: le.Uint64(b[8:]), first: le.Uint64(b[16:]), commit: le.Uint64(b[24:]), note: le.Uint64(b[32:]),
		synced: int64(le.Uint64(b[40:])), count: le.Uint32(b[48:]), length: le.Uint32(b[52:]),
		size: int64(le.Uint32(b[56:])) * pageBytes, kind: b[60],
	}, b[61] == 0 && b[62] == 0 && b[63] == 0
}
