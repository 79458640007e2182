package index

import "encoding/binary"

const (
	// filterBits is how many bits of filter a stream gets: about one in a hundred of the absent passes.
	filterBits = 10
	// filterBlock is a filter's unit in bytes: a cache line, the only one that a look-up touches.
	filterBlock = 64
	// filterProbes is how many bits of its block a stream sets.
	filterProbes = 6
	// filterPiece is how much of a filter shares a key.
	filterPiece = 32 << 10
)

// bloom is a blocked Bloom filter over the hashes of streams.
type bloom []uint64

const blockWords = filterBlock / 8

// filterBlocks is how many blocks a filter over n streams has.
func filterBlocks(n int) uint32 {
	return uint32((n*filterBits + filterBlock*8 - 1) / (filterBlock * 8))
}

func newBloom(blocks uint32) bloom { return make(bloom, int(blocks)*blockWords) }

func (b bloom) block(hash uint64) []uint64 {
	blocks := uint64(len(b) / blockWords)
	at := (hash >> 32) * blocks >> 32 * blockWords
	return b[at : at+blockWords : at+blockWords]
}

// spread makes the probes' bits from a hash; they are independent of the bits that choose the block.
func spread(hash uint64) uint64 { return hash * 0x9e3779b97f4a7c15 }

func (b bloom) add(hash uint64) {
	block := b.block(hash)
	for i, h := 0, spread(hash); i < filterProbes; i, h = i+1, h>>9 {
		block[h>>6&7] |= 1 << (h & 63)
	}
}

// has tells false when the hash was never added; an empty filter knows nothing.
func (b bloom) has(hash uint64) bool {
	if len(b) == 0 {
		return true
	}
	block := b.block(hash)
	for i, h := 0, spread(hash); i < filterProbes; i, h = i+1, h>>9 {
		if block[h>>6&7]&(1<<(h&63)) == 0 {
			return false
		}
	}
	return true
}

func (b bloom) appendBytes(dst []byte) []byte {
	for _, w := range b {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	return dst
}

// load copies a piece of the filter's bytes to its place.
func (b bloom) load(at int, piece []byte) error {
	if len(piece)%8 != 0 || at+len(piece)/8 > len(b) {
		return errShort
	}
	for i := 0; i < len(piece); i += 8 {
		b[at+i/8] = binary.LittleEndian.Uint64(piece[i:])
	}
	return nil
}
