package index

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"
)

const (
	headParts = 32
	headPage  = 16 << 10
	// headFixed is an entry without topic and key: lengths, mark, revision, offset.
	headFixed = 1 + 2 + 1 + 8 + 8
)

// heads caches where streams end in the ingested segments; revision 0 says that a stream has no events there. An entry is its
// bytes in a page and a word in a table, about 30 bytes beside topic and key, without pointers for the garbage collector to
// follow. When the budget is used up, the oldest page is emptied; what was used since it was written is kept, up to half a page.
//
// As long as the cache holds every stream that was ever ingested, what it lacks does not exist: new streams cost no look-up in the
// segments.
type heads struct {
	// partial is set while some ingested stream may never have been put.
	partial atomic.Bool
	doubts  atomic.Uint64 // how often that was said
	doubtMu sync.Mutex
	// generation rises when a segment was ingested: what was found in older ones must not be put any more.
	generation atomic.Uint64
	parts      [headParts]headPart
}

type headPart struct {
	mu     sync.Mutex
	budget int
	words  []uint64 // 32 bits of hash, page and offset in it (both from 0), plus one
	n      int
	pages  [][]byte
	oldest int // page to empty next; the one before it is being filled
	filled bool
	lost   bool // an entry was dropped, or did not fit

	hits, misses uint64
}

func newHeads(budget int64) *heads {
	h := &heads{}
	for i := range h.parts {
		h.parts[i].budget = int(budget) / headParts
		h.parts[i].words = make([]uint64, 64)
	}
	return h
}

func (h *heads) part(hash uint64) *headPart { return &h.parts[hash%headParts] }

// get gives what is known of a stream; false when nothing is.
func (h *heads) get(hash uint64, topic, key []byte) (Head, bool) {
	p := h.part(hash)
	p.mu.Lock()
	e := p.find(hash, topic, key)
	if e == nil {
		known := !p.lost && !h.partial.Load()
		p.misses++
		p.mu.Unlock()
		return Head{}, known
	}
	e[3] = 1
	p.hits++
	head := Head{Revision: binary.LittleEndian.Uint64(e[4:]), Offset: binary.LittleEndian.Uint64(e[12:])}
	p.mu.Unlock()
	return head, true
}

// put remembers a head that was looked up in generation; a newer one is never replaced by an older.
func (h *heads) put(hash uint64, topic, key []byte, head Head, generation uint64) {
	p := h.part(hash)
	p.mu.Lock()
	defer p.mu.Unlock()
	if generation != h.generation.Load() {
		return
	}
	e := p.find(hash, topic, key)
	if e == nil {
		e = p.insert(hash, topic, key)
	}
	p.raise(e, head)
}

// raise writes a head into an entry, unless that has a newer one.
func (p *headPart) raise(e []byte, head Head) {
	if e != nil && binary.LittleEndian.Uint64(e[4:]) <= head.Revision {
		binary.LittleEndian.PutUint64(e[4:], head.Revision)
		binary.LittleEndian.PutUint64(e[12:], head.Offset)
	}
}

// spare tells whether an entry of this size fits without another being dropped.
func (p *headPart) spare(size int) bool {
	need := 0
	if p.n >= len(p.words)/8*7 {
		need += len(p.words) * 8
	}
	if !p.fits(size) {
		need += headPage
	}
	return !p.filled && size <= headPage/4 && p.bytes()+need <= p.budget
}

// fill puts a head where there is room to spare; false when there is none. It needs no generation: as long as there is room, nothing
// was ever dropped, so a newer head is there and stays.
func (h *heads) fill(topic, key []byte, head Head) bool {
	hash := streamHash(topic, key)
	p := h.part(hash)
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.find(hash, topic, key)
	if e == nil {
		if p.lost = p.lost || !p.spare(headFixed+len(topic)+len(key)); p.lost {
			return false
		}
		e = p.insert(hash, topic, key)
	}
	p.raise(e, head)
	return true
}

// complete says that every ingested stream was put since doubts was read.
func (h *heads) complete(doubts uint64) {
	h.doubtMu.Lock()
	defer h.doubtMu.Unlock()
	if h.doubts.Load() == doubts {
		h.partial.Store(false)
	}
}

// doubt says that streams may come that are not put.
func (h *heads) doubt() {
	h.doubtMu.Lock()
	defer h.doubtMu.Unlock()
	h.partial.Store(true)
	h.doubts.Add(1)
}

// clear forgets everything; what is not in the cache is then unknown.
func (h *heads) clear() {
	h.doubt()
	for i := range h.parts {
		p := &h.parts[i]
		p.mu.Lock()
		p.words, p.n, p.pages, p.oldest, p.filled = make([]uint64, 64), 0, nil, 0, false
		p.mu.Unlock()
	}
}

// measure fills in what the cache takes now, and its counters.
func (h *heads) measure(m *Metrics) {
	for i := range h.parts {
		p := &h.parts[i]
		p.mu.Lock()
		m.HeadsBytes += int64(p.bytes())
		m.HeadHits += p.hits
		m.HeadMisses += p.misses
		p.mu.Unlock()
	}
}

func (p *headPart) bytes() int { return len(p.words)*8 + len(p.pages)*headPage }

