package seglog

import (
	"crypto/sha256"
	"hash"
	"hash/crc32"
	"sync/atomic"

	"github.com/gesta-db/gesta/internal/errs"
)

const (
	footerMagic   = "GESTAFTR"
	trailerBytes  = 128
	blockBytes    = 4096
	blockEntries  = blockBytes/4 - 1 // positions in a block, which ends with its checksum
	runBytes      = 16
	maxFooterRuns = 1 << 24
)

// footer is what a sealed segment ends with: blocks of positions, the runs of terms, the trailer. Only the positions depend
// on how this replica batched its writes; the digest is equal on all replicas that hold the same entries.
type footer struct {
	at     int64 // in the file
	count  uint64
	first  uint64
	last   uint64
	used   int64
	runs   []run
	digest [sha256.Size]byte
}

// sumState is the running digest over the entry headers of a segment that is not sealed; the writer alone adds to it.
type sumState struct{ hash.Hash }

func newSum() sumState { return sumState{sha256.New()} }

func (s sumState) digest() (d [sha256.Size]byte) {
	s.Sum(d[:0])
	return d
}

func blockSum(h *header, block int, positions []byte) uint32 {
	return crc32.Update(uint32(mix(mix(h.shard, h.first), uint64(block))), castagnoli, positions)
}

// encodeFooter gives the footer of a full segment; the same segment always gives the same bytes.
func encodeFooter(s *segment) []byte {
	var b []byte
	for block, pos := 0, s.pos; len(pos) > 0; block++ {
		n := min(len(pos), blockEntries)
		start := len(b)
		for _, p := range pos[:n] {
			b = le.AppendUint32(b, p)
		}
		b = le.AppendUint32(b, blockSum(&s.head, block, b[start:]))
		pos = pos[n:]
	}
	tail := len(b)
	for _, r := range s.runs {
		b = le.AppendUint64(le.AppendUint64(b, r.first), r.term)
	}
	return appendTrailer(b, tail, s)
}

func appendTrailer(b []byte, tail int, s *segment) []byte {
	at := len(b)
	b = append(b, make([]byte, trailerBytes)...)
	t := b[at:]
	copy(t, footerMagic)
	le.PutUint32(t[12:], uint32(len(s.runs)))
	for i, v := range []uint64{uint64(len(s.pos)), s.head.first, s.last, uint64(s.end), uint64(s.used)} {
		le.PutUint64(t[16+8*i:], v)
	}
	digest := s.sum.digest()
	copy(t[56:], digest[:])
	le.PutUint32(t[8:], trailerSum(&s.head, b[tail:at], t))
	return b
}

// trailerSum covers the runs and the trailer, and ties them to the file.
func trailerSum(h *header, runs, t []byte) uint32 {
	sum := crc32.Update(uint32(mix(mix(h.shard, h.first), 0x666f6f746572)), castagnoli, runs)
	sum = crc32.Update(sum, castagnoli, t[:8])
	return crc32.Update(sum, castagnoli, t[12:])
}

// trailerSumOf is the checksum as an encoded footer carries it.
func trailerSumOf(foot []byte) uint32 { return le.Uint32(foot[len(foot)-trailerBytes+8:]) }

func blocksBytes(count uint64) int64 {
	blocks := (count + blockEntries - 1) / blockEntries
	return int64(4*count + 4*blocks)
}

// loadFooter reads and verifies what a seal points to, but for the blocks of positions, which are verified as they are used.
func loadFooter(f *file, h *header, s seal) (*footer, error) {
	size, err := f.f.Size()
	if err != nil {
		return nil, errs.New(errs.Unavailable, "seglog: size of %s: %w", f.path, err)
	}
	if size != s.size || s.size-s.footer < trailerBytes {
		return nil, corrupt(f.path, min(size, s.size), "the file has %d bytes, but it was sealed with %d", size, s.size)
	}
	t, err := f.read(make([]byte, trailerBytes), s.size-trailerBytes)
	if err != nil {
		return nil, err
	}
	bad := corrupt(f.path, s.size-trailerBytes, "the segment is sealed, but its footer does not match its checksum")
	runs := int64(le.Uint32(t[12:]))
	if string(t[:8]) != footerMagic || runs > maxFooterRuns || s.size-trailerBytes-runs*runBytes < s.footer {
		return nil, bad
	}
	rb, err := f.read(make([]byte, runs*runBytes), s.size-trailerBytes-runs*runBytes)
	if err != nil {
		return nil, err
	}
	if sum := trailerSum(h, rb, t); sum != le.Uint32(t[8:]) || sum != s.sum {
		return nil, bad
	}
	foot, ok := decodeFooter(rb, t, h, s)
	if !ok {
		return nil, bad
	}
	return foot, nil
}

func decodeFooter(rb, t []byte, h *header, s seal) (*footer, bool) {
	v := func(i int) uint64 { return le.Uint64(t[16+8*i:]) }
	f := &footer{at: s.footer, count: v(0), first: v(1), last: v(2), used: int64(v(4))}
	copy(f.digest[:], t[56:])
	for i := 0; i < len(rb); i += runBytes {
		f.runs = append(f.runs, run{first: le.Uint64(rb[i:]), term: le.Uint64(rb[i+8:])})
	}
	fits := f.count > 0 && f.count < 1<<32 && f.first == h.first && f.last == f.first+f.count-1 && int64(v(3)) == s.footer &&
		blocksBytes(f.count)+int64(len(rb))+trailerBytes == s.size-s.footer && len(f.runs) > 0 && f.runs[0].first == f.first
	return f, fits && isZero(t[88:])
}

// positions remembers blocks of the position tables of sealed segments: a fixed number of them, each in the one slot that its
// place hashes to. It is safe for concurrent use.
type positions struct {
	slots [2048]atomic.Pointer[positionBlock]
}

type positionBlock struct {
	file  *file
	block uint64
	b     []byte
}

func (c *positions) find(s *segment, i uint64) (int64, error) {
	block := i / blockEntries
	slot := &c.slots[mix(s.head.first, block)%uint64(len(c.slots))]
	p := slot.Load()
	if p == nil || p.file != s.file || p.block != block {
		b, err := readBlock(s, block)
		if err != nil {
			return 0, err
		}
		p = &positionBlock{file: s.file, block: block, b: b}
		slot.Store(p)
	}
	return int64(le.Uint32(p.b[4*(i%blockEntries):])) * 8, nil
}

func readBlock(s *segment, block uint64) ([]byte, error) {
	at := s.foot.at + int64(block)*blockBytes
	n := 4 * min(s.foot.count-block*blockEntries, blockEntries)
	b, err := s.file.read(make([]byte, n+4), at)
	if err != nil {
		return nil, err
	}
	if uint64(len(b)) < n+4 || le.Uint32(b[n:]) != blockSum(&s.head, int(block), b[:n]) {
		return nil, s.corrupt(at, "a block of the position table does not match its checksum")
	}
	return b[:n], nil
}
