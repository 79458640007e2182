package index

import (
	"bytes"
	"sync"
	"sync/atomic"
)

// table is the index of one unsealed segment, in memory: about 70 bytes for an event, and 60 and its key for a stream.
//
// One goroutine adds; readers run beside it under the lock, which the writer holds for the length of an Add, so that a commit
// is seen whole or not at all. A frozen table no longer changes and is read without the lock.
type table struct {
	segment uint64
	frozen  atomic.Bool
	mu      sync.RWMutex

	base     uint64 // offset of the first event; 0 while there is none
	rows     chunks[row]
	streams  chunks[streamRow]
	commands chunks[commandRow]
	byStream slots
	byID     slots // rows, and commands from commandBit on
	keys     arena
	states   states
	terms    terms
	topics   []topicRow
	byTopic  map[string]uint32
}

// none stands for no row.
const none = ^uint32(0)

// commandBit marks a position in byID as one of a command.
const commandBit = 1 << 31

// row is one event. Numbers that are small within a segment are kept relative to its start.
type row struct {
	time       int64
	hash       uint64
	entry      uint32 // after the segment's first entry
	off, size  uint32
	offset     uint32 // after the table's base
	revision   uint32 // after the stream's first revision
	prev, next uint32 // the rows of the same stream around this one
	stream     uint32
}

type streamRow struct {
	hash               uint64
	firstRevision      uint64
	key                uint32 // in the arena
	topic              uint32
	first, last, count uint32 // rows
	offset, revision   uint32 // of the last row, as there
	keyLen             uint16
	gaps               bool // the revisions here are not contiguous
}

type commandRow struct{ hash, offset uint64 }

type topicRow struct {
	name    string
	rows    []uint32
	streams uint32
}

// newTable makes a table with room for as many events and streams as the one before it had, since tables resemble each other.
func newTable(segment uint64, events, streams int) *table {
	return &table{
		segment: segment, byStream: newSlots(streams), byID: newSlots(events),
		byTopic: make(map[string]uint32), terms: terms{budget: termBytes},
	}
}

// rlock takes the lock for reading where it is needed, and gives the release.
func (t *table) rlock() bool {
	if t.frozen.Load() {
		return false
	}
	t.mu.RLock()
	return true
}

func (t *table) runlock(locked bool) {
	if locked {
		t.mu.RUnlock()
	}
}

func (t *table) freeze() {
	t.mu.Lock()
	t.frozen.Store(true)
	t.mu.Unlock()
}

func (t *table) add(events []Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range events {
		t.addOne(&events[i])
	}
}

func (t *table) addOne(e *Event) {
	if t.rows.len() == 0 {
		t.base = e.Offset
	}
	hash := streamHash(e.Topic, e.Key)
	si, known := t.findStream(hash, e.Topic, e.Key)
	if !known {
		si = t.newStream(hash, e)
	}
	s := t.streams.at(si)
	i := t.rows.push(row{
		time: e.Time, hash: e.ID, entry: uint32(e.Loc.Entry - t.segment), off: e.Loc.Off, size: e.Loc.Size,
		offset: uint32(e.Offset - t.base), revision: uint32(e.Revision - s.firstRevision), prev: s.last, next: none, stream: si,
	})
	t.chain(s, i, e)
	t.topics[s.topic].rows = append(t.topics[s.topic].rows, i)
	t.byID.put(e.ID, i, t.idHash)
	t.addTerms(e, i)
}

// chain makes row i the newest of its stream.
func (t *table) chain(s *streamRow, i uint32, e *Event) {
	if s.last == none {
		s.first = i
	} else {
		t.rows.at(s.last).next = i
	}
	if e.Revision != s.firstRevision+uint64(s.count) {
		s.gaps = true
	}
	s.last, s.offset, s.revision = i, uint32(e.Offset-t.base), uint32(e.Revision-s.firstRevision)
	s.count++
}

func (t *table) newStream(hash uint64, e *Event) uint32 {
	topic := t.topicOf(e.Topic)
	t.topics[topic].streams++
	si := t.streams.push(streamRow{
		hash: hash, firstRevision: e.Revision, key: t.keys.add(e.Key), keyLen: uint16(len(e.Key)), topic: topic,
		first: none, last: none,
	})
	t.byStream.put(hash, si, func(i uint32) uint64 { return t.streams.at(i).hash })
	return si
}

func (t *table) topicOf(name []byte) uint32 {
	if n := len(t.topics); n > 0 && t.topics[n-1].name == string(name) {
		return uint32(n - 1)
	}
	if i, ok := t.byTopic[string(name)]; ok {
		return i
	}
	i := uint32(len(t.topics))
	t.topics = append(t.topics, topicRow{name: string(name)})
	t.byTopic[string(name)] = i
	return i
}

func (t *table) addCommand(hash, offset uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.commands.push(commandRow{hash: hash, offset: offset})
	t.byID.put(hash, i|commandBit, t.idHash)
}

func (t *table) idHash(i uint32) uint64 {
	if i&commandBit != 0 {
		return t.commands.at(i &^ commandBit).hash
	}
	return t.rows.at(i).hash
}

func (t *table) findStream(hash uint64, topic, key []byte) (uint32, bool) {
	mask := uint64(len(t.byStream.words) - 1)
	for at := hash & mask; t.byStream.words[at] != 0; at = (at + 1) & mask {
		w := t.byStream.words[at]
		if w>>32 == hash>>32 && t.isStream(uint32(w)-1, topic, key) {
			return uint32(w) - 1, true
		}
	}
	return 0, false
}

func (t *table) isStream(i uint32, topic, key []byte) bool {
	s := t.streams.at(i)
	return bytes.Equal(t.key(s), key) && t.topics[s.topic].name == string(topic)
}

func (t *table) key(s *streamRow) []byte { return t.keys.at(s.key, int(s.keyLen)) }

// arena holds short byte strings in pieces that never move.
type arena struct{ pieces [][]byte }

// pieceBits bounds what one string may take: 64 KiB, far above the longest key.
const pieceBits = 16

func (a *arena) add(b []byte) uint32 {
	n := len(a.pieces)
	if n == 0 || len(a.pieces[n-1])+len(b) > cap(a.pieces[n-1]) {
		a.pieces = append(a.pieces, make([]byte, 0, 1<<pieceBits))
		n++
	}
	at := len(a.pieces[n-1])
	a.pieces[n-1] = append(a.pieces[n-1], b...)
	return uint32(n-1)<<pieceBits | uint32(at)
}

func (a *arena) at(pos uint32, n int) []byte {
	at := int(pos & (1<<pieceBits - 1))
	return a.pieces[pos>>pieceBits][at : at+n : at+n]
}