// print32 is the part of a hash that a word keeps; it chooses the slot, too, so that words can be moved without their entries.
func print32(hash uint64) uint64 { return hash >> 32 }

func (p *headPart) find(hash uint64, topic, key []byte) []byte {
	if at, ok := p.slot(hash, topic, key); ok {
		return p.entry(uint32(p.words[at]) - 1)
	}
	return nil
}

func (p *headPart) slot(hash uint64, topic, key []byte) (uint64, bool) {
	mask := uint64(len(p.words) - 1)
	for at := print32(hash) & mask; p.words[at] != 0; at = (at + 1) & mask {
		w := p.words[at]
		if w>>32 == print32(hash) && isHead(p.entry(uint32(w)-1), topic, key) {
			return at, true
		}
	}
	return 0, false
}

func isHead(e, topic, key []byte) bool {
	t, k := headNames(e)
	return bytes.Equal(k, key) && bytes.Equal(t, topic)
}

func headNames(e []byte) (topic, key []byte) {
	t := headFixed + int(e[0])
	k := t + int(binary.LittleEndian.Uint16(e[1:]))
	return e[headFixed:t], e[t:k]
}

func headLen(e []byte) int {
	return headFixed + int(e[0]) + int(binary.LittleEndian.Uint16(e[1:]))
}

func (p *headPart) entry(at uint32) []byte { return p.pages[at/headPage][at%headPage:] }

// insert makes an entry for a stream that is known not to have one; nil when it does not fit the budget at all.
func (p *headPart) insert(hash uint64, topic, key []byte) []byte {
	size := headFixed + len(topic) + len(key)
	if size > headPage/4 || p.budget < 4*headPage {
		p.lost = true
		return nil
	}
	p.room(size)
	at := p.append(size)
	e := p.entry(at)
	e[0] = byte(len(topic))
	binary.LittleEndian.PutUint16(e[1:], uint16(len(key)))
	copy(e[headFixed:], topic)
	copy(e[headFixed+len(topic):], key)
	p.link(hash, at)
	return e
}

func (p *headPart) link(hash uint64, at uint32) {
	for p.n >= len(p.words)/8*7 {
		if p.bytes()+len(p.words)*8 <= p.budget {
			p.grow()
		} else {
			p.filled = true
			p.reclaim()
		}
	}
	placeWord(p.words, print32(hash)<<32|uint64(at+1))
	p.n++
}

func placeWord(words []uint64, w uint64) {
	mask := uint64(len(words) - 1)
	at := (w >> 32) & mask
	for words[at] != 0 {
		at = (at + 1) & mask
	}
	words[at] = w
}

func (p *headPart) grow() {
	words := make([]uint64, 2*len(p.words))
	for _, w := range p.words {
		if w != 0 {
			placeWord(words, w)
		}
	}
	p.words = words
}

// unlink takes a word out and closes the gap behind it.
func (p *headPart) unlink(at uint64) {
	mask := uint64(len(p.words) - 1)
	for next := (at + 1) & mask; p.words[next] != 0; next = (next + 1) & mask {
		home := (p.words[next] >> 32) & mask
		if (next-home)&mask >= (next-at)&mask {
			p.words[at] = p.words[next]
			at = next
		}
	}
	p.words[at] = 0
	p.n--
}

// filling is the page that entries go to; -1 before the first.
func (p *headPart) filling() int {
	if !p.filled {
		return len(p.pages) - 1
	}
	return (p.oldest + len(p.pages) - 1) % len(p.pages)
}

func (p *headPart) fits(size int) bool {
	f := p.filling()
	return f >= 0 && len(p.pages[f])+size <= headPage
}

func (p *headPart) append(size int) uint32 {
	f := p.filling()
	at := len(p.pages[f])
	p.pages[f] = p.pages[f][:at+size]
	clear(p.pages[f][at:])
	return uint32(f*headPage + at)
}

// room makes sure that an entry of this size fits the page being filled.
func (p *headPart) room(size int) {
	for !p.fits(size) {
		if !p.filled && p.bytes()+headPage <= p.budget {
			p.pages = append(p.pages, make([]byte, 0, headPage))
			continue
		}
		p.filled = true
		p.reclaim()
	}
}

// reclaim empties the oldest page and makes it the one being filled.
func (p *headPart) reclaim() {
	page := p.oldest
	kept := make([]byte, 0, headPage/2)
	for rest := p.pages[page]; len(rest) > 0; {
		e := rest[:headLen(rest)]
		rest = rest[len(e):]
		topic, key := headNames(e)
		if at, ok := p.slot(streamHash(topic, key), topic, key); ok {
			p.unlink(at)
		}
		if e[3] != 0 && len(kept)+len(e) <= cap(kept) {
			kept = append(kept, e...)
		} else {
			p.lost = true
		}
	}
	p.pages[page] = p.pages[page][:0]
	p.oldest = (p.oldest + 1) % len(p.pages)
	p.restore(kept)
}

func (p *headPart) restore(kept []byte) {
	for len(kept) > 0 {
		e := kept[:headLen(kept)]
		kept = kept[len(e):]
		at := p.append(len(e))
		to := p.entry(at)
		copy(to, e)
		to[3] = 0
		topic, key := headNames(e)
		p.link(streamHash(topic, key), at)
	}
}
