package index

import (
	"encoding/binary"
	"sort"
)

// placesPerKey is how many events share a key that says where their records are.
const placesPerKey = 128

// place is where one event's record is, and when it was recorded. Offsets and entries are absolute here.
type place struct {
	offset uint64
	loc    Loc
	time   int64
}

// appendPlaces encodes a chunk. The first offset stands in the key; segment is the first entry of the segment.
func appendPlaces(dst []byte, segment uint64, p []place) []byte {
	n := len(p)
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = binary.AppendUvarint(dst, p[0].loc.Entry-segment)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p[0].time))
	var room [placesPerKey]uint64
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
	if n == 0 || n > placesPerKey {
		return errShort
	}
	if cap(c.p) < placesPerKey {
		c.p = make([]place, placesPerKey)
	}
	c.p = c.p[:n]
	c.p[0] = place{offset: first, loc: Loc{Entry: segment + in.uvarint()}, time: int64(in.uint64())}
	var room [placesPerKey]uint64
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

// holds tells whether an offset lies within the chunk's range.
func (c *placeChunk) holds(offset uint64) bool {
	return len(c.p) > 0 && c.p[0].offset <= offset && offset <= c.p[len(c.p)-1].offset
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
