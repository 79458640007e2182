package index

import (
	"bytes"
	"encoding/binary"
)

// chunksPerKey is how many chunks of places share a key: who looks for one event in a thousand goes from key to key.
const chunksPerKey = 8

// appendGroup encodes the places that share a key. The first offset stands in the key; room is used for the chunks.
func appendGroup(dst, room []byte, segment uint64, p []place) (group, used []byte) {
	first, last := p[0].offset, p[len(p)-1].offset
	dst = binary.AppendUvarint(dst, last-first)
	dst = binary.AppendUvarint(dst, uint64((len(p)+placesPerChunk-1)/placesPerChunk))
	room = room[:0]
	for at := first; len(p) > 0; {
		n, start := min(len(p), placesPerChunk), len(room)
		room = appendPlaces(room, segment, p[:n])
		dst = binary.AppendUvarint(dst, p[0].offset-at)
		dst = binary.AppendUvarint(dst, uint64(len(room)-start))
		at, p = p[0].offset, p[n:]
	}
	return append(dst, room...), room
}

// placeGroup is the places of one key, of which a cursor keeps one chunk. It is decoded when more than one of its events is asked for.
type placeGroup struct {
	of          *segment // whose places these are; nil: nobody's
	first, last uint64   // of the key
	from, to    uint64   // of the chunk: no other of the key holds these offsets
	value       []byte
	places      placeChunk
	decoded     bool
	touched     bool // one event was asked for
}

// load takes the chunk that begins at an offset or last before it.
func (g *placeGroup) load(s *segment, first uint64, value []byte, offset uint64) error {
	in := input{b: value}
	*g = placeGroup{first: first, last: first + in.uvarint(), value: g.value, places: g.places}
	n := in.uvarint()
	if n == 0 || n > chunksPerKey {
		return errShort
	}
	skip, size := uint64(0), uint64(0)
	g.from, g.to = first, g.last
	for at, end, i := first, uint64(0), uint64(0); i < n; i++ {
		at += in.uvarint()
		length := in.uvarint()
		if i > 0 && at > offset {
			if g.to == g.last && at > g.from {
				g.to = at - 1
			}
			continue
		}
		g.from, skip, size = at, end, length
		end += length
	}
	in.bytes(skip)
	g.value = append(g.value[:0], in.bytes(size)...)
	if !in.bad {
		g.of = s
	}
	return in.err()
}

// holds tells whether an offset lies within the chunk's range.
func (g *placeGroup) holds(s *segment, offset uint64) bool {
	return g.of == s && g.from <= offset && offset <= g.to
}

func (g *placeGroup) decode() error {
	if g.decoded {
		return nil
	}
	if err := g.places.decode(g.of.Segment, g.from, g.value); err != nil {
		return err
	}
	g.decoded = true
	return nil
}

// find gives the place of an event.
func (g *placeGroup) find(offset uint64) (place, bool, error) {
	if err := g.decode(); err != nil {
		return place{}, false, err
	}
	p, ok := g.places.find(offset)
	return p, ok, nil
}

// loc gives where an event is: the first time in a chunk by adding up what stands before it there, and then from the decoded chunk.
func (g *placeGroup) loc(offset uint64) (Loc, bool, error) {
	if !g.decoded && !g.touched {
		g.touched = true
		return locIn(g.value, g.of.Segment, g.from, offset)
	}
	p, ok, err := g.find(offset)
	return p.loc, ok, err
}

// place finds where an event is, and when it was recorded.
func (c *cursor) place(s *segment, offset uint64) (place, bool, error) {
	if ok, err := c.seekGroup(s, offset); !ok || !c.group.holds(s, offset) {
		return place{}, false, err
	}
	p, ok, err := c.group.find(offset)
	return p, ok, c.failed(err)
}

// loc finds where an event is.
func (c *cursor) loc(s *segment, offset uint64) (Loc, bool, error) {
	if ok, err := c.seekGroup(s, offset); !ok || !c.group.holds(s, offset) {
		return Loc{}, false, err
	}
	loc, ok, err := c.group.loc(offset)
	return loc, ok, c.failed(err)
}

// seekGroup loads the places that begin at an offset or last before it. What is asked for mostly stands under the same key or the
// next one.
func (c *cursor) seekGroup(s *segment, offset uint64) (bool, error) {
	if c.group.holds(s, offset) {
		return true, nil
	}
	if c.group.of == s && offset >= c.group.first {
		if ok, err := c.nearGroup(s, offset); ok || err != nil {
			return ok, err
		}
	}
	c.key = appendOffsetKey(c.key[:0], s.Segment, offset)
	v, ok, err := c.atOrBefore(c.key, keyHead)
	if !ok {
		return false, err
	}
	return true, c.failed(c.group.load(s, tail64(c.it.Key()), v, offset))
}

// nearGroup looks under the key of the group, or the next one, if the iterator still stands there; false when the offset is not in
// its range.
func (c *cursor) nearGroup(s *segment, offset uint64) (bool, error) {
	c.key = appendOffsetKey(c.key[:0], s.Segment, c.group.first)
	if !c.it.Valid() || !bytes.Equal(c.it.Key(), c.key) || offset > c.group.last && !c.it.Next() {
		return false, c.failed(c.it.Error())
	}
	v, ok, err := c.value(c.key[:keyHead])
	if !ok {
		return false, err
	}
	if err := c.group.load(s, tail64(c.it.Key()), v, offset); err != nil {
		return false, c.failed(err)
	}
	return c.group.holds(s, offset), nil
}

// firstFrom finds the first event at or after an offset, which is not past the segment's last.
func (c *cursor) firstFrom(s *segment, offset uint64) (place, error) {
	for {
		ok, err := c.seekGroup(s, offset)
		if err != nil {
			return place{}, err
		}
		if !ok {
			break
		}
		if err := c.group.decode(); err != nil {
			return place{}, c.failed(err)
		}
		if p, ok := c.group.places.from(offset); ok {
			return p, nil
		}
		if offset = c.group.to + 1; c.group.to >= c.group.last {
			break
		}
	}
	c.key = appendOffsetKey(c.key[:0], s.Segment, offset)
	c.it.SeekGE(c.key)
	v, ok, err := c.value(c.key[:keyHead])
	if err == nil && !ok {
		err = c.failed(errShort)
	}
	if err != nil {
		return place{}, err
	}
	first := tail64(c.it.Key())
	if err := c.group.load(s, first, v, first); err != nil {
		return place{}, c.failed(err)
	}
	p, ok, err := c.group.find(first)
	if err == nil && !ok {
		err = errShort
	}
	return p, c.failed(err)
}
