package shard

import (
	"hash/maphash"
	"sync"

	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
)

// watchers are the readers at the tail that want one stream or one topic only. Each is woken by an event of its own and told where
// that is, so that a thousand quiet followers cost a busy shard nothing: none of them looks at what is not for it.
//
// Why nothing is missed: what is new is put into the tail first and told here second, and a reader first registers and then looks
// at the tail's end. So an event is either told to the reader, or the reader sees that the tail has grown and looks for itself.
type watchers struct {
	mu    sync.Mutex
	seed  maphash.Seed
	by    map[uint64][]*watcher // by the hash of what they want
	woken uint64                // the offset at which all were woken
	last  uint64                // the newest event that was told
}

// watcher is one wait.
type watcher struct {
	hash uint64
	from uint64 // what is before was looked at
	next uint64 // where to go on: everything before is for others; set before hit is signalled
	hit  chan struct{}
}

func newWatchers() *watchers {
	return &watchers{seed: maphash.MakeSeed(), by: map[uint64][]*watcher{}}
}

// add registers a wait for what a read wants from an offset on.
func (s *watchers) add(spec *event.ReadSpec, from uint64) *watcher {
	w := &watcher{from: from, hit: make(chan struct{}, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.hash = s.topicHash(spec.Topic); spec.Scope == event.ScopeStream {
		w.hash = s.streamHash(spec.Topic, spec.Key)
	}
	s.by[w.hash] = append(s.by[w.hash], w)
	return w
}

// remove forgets a wait; that it was told already is no matter.
func (s *watchers) remove(w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.by[w.hash]
	for i := range list {
		if list[i] == w {
			list[i] = list[len(list)-1]
			list[len(list)-1] = nil
			s.keep(w.hash, list[:len(list)-1])
			return
		}
	}
}

func (s *watchers) keep(hash uint64, list []*watcher) {
	if len(list) == 0 {
		delete(s.by, hash)
		return
	}
	s.by[hash] = list
}

// tell wakes those for whom there is something among new events, which are in the tail. Now and then it wakes all, so that they
// can tell how far they came.
func (s *watchers) tell(events []index.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(events) == 0 {
		return
	}
	if s.last = events[len(events)-1].Offset; len(s.by) == 0 {
		return
	}
	for i := range events {
		e := &events[i]
		s.wake(s.topicHash(e.Topic), e.Offset)
		s.wake(s.streamHash(e.Topic, e.Key), e.Offset)
	}
	if s.last-s.woken > batchOffsets {
		s.woken = s.last
		for hash := range s.by {
			s.wake(hash, s.last+1)
		}
	}
}

// passed gives the offset before which there is nothing for a wait: where it is told to go on, or behind all that was told.
func (s *watchers) passed(w *watcher) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-w.hit:
		return w.next
	default:
		return s.last + 1
	}
}

// wake tells those who wait under a hash that the first event for them is at an offset, or none before it.
func (s *watchers) wake(hash, offset uint64) {
	list := s.by[hash]
	if len(list) == 0 {
		return
	}
	left := list[:0]
	for _, w := range list {
		if offset < w.from {
			left = append(left, w) // it has looked at this
			continue
		}
		w.next = offset
		w.hit <- struct{}{}
	}
	clear(list[len(left):])
	s.keep(hash, left)
}

func (s *watchers) topicHash(topic []byte) uint64 { return maphash.Bytes(s.seed, topic) }

// streamHash differs from every topic's: no topic holds a zero byte.
func (s *watchers) streamHash(topic, key []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_, _ = h.Write(topic)
	_ = h.WriteByte(0)
	_, _ = h.Write(key)
	return h.Sum64()
}
