package index

import "math/bits"

const (
	chunkBits = 11
	chunkLen  = 1 << chunkBits
)

// chunks is a list that grows without moving what it holds: no pauses for copies, no garbage.
type chunks[T any] struct {
	list [][]T
	n    uint32
}

func (c *chunks[T]) len() uint32 { return c.n }

func (c *chunks[T]) at(i uint32) *T { return &c.list[i>>chunkBits][i&(chunkLen-1)] }

func (c *chunks[T]) push(v T) uint32 {
	if c.n&(chunkLen-1) == 0 {
		c.list = append(c.list, make([]T, chunkLen))
	}
	i := c.n
	*c.at(i) = v
	c.n++
	return i
}

// slots is a hash table of positions in a list: open addressing over words of 32 bits of hash and the position plus one, so that
// a miss touches one cache line and no list.
type slots struct {
	words []uint64
	n     int
}

func newSlots(expected int) slots {
	size := 1 << bits.Len(uint(max(expected, 48)*8/7))
	return slots{words: make([]uint64, size)}
}

func word(hash uint64, i uint32) uint64 { return hash&^0xffffffff | uint64(i+1) }

// put files position i under hash. hashOf is asked for the hashes of the others when the table has to grow.
func (s *slots) put(hash uint64, i uint32, hashOf func(uint32) uint64) {
	if s.n >= len(s.words)/8*7 {
		s.grow(hashOf)
	}
	s.place(word(hash, i), hash)
	s.n++
}

func (s *slots) place(w, hash uint64) {
	mask := uint64(len(s.words) - 1)
	at := hash & mask
	for s.words[at] != 0 {
		at = (at + 1) & mask
	}
	s.words[at] = w
}

func (s *slots) grow(hashOf func(uint32) uint64) {
	old := s.words
	s.words = make([]uint64, 2*len(old))
	for _, w := range old {
		if w != 0 {
			s.place(w, hashOf(uint32(w)-1))
		}
	}
}
