package index

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// warmTogether is of how many segments the ids are gathered before they go through the window: some 13 MB for a moment.
const warmTogether = 8

// warmer fills the id window, and then the filters, after a start. Until the window is full, SealedIDs waits.
type warmer struct {
	stop atomic.Bool
	ids  chan struct{} // closed when the window is full, or err is set
	err  error
	done chan struct{}

	sealed []*segment // what was there at the start
	once   *sync.Once
	heads  chan struct{} // closed when the heads are in the cache, as far as they fit
}

func (w *warmer) close() {
	w.stop.Store(true)
	<-w.done
	w.once.Do(func() { close(w.heads) })
	<-w.heads
}

func (ix *Index) warmUp(sealed []*segment) {
	w := &ix.warm
	w.ids, w.done, w.err = make(chan struct{}), make(chan struct{}), nil
	w.sealed, w.once, w.heads = sealed, new(sync.Once), make(chan struct{})
	w.stop.Store(false)
	if len(sealed) == 0 {
		close(w.ids)
		close(w.done)
		return
	}
	go func() {
		defer close(w.done)
		w.err = ix.warmIDs(sealed)
		close(w.ids)
		if w.err == nil {
			_ = ix.warmFilters(sealed) // without a filter a look-up is slower, not wrong, and meets the same error
		}
	}()
}

// warmIDs reads the ids of the newest segments, as many as the window covers.
func (ix *Index) warmIDs(sealed []*segment) error {
	c, err := ix.cursor()
	if err != nil {
		return err
	}
	defer c.release()
	newest := sealed[len(sealed)-1].LastOffset
	var some []hashed
	for _, s := range sealed {
		if ix.warm.stop.Load() {
			return nil
		}
		if s.LastOffset+ix.o.IDWindow <= newest {
			continue
		}
		hashes, err := c.hashes(s)
		if err != nil {
			return err
		}
		if some = append(some, hashed{s, hashes}); len(some) == warmTogether {
			ix.ids.add(some...)
			some = nil
		}
	}
	ix.ids.add(some...)
	return nil
}

func (ix *Index) warmFilters(sealed []*segment) error {
	c, err := ix.cursor()
	if err != nil {
		return err
	}
	defer c.release()
	for _, s := range slices.Backward(sealed) {
		if ix.warm.stop.Load() {
			return nil
		}
		if err := ix.loadFilter(c, s); err != nil {
			return err
		}
	}
	return nil
}

// loadFilter brings a segment's filter into memory as long as the budget for filters lasts.
func (ix *Index) loadFilter(c *cursor, s *segment) error {
	if s.filter.Load() != nil || ix.filterBytes()+int64(s.filterBlocks)*filterBlock > ix.o.HeadsCacheBytes/2 {
		return nil
	}
	f, err := c.filter(s)
	if err == nil {
		s.filter.Store(&f)
	}
	return err
}

func (ix *Index) filterBytes() (n int64) {
	for _, s := range ix.view.Load().sealed {
		if f := s.filter.Load(); f != nil {
			n += int64(len(*f)) * 8
		}
	}
	return n
}

// wantHeads fills the cache of heads from the segments that were there at the start, newest first. It begins when a head is asked
// for and missed: an idle server has no use for it.
func (ix *Index) wantHeads() {
	w := &ix.warm
	w.once.Do(func() {
		if len(w.sealed) == 0 {
			close(w.heads)
			return
		}
		go func() {
			defer close(w.heads)
			<-w.done
			_ = ix.warmHeads(w.sealed) // without it look-ups are slower, not wrong, and meet the same error
		}()
	})
}

// warmHeads makes the cache complete if all heads fit.
func (ix *Index) warmHeads(sealed []*segment) error {
	c, err := ix.cursor()
	if err != nil {
		return err
	}
	defer c.release()
	doubts, fits := ix.heads.doubts.Load(), true
	fill := func(topic, key []byte, head Head) bool {
		fits = ix.heads.fill(topic, key, head) && fits
		return !ix.warm.stop.Load()
	}
	for _, s := range slices.Backward(sealed) {
		if err := c.eachStream(s, fill); err != nil || ix.warm.stop.Load() || !fits {
			return err
		}
		runtime.Gosched()
	}
	ix.heads.complete(doubts)
	return nil
}
