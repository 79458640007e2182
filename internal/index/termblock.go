package index

import "encoding/binary"

// termEntry is what a segment knows of a term.
type termEntry struct {
	count    uint64
	external bool   // its runs have keys of their own, under number
	number   uint32 // among topics and terms
	offsets  []byte // else: the events, counted from the segment's first offset
}

const termExternal = 1

// append encodes an entry; step is its hash less the one before in the block.
func (e *termEntry) append(dst []byte, step uint64, offsets []uint64) []byte {
	dst = binary.AppendUvarint(dst, step)
	tag := e.count << 1
	if e.external {
		return binary.AppendUvarint(binary.AppendUvarint(dst, tag|termExternal), uint64(e.number))
	}
	dst = binary.AppendUvarint(dst, tag)
	last := uint64(0)
	for _, offset := range offsets {
		dst = binary.AppendUvarint(dst, offset-last)
		last = offset
	}
	return dst
}

// findTerm walks a block to a hash.
func findTerm(block []byte, hash uint64) (termEntry, bool, error) {
	in := input{b: block}
	for at := uint64(0); len(in.b) > 0; {
		at += in.uvarint()
		tag := in.uvarint()
		e := termEntry{count: tag >> 1, external: tag&termExternal != 0}
		switch {
		case e.external:
			e.number = uint32(in.uvarint())
		case e.count == 0 || e.count > maxInline:
			in.fail()
		default:
			e.offsets = in.b
			for range e.count {
				in.uvarint()
			}
		}
		if in.bad || at >= hash {
			return e, at == hash && !in.bad, in.err()
		}
	}
	return termEntry{}, false, nil
}

// runs gives an entry's own offsets as runs, after base.
func (e *termEntry) runs(base uint64) ([]run, error) {
	in, runs := input{b: e.offsets}, make([]run, 0, e.count)
	for at := base; e.count > uint64(len(runs)) && !in.bad; {
		at += in.uvarint()
		runs = append(runs, run{at, 1})
	}
	return runs, in.err()
}

func appendTermKey(dst []byte, segment, hash uint64) []byte {
	return binary.BigEndian.AppendUint64(appendKey(dst, segment, kindTerm), hash)
}

// term finds what a segment knows of a type or tag. The entry is valid until the cursor moves.
func (c *cursor) term(s *segment, hash uint64) (termEntry, bool, error) {
	if s.terms == 0 {
		return termEntry{}, false, nil
	}
	c.key = appendTermKey(c.key[:0], s.Segment, hash)
	c.it.SeekGE(c.key)
	block, ok, err := c.value(c.key[:keyHead])
	if !ok {
		return termEntry{}, false, err
	}
	e, ok, err := findTerm(block, hash)
	return e, ok, c.failed(err)
}
