package index

import (
	"encoding/binary"
	"sort"
)

// placesPerChunk is how many events are in a chunk, which says where their records are.
const placesPerChunk = 128

// place is where one event's record is, and when it was recorded. Offsets and entries are absolute here.
type place struct {
	offset uint64
	loc    Loc
	time   int64
}

// appendPlaces encodes a chunk. The first offset stands beside it; segment is the first entry of the segment.
func appendPlaces(dst []byte, segment uint64, p []place) []byte {
	n := len(p)
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = binary.AppendUvarint(dst, p[0].loc.Entry-segment)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p[0].time))
	var room [placesPerChunk]uint64
	steps := room[:n-1]
	for i := range steps {
		steps[i] = p[i+1].offset - p[i].offset
	}
	dst = appendColumn(dst, steps)
	for i := range steps {
		steps[i] = p[i+1].loc.Entry - p[i].loc.Entry
	}
	dst = appendColumn(dst, steps)
	for i := range steps {
		steps[i] = uint64(p[i+1].time - p[i].time)
	}
	dst = appendColumn(dst, steps)
	all := room[:n]
	for i := range all {
		all[i] = uint64(p[i].loc.Size)
	}
	dst = appendColumn(dst, all)
	for i := range all {
		all[i] = leap(p, i)
	}
	return appendColumn(dst, all)
}

// leap is what stands between an event's record and the one before it in the same entry, or before the first of an entry.
func leap(p []place, i int) uint64 {
	if i == 0 || p[i].loc.Entry != p[i-1].loc.Entry {
		return uint64(p[i].loc.Off)
	}
	return uint64(p[i].loc.Off - p[i-1].loc.Off - p[i-1].loc.Size)
}

// placeChunk is a decoded chunk.
type placeChunk struct {
	p []place
}

func (c *placeChunk) decode(segment, first uint64, value []byte) error {
	in := input{b: value}
	n := in.uvarint()
	if n == 0 || n > placesPerChunk {
		return errShort
	}
	if cap(c.p) < placesPerChunk {
		c.p = make([]place, placesPerChunk)
	}
	c.p = c.p[:n]
	c.p[0] = place{offset: first, loc: Loc{Entry: segment + in.uvarint()}, time: int64(in.uint64())}
	var room [placesPerChunk]uint64
	steps := room[:n-1]
	in.column(steps)
	for i, d := range steps {
		c.p[i+1].offset = c.p[i].offset + d
	}
	in.column(steps)
	for i, d := range steps {
		c.p[i+1].loc.Entry = c.p[i].loc.Entry + d
	}
	in.column(steps)
	for i, d := range steps {
		c.p[i+1].time = c.p[i].time + int64(d)
	}
	c.records(&in, room[:n])
	if in.bad {
		c.p = c.p[:0]
	}
	return in.err()
}

func (c *placeChunk) records(in *input, all []uint64) {
	in.column(all)
	for i, size := range all {
		c.p[i].loc.Size = uint32(size)
	}
	in.column(all)
	for i, d := range all {
		c.p[i].loc.Off = uint32(d)
		if i > 0 && c.p[i].loc.Entry == c.p[i-1].loc.Entry {
			c.p[i].loc.Off += c.p[i-1].loc.Off + c.p[i-1].loc.Size
		}
	}
}

// from finds the first event at or after an offset.
func (c *placeChunk) from(offset uint64) (place, bool) {
	if len(c.p) == 0 || offset > c.p[len(c.p)-1].offset {
		return place{}, false
	}
	if offset <= c.p[0].offset {
		return c.p[0], true
	}
	if i := offset - c.p[0].offset; i < uint64(len(c.p)) && c.p[i].offset == offset {
		return c.p[i], true
	}
	return c.p[sort.Search(len(c.p), func(i int) bool { return c.p[i].offset >= offset })], true
}

func (c *placeChunk) find(offset uint64) (place, bool) {
	p, ok := c.from(offset)
	return p, ok && p.offset == offset
}

// column is an encoded one, read at its places.
type column struct {
	least uint64
	width uint64
	b     []byte
}

func (in *input) columnOf(n uint64) (c column) {
	c.width, c.least = uint64(in.byte()), in.uvarint()
	if c.b = in.bytes(c.width * n); c.width > 8 {
		in.fail()
	}
	return c
}

func (c *column) at(i uint64) uint64 {
	b := c.b[i*c.width:]
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b)&(1<<(8*c.width)-1) + c.least
	}
	var v uint64
	for k := range c.width {
		v |= uint64(b[k]) << (8 * k)
	}
	return v + c.least
}

// sum adds up the numbers from lo to below hi.
func (c *column) sum(lo, hi uint64) (v uint64) {
	switch c.width {
	case 0:
		return (hi - lo) * c.least
	case 1:
		for _, b := range c.b[lo:hi] {
			v += uint64(b)
		}
		return v + (hi-lo)*c.least
	}
	for i := lo; i < hi; i++ {
		v += c.at(i)
	}
	return v
}

// zeros gives where the zeros in front of a place begin.
func (c *column) zeros(i uint64) uint64 {
	switch {
	case c.width == 0 && c.least == 0:
		return 0
	case c.least > 0:
		return i
	}
	for i > 0 && c.at(i-1) == 0 {
		i--
	}
	return i
}

// locIn finds one event of a chunk without decoding the others.
func locIn(chunk []byte, segment, first, offset uint64) (Loc, bool, error) {
	in := input{b: chunk}
	n := in.uvarint()
	if n == 0 || n > placesPerChunk || offset < first {
		return Loc{}, false, errShort
	}
	entry := in.uvarint()
	in.uint64()
	steps, entries, _ := in.columnOf(n-1), in.columnOf(n-1), in.columnOf(n-1)
	sizes, leaps := in.columnOf(n), in.columnOf(n)
	if in.bad {
		return Loc{}, false, errShort
	}
	i, at := uint64(0), first
	if steps.width == 0 && steps.least == 1 {
		i = min(offset-first, n-1)
		at += i
	} else {
		for ; i < n-1 && at < offset; i++ {
			at += steps.at(i)
		}
	}
	if at != offset {
		return Loc{}, false, nil
	}
	begin := entries.zeros(i) // the first of the same entry
	off := leaps.sum(begin, i+1) + sizes.sum(begin, i)
	return Loc{Entry: segment + entry + entries.sum(0, i), Off: uint32(off), Size: uint32(sizes.at(i))}, true, nil
}
