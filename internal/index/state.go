package index

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// AddState files the state that a commit carries for a stream, under the revision it holds for: it is in the segment begun last, at
// loc. A stream's states are added in the order of their revisions; one of the same revision replaces the one before. The stream
// need not have events in the segment.
func (ix *Index) AddState(topic, key []byte, revision uint64, loc Loc) {
	ix.current.addState(topic, key, revision, loc)
}

// State finds the newest state of a stream that holds for a revision up to atMost (^uint64(0): the newest of all); false when there
// is none. It reads memory, and then one key of each segment that may hold the stream, newest first, until it is found. A failure to
// read is Corrupt, or as the file system has it.
func (ix *Index) State(topic, key []byte, atMost uint64) (revision uint64, loc Loc, ok bool, err error) {
	hash := streamHash(topic, key)
	v := ix.view.Load()
	for i, j := len(v.active)-1, len(v.sealed)-1; i >= 0 || j >= 0; {
		u := pick(at(v.sealed, j), at(v.active, i), true)
		switch {
		case u.table != nil:
			i--
			revision, loc, ok = u.table.state(hash, topic, key, atMost)
		case v.table(u.number()) != nil: // its table is asked instead
			j--
		default:
			j--
			revision, loc, ok, err = ix.stateIn(u.sealed, hash, topic, key, atMost)
		}
		if ok || err != nil {
			return revision, loc, ok, err
		}
	}
	return 0, Loc{}, false, nil
}

func (ix *Index) stateIn(s *segment, hash uint64, topic, key []byte, atMost uint64) (uint64, Loc, bool, error) {
	if s.states == 0 || !s.has(hash) {
		return 0, Loc{}, false, nil
	}
	c, err := ix.cursor()
	if err != nil {
		return 0, Loc{}, false, err
	}
	defer c.release()
	return c.state(s, topic, key, atMost)
}

// state finds a segment's newest state of a stream up to a revision.
func (c *cursor) state(s *segment, topic, key []byte, atMost uint64) (uint64, Loc, bool, error) {
	c.key = appendStateKey(c.key[:0], s.Segment, topic, key, atMost)
	v, ok, err := c.atOrBefore(c.key, len(c.key)-8)
	if !ok {
		return 0, Loc{}, false, err
	}
	in := input{b: v}
	loc := Loc{Entry: s.Segment + in.uvarint(), Off: uint32(in.uvarint()), Size: uint32(in.uvarint())}
	return tail64(c.it.Key()), loc, !in.bad, c.failed(in.err())
}

// appendStateKey has the lengths of topic and key in front of them, so that no stream's states stand among another's.
func appendStateKey(dst []byte, segment uint64, topic, key []byte, revision uint64) []byte {
	dst = append(append(appendKey(dst, segment, kindState), byte(len(topic))), topic...)
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(key))), key...)
	return binary.BigEndian.AppendUint64(dst, revision)
}

// states is where a table keeps the carried states: 24 bytes for each, and 35 and the names for a stream that has some.
type states struct {
	rows    chunks[stateRow]
	streams chunks[stateStream]
	by      slots
}

type stateRow struct {
	revision         uint64
	entry, off, size uint32 // as of a row
	before           uint32 // the stream's state before this one
}

type stateStream struct {
	hash     uint64
	names    uint32 // topic and key, in the arena
	keyLen   uint16
	topicLen uint8
	last     uint32
}

func (t *table) addState(topic, key []byte, revision uint64, loc Loc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stateStream(streamHash(topic, key), topic, key)
	r := stateRow{revision: revision, entry: uint32(loc.Entry - t.segment), off: loc.Off, size: loc.Size, before: s.last}
	if s.last != none {
		if last := t.states.rows.at(s.last); last.revision == revision {
			r.before = last.before
			*last = r
			return
		}
	}
	s.last = t.states.rows.push(r)
}

func (t *table) stateStream(hash uint64, topic, key []byte) *stateStream {
	if s := t.findState(hash, topic, key); s != nil {
		return s
	}
	if t.states.by.words == nil {
		t.states.by = newSlots(0)
	}
	s := stateStream{hash: hash, names: t.keys.add(slices.Concat(topic, key)), keyLen: uint16(len(key)), topicLen: uint8(len(topic)), last: none}
	i := t.states.streams.push(s)
	t.states.by.put(hash, i, func(i uint32) uint64 { return t.states.streams.at(i).hash })
	return t.states.streams.at(i)
}

func (t *table) findState(hash uint64, topic, key []byte) *stateStream {
	words := t.states.by.words
	if len(words) == 0 {
		return nil
	}
	mask := uint64(len(words) - 1)
	for at := hash & mask; words[at] != 0; at = (at + 1) & mask {
		if w := words[at]; w>>32 == hash>>32 {
			s := t.states.streams.at(uint32(w) - 1)
			if has, of := t.stateNames(s); bytes.Equal(has, topic) && bytes.Equal(of, key) {
				return s
			}
		}
	}
	return nil
}

func (t *table) stateNames(s *stateStream) (topic, key []byte) {
	n := int(s.topicLen)
	both := t.keys.at(s.names, n+int(s.keyLen))
	return both[:n:n], both[n:]
}

// state walks back from a stream's newest state: what is asked for is mostly that.
func (t *table) state(hash uint64, topic, key []byte, atMost uint64) (uint64, Loc, bool) {
	defer t.runlock(t.rlock())
	s := t.findState(hash, topic, key)
	if s == nil {
		return 0, Loc{}, false
	}
	for i := s.last; i != none; {
		r := t.states.rows.at(i)
		if r.revision <= atMost {
			return r.revision, Loc{Entry: t.segment + uint64(r.entry), Off: r.off, Size: r.size}, true
		}
		i = r.before
	}
	return 0, Loc{}, false
}

// states writes a key for each carried state.
func (b *builder) states() error {
	s := &b.t.states
	sorted := make([]uint32, s.streams.len())
	for i := range sorted {
		sorted[i] = uint32(i)
	}
	slices.SortFunc(sorted, func(x, y uint32) int { return b.compareStates(s.streams.at(x), s.streams.at(y)) })
	for _, i := range sorted {
		if err := b.statesOf(s.streams.at(i)); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) compareStates(x, y *stateStream) int {
	xTopic, xKey := b.t.stateNames(x)
	yTopic, yKey := b.t.stateNames(y)
	return bytes.Compare(appendStateKey(nil, 0, xTopic, xKey, 0), appendStateKey(nil, 0, yTopic, yKey, 0))
}

func (b *builder) statesOf(s *stateStream) error {
	topic, key := b.t.stateNames(s)
	var rows []uint32
	for i := s.last; i != none; i = b.t.states.rows.at(i).before {
		rows = append(rows, i)
	}
	for _, i := range slices.Backward(rows) {
		r := b.t.states.rows.at(i)
		b.key = appendStateKey(b.key[:0], b.t.segment, topic, key, r.revision)
		b.value = b.value[:0]
		for _, n := range []uint32{r.entry, r.off, r.size} {
			b.value = binary.AppendUvarint(b.value, uint64(n))
		}
		if err := b.put(b.key, b.value); err != nil {
			return err
		}
	}
	return nil
}
