package event

import "hash/maphash"

// seen finds what comes twice in a list, without allocating once it has grown: an open hash table of indexes into the list.
type seen struct {
	slots []uint32 // index+1; 0 is free
	seed  maphash.Seed
}

// few is the size of a list up to which comparing all pairs is cheaper than a table.
const few = 8

// begin empties the table for a list of n.
func (s *seen) begin(n int) {
	size := 4 * few
	for size < 2*n {
		size *= 2
	}
	if cap(s.slots) < size {
		s.slots, s.seed = make([]uint32, size), maphash.MakeSeed()
	}
	s.slots = s.slots[:size]
	clear(s.slots)
}

// add enters element i with its hash; twin is the earlier element that equal says is the same, or -1.
func (s *seen) add(hash uint64, i int, equal func(j int) bool) (twin int) {
	mask := uint64(len(s.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		slot := s.slots[at]
		if slot == 0 {
			s.slots[at] = uint32(i + 1)
			return -1
		}
		if equal(int(slot - 1)) {
			return int(slot - 1)
		}
	}
}

// twins gives the first two equal elements of a list, or found = false.
func (s *seen) twins(n int, hash func(maphash.Seed, int) uint64, equal func(i, j int) bool) (first, second int, found bool) {
	if n <= few {
		return pairs(n, equal)
	}
	s.begin(n)
	for i := range n {
		if j := s.add(hash(s.seed, i), i, func(j int) bool { return equal(i, j) }); j >= 0 {
			return j, i, true
		}
	}
	return 0, 0, false
}

func pairs(n int, equal func(i, j int) bool) (first, second int, found bool) {
	for i := 1; i < n; i++ {
		for j := range i {
			if equal(i, j) {
				return j, i, true
			}
		}
	}
	return 0, 0, false
}
