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

// add puts a segment's ids in; hashes are sorted. What has left the window is dropped on the way. Segments come in order; one that
// comes again has no ids that it did not have.
func (w *idWindow) add(s *segment, hashes []uint64) {
	if w.replace(s) {
		return
	}
	slot := w.join(s)
	dead := w.retire(s)
	for i := range w.parts {
		n, _ := slices.BinarySearch(hashes, uint64(i+1)<<(64-windowBits))
		if i == windowParts-1 {
			n = len(hashes)
		}
		w.parts[i].merge(hashes[:n], slot, dead)
		hashes = hashes[n:]
	}
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

// merge adds sorted hashes to the part and takes dead slots out.
func (p *idPart) merge(hashes []uint64, slot uint8, dead *[windowSlots]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if dead != nil {
		p.words = slices.DeleteFunc(p.words, func(w uint32) bool { return dead[uint8(w)] })
	}
	old, n := len(p.words), len(p.words)+len(hashes)
	if n > cap(p.words) {
		p.words = append(make([]uint32, 0, n+n/8), p.words...)
	}
	p.words = p.words[:n]
	for i, j := old-1, len(hashes)-1; j >= 0; {
		n--
		word := wordOf(hashes[j], slot)
		if i >= 0 && p.words[i] > word {
			p.words[n] = p.words[i]
			i--
		} else {
			p.words[n] = word
			j--
		}
	}
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
