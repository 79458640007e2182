package client

import "sync"

// cache bounds the states that a handler keeps, over all kinds. What is over the budget goes, the longest unused first: the
// server then sends the entity anew.
type cache struct {
	mu     sync.Mutex
	budget int64
	used   int64
	oldest spot // the ring's root: its next is the oldest, its prev the newest
}

// spot is an entity in the cache. While a task is done with it, it is out of the ring.
type spot struct {
	prev, next *spot
	weight     int64
	key        string
	owner      interface{ dropped(p *spot) } // takes it out of the kind's map; with the lock held
}

func newCache(budget int64) *cache {
	c := &cache{budget: budget}
	c.oldest.prev, c.oldest.next = &c.oldest, &c.oldest
	return c
}

// push makes p the newest and drops the oldest beyond the budget; with the lock held.
func (c *cache) push(p *spot) {
	p.prev, p.next = c.oldest.prev, &c.oldest
	p.prev.next, p.next.prev = p, p
	c.used += p.weight
	for c.used > c.budget && c.oldest.next != &c.oldest {
		old := c.oldest.next
		c.pull(old)
		old.owner.dropped(old)
	}
}

// pull takes p out of the ring, if it is in it; with the lock held.
func (c *cache) pull(p *spot) {
	if p.next == nil {
		return
	}
	p.prev.next, p.next.prev = p.next, p.prev
	p.prev, p.next = nil, nil
	c.used -= p.weight
}

// held is the handler's copy of an entity: a session.
type held[S any] struct {
	spot
	session  uint64
	revision uint64
	state    S
	busy     bool
	known    int64 // bytes of the state when it was last written or read
	since    int64 // bytes of the events folded since
}

// heldOverhead is about what an entity takes beside its key and state.
const heldOverhead = 256

func (h *held[S]) weigh() { h.weight = heldOverhead + int64(len(h.key)) + h.known + h.since }

// take gives the copy that a task builds on, and marks it busy; nil when it is not there as the task needs it.
func (b *bound[S, C, E]) take(t *task) *held[S] {
	b.cache.mu.Lock()
	defer b.cache.mu.Unlock()
	old := b.helds[string(t.key)]
	if t.base == baseCold {
		h := &held[S]{session: t.session, busy: true}
		h.key, h.owner = string(t.key), b
		if old != nil {
			b.drop(old)
		}
		if t.session != 0 {
			b.helds[h.key] = h
		}
		return h
	}
	if old == nil || old.busy || old.session != t.session || old.revision > t.revision {
		return nil
	}
	b.cache.pull(&old.spot)
	old.busy = true
	return old
}

// put ends a task's use of a copy, which is kept if keep is true and no other has taken its place.
func (b *bound[S, C, E]) put(h *held[S], keep bool) {
	h.weigh()
	b.cache.mu.Lock()
	defer b.cache.mu.Unlock()
	h.busy = false
	if b.helds[h.key] != h {
		return
	}
	if !keep {
		delete(b.helds, h.key)
		return
	}
	b.cache.push(&h.spot)
}

// drop forgets a copy; with the lock held.
func (b *bound[S, C, E]) drop(h *held[S]) {
	b.cache.pull(&h.spot)
	delete(b.helds, h.key)
}

func (b *bound[S, C, E]) dropped(p *spot) { delete(b.helds, p.key) }

// evict forgets a session.
func (b *bound[S, C, E]) evict(key []byte, session uint64) {
	b.cache.mu.Lock()
	defer b.cache.mu.Unlock()
	if h := b.helds[string(key)]; h != nil && h.session == session {
		b.drop(h)
	}
}

// clear forgets everything: the attachment that the sessions belong to has ended. What is in hand is dropped when it is put back.
func (b *bound[S, C, E]) clear() {
	b.cache.mu.Lock()
	defer b.cache.mu.Unlock()
	for _, h := range b.helds {
		b.cache.pull(&h.spot)
	}
	b.helds = map[string]*held[S]{}
}
