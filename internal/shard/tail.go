package shard

import (
	"sync"

	"github.com/gesta-db/gesta/internal/replica"
)

// tailBytes is how much of the log's newest part readers find in memory: a few seconds of a busy shard, so that a reader at the
// tail never touches the disk.
const tailBytes = 16 << 20

// tail keeps the newest applied entries for readers, and wakes those who wait for more.
type tail struct {
	mu      sync.Mutex
	limit   int
	bytes   int
	entries []tailEntry
	last    uint64 // the newest applied offset
	grown   chan struct{}
	closed  bool
	ended   chan struct{} // closed with the tail
	watch   *watchers
}

// tailEntry is an entry with its events' offsets; it has none when first > last.
type tailEntry struct {
	index       uint64
	first, last uint64
	data        []byte
}

func newTail(limit int) *tail {
	return &tail{limit: limit, grown: make(chan struct{}), ended: make(chan struct{}), watch: newWatchers()}
}

func (t *tail) add(e replica.Entry, first, last uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last = last; first > last {
		return
	}
	t.entries = append(t.entries, tailEntry{index: e.Index, first: first, last: last, data: e.Data})
	t.bytes += len(e.Data)
	n := 0
	for t.bytes > t.limit && n < len(t.entries)-1 {
		t.bytes -= len(t.entries[n].data)
		n++
	}
	t.entries = t.entries[n:]
	close(t.grown)
	t.grown = make(chan struct{})
}

// set tells where the log ended when it was opened.
func (t *tail) set(last uint64) {
	t.mu.Lock()
	t.last = last
	t.mu.Unlock()
}

func (t *tail) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		close(t.grown)
		close(t.ended)
	}
}

// end gives the newest applied offset, and a channel that is closed when there is a newer one.
func (t *tail) end() (last uint64, grown <-chan struct{}, closed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last, t.grown, t.closed
}

// from gives the entries that hold offset and what follows, when all of that is in memory. The entries are not copied; their
// data never changes.
func (t *tail) from(offset uint64) []tailEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.entries) == 0 || offset < t.entries[0].first {
		return nil
	}
	lo, hi := 0, len(t.entries)
	for lo < hi {
		if mid := (lo + hi) / 2; t.entries[mid].last < offset {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return t.entries[lo:len(t.entries):len(t.entries)]
}

// entry gives the data of an entry, when it is in memory.
func (t *tail) entry(index uint64) ([]byte, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lo, hi := 0, len(t.entries)
	for lo < hi {
		if mid := (lo + hi) / 2; t.entries[mid].index < index {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(t.entries) && t.entries[lo].index == index {
		return t.entries[lo].data, true
	}
	return nil, false
}
