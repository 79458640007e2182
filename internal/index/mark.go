package index

import "encoding/binary"

// markVersion is the version of a table's layout. A table of another version is built again.
const markVersion = 4

// SegmentMark says what an ingested segment holds. Without events the offsets and times are zero.
type SegmentMark struct {
	// Segment is the segment's first entry.
	Segment                 uint64
	FirstOffset, LastOffset uint64
	// Events is LastOffset - FirstOffset + 1 unless some were dropped from the segment.
	Events uint64
	// FirstTime and LastTime are recorded times in nanoseconds since 1970 UTC.
	FirstTime, LastTime int64
}

// layout is what is needed to read a table.
type layout struct {
	SegmentMark
	idBits, idWidth uint8
	ids             uint64
	streams         uint64
	filterBlocks    uint32
	states          uint64 // carried states
	terms           uint64
	untold          uint64 // from how many offsets before the end on events have no terms; 0: all have
}

func (l *layout) append(dst []byte) []byte {
	dst = append(dst, markVersion)
	for _, v := range []uint64{
		l.FirstOffset, l.LastOffset, l.Events, uint64(l.FirstTime), uint64(l.LastTime), l.ids, l.streams,
		uint64(l.filterBlocks), uint64(l.idBits), uint64(l.idWidth), l.states, l.terms, l.untold,
	} {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

func (l *layout) decode(segment uint64, value []byte) error {
	in := input{b: value}
	if in.byte() != markVersion {
		return errShort
	}
	*l = layout{SegmentMark: SegmentMark{Segment: segment}}
	l.FirstOffset, l.LastOffset, l.Events = in.uvarint(), in.uvarint(), in.uvarint()
	l.FirstTime, l.LastTime = int64(in.uvarint()), int64(in.uvarint())
	l.ids, l.streams = in.uvarint(), in.uvarint()
	l.filterBlocks = uint32(in.uvarint())
	l.idBits, l.idWidth = uint8(in.uvarint()), uint8(in.uvarint())
	l.states, l.terms, l.untold = in.uvarint(), in.uvarint(), in.uvarint()
	if l.idBits > 16 || l.idWidth > 8 {
		return errShort
	}
	return in.err()
}
