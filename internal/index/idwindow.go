package index

import (
	"slices"
	"sync"
)

const (
	windowBits  = 12
	windowParts = 1 << windowBits
	// windowSlots is how many spans of segments the window can tell apart: what fits the low byte of an entry.
	windowSlots = 256
	// windowShare is the part of the window that a span covers at least, so that spans never run out.
	windowShare = windowSlots / 4
)

// idWindow tells in which of the newest segments an id may be. It keeps 36 bits of the hash of every id in the window, and one
// byte that names a span of neighbouring segments: 4 bytes for an id, and no look-up in Pebble for one that was never seen
// but once in several thousand times.
//
// The highest bits choose a part. A part is a sorted list of words: 24 more bits of the hash, and the slot of the span. A look-up
// guesses the place in the list and walks from there, some ten steps.
type idWindow struct {
	window uint64
	parts  [windowParts]idPart

	mu    sync.RWMutex // spans; held for writing by the only writer, who may read without
	spans [windowSlots]span
	order []uint8 // slots in use, oldest span first
}

type idPart struct {
	mu    sync.RWMutex
	words []uint32
}

// span is some neighbouring segments.
type span struct {
	segments []*segment
	events   uint64
	last     uint64 // offset
}

func newIDWindow(events uint64) *idWindow { return &idWindow{window: events} }

func wordOf(hash uint64, slot uint8) uint32 { return uint32(hash<<windowBits>>40)<<8 | uint32(slot) }

// candidates appends the segments that may hold an id, oldest first. A miss touches two cache lines.
func (w *idWindow) candidates(hash uint64, dst []*segment) []*segment {
	var room [8]uint8
	slots := w.parts[hash>>(64-windowBits)].slots(wordOf(hash, 0), room[:0])
	if len(slots) == 0 {
		return dst
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	slices.Sort(slots)
	for i, slot := range slots {
		if i == 0 || slots[i-1] != slot {
			dst = append(dst, w.spans[slot].segments...)
		}
	}
	return dst
}

// slots appends the slots of all words that differ from word only in their slot.
func (p *idPart) slots(word uint32, dst []uint8) []uint8 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	n := len(p.words)
	i := int(uint64(word) * uint64(n) >> 32)
	for i > 0 && p.words[i-1] >= word {
		i--
	}
	for ; i < n && p.words[i]>>8 <= word>>8; i++ {
		if p.words[i]>>8 == word>>8 {
			dst = append(dst, uint8(p.words[i]))
		}
	}
	return dst
}

// hashed is a segment and the sorted hashes of its ids.
type hashed struct {
	segment *segment
	hashes  []uint64
}

// add puts the ids of segments in, and drops on the way what has left the window. It goes through the whole window, so several
// segments at once are cheaper than one after the other. Segments come in order; one that comes again has no ids that it did
// not have.
func (w *idWindow) add(all ...hashed) {
	all = slices.DeleteFunc(all, func(h hashed) bool { return w.replace(h.segment) })
	if len(all) == 0 {
		return
	}
	slots := make([]uint8, len(all))
	for i, h := range all {
		slots[i] = w.join(h.segment)
	}
	dead := w.retire(all[len(all)-1].segment)
	var words, more []uint32
	for part := range w.parts {
		words = words[:0]
		for i := range all {
			more = all[i].cut(more[:0], part, slots[i])
			words = mergeWords(words, more)
		}
		w.parts[part].merge(words, dead)
	}
}

// cut takes a part's hashes off the front, as words.
func (h *hashed) cut(dst []uint32, part int, slot uint8) []uint32 {
	n := 0
	for n < len(h.hashes) && int(h.hashes[n]>>(64-windowBits)) == part {
		dst = append(dst, wordOf(h.hashes[n], slot))
		n++
	}
	h.hashes = h.hashes[n:]
	return dst
}

func (w *idWindow) replace(s *segment) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, slot := range w.order {
		in := w.spans[slot].segments
		if i := slices.IndexFunc(in, func(o *segment) bool { return o.Segment == s.Segment }); i >= 0 {
			w.spans[slot].segments = slices.Clone(in)
			w.spans[slot].segments[i] = s
			return true
		}
	}
	return false
}

// join finds the slot for a segment: the newest span's, as long as it is small.
func (w *idWindow) join(s *segment) uint8 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.order); n > 0 {
		if last := &w.spans[w.order[n-1]]; last.events+s.Events <= w.window/windowShare {
			last.segments = append(last.segments, s)
			last.events, last.last = last.events+s.Events, max(last.last, s.LastOffset)
			return w.order[n-1]
		}
	}
	slot := w.free()
	w.spans[slot] = span{segments: []*segment{s}, events: s.Events, last: s.LastOffset}
	w.order = append(w.order, slot)
	return slot
}

func (w *idWindow) free() uint8 {
	if len(w.order) == 0 {
		return 0
	}
	return w.order[len(w.order)-1] + 1
}

// retire gives the slots whose events have all left the window.
func (w *idWindow) retire(newest *segment) *[windowSlots]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	var dead *[windowSlots]bool
	for len(w.order) > 1 && w.spans[w.order[0]].last+w.window <= newest.LastOffset {
		if dead == nil {
			dead = new([windowSlots]bool)
		}
		dead[w.order[0]] = true
		w.spans[w.order[0]] = span{}
		w.order = w.order[1:]
	}
	return dead
}

// merge adds sorted words to the part and takes those of dead slots out.
func (p *idPart) merge(more []uint32, dead *[windowSlots]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if dead != nil {
		p.words = slices.DeleteFunc(p.words, func(w uint32) bool { return dead[uint8(w)] })
	}
	if n := len(p.words) + len(more); n > cap(p.words) {
		p.words = append(make([]uint32, 0, n+n/8), p.words...)
	}
	p.words = mergeWords(p.words, more)
}

// mergeWords merges a sorted list into another, from the back.
func mergeWords(words, more []uint32) []uint32 {
	if len(words) == 0 {
		return append(words, more...)
	}
	i, j := len(words)-1, len(more)-1
	words = append(words, more...)
	for n := len(words) - 1; j >= 0; n-- {
		if i >= 0 && words[i] > more[j] {
			words[n] = words[i]
			i--
		} else {
			words[n] = more[j]
			j--
		}
	}
	return words
}

// bytes is what the window takes now.
func (w *idWindow) bytes() (n int64) {
	for i := range w.parts {
		p := &w.parts[i]
		p.mu.RLock()
		n += int64(cap(p.words)) * 4
		p.mu.RUnlock()
	}
	return n
}
