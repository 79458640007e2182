package shard

import (
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

const (
	// maxUnsealed is how many full segments may wait to be sealed before appends are refused.
	maxUnsealed = 4
	// prepareAgain is how long a full disk is left alone before the next try.
	prepareAgain = time.Second
)

// keeper prepares the next segment and seals full ones, beside the loop.
type keeper struct {
	s    *Shard
	wake chan struct{}
	stop chan struct{}
	full bool
	// sealed is the segment up to which everything is sealed and ingested.
	sealed  uint64
	holding sync.Mutex
}

func newKeeper(s *Shard) *keeper {
	return &keeper{s: s, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

func (k *keeper) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *keeper) close() { close(k.stop) }

func (k *keeper) run() {
	again := time.NewTicker(prepareAgain)
	defer again.Stop()
	for {
		k.prepare()
		k.seal()
		select {
		case <-k.stop:
			return
		case <-k.wake:
		case <-again.C:
		}
	}
}

// seal seals what has become full since it last succeeded.
func (k *keeper) seal() {
	applying := k.s.status.Load().segment
	if applying == k.sealed {
		return
	}
	if err := sealFull(k.s.disk.Log, k.s.ix, k.s.o.FS, k.s.o.Dir, applying); err != nil {
		k.s.o.Logger.Error("a full segment could not be sealed; it is tried again", "error", err)
	} else {
		k.sealed = applying
	}
	k.hold()
}

// prepare makes the next segment ready, a whole segment ahead. While that fails, appends are refused: what is in flight still
// finds room in the active segment.
func (k *keeper) prepare() {
	err := k.s.disk.Log.Prepare()
	switch {
	case err == nil && k.full:
		k.full = false
		k.s.Refuse("space", nil)
		k.s.o.Logger.Info("space returned; appends are accepted again")
	case errs.CodeOf(err) == errs.NoSpace && !k.full:
		k.full = true
		e := errs.New(errs.NoSpace, "the disk has no room for the next segment of shard %d; nothing was written: free space and try again", k.s.o.Number)
		k.s.Refuse("space", e)
		k.s.o.Logger.Error("no space for the next segment; appends are refused", "error", err)
	}
}

// hold refuses appends while too many full segments wait: their index is in memory. The loop calls it, too, whenever a segment
// has become full: sealing may take long, or hang.
func (k *keeper) hold() {
	k.holding.Lock()
	defer k.holding.Unlock()
	waiting := len(unsealed(k.s.disk.Log, k.s.ix)) - 1 // the active one does not wait
	var e *errs.Error
	if waiting >= maxUnsealed {
		e = errs.New(errs.Busy, "%d full segments of shard %d wait to be sealed; nothing was written: try again later", waiting, k.s.o.Number)
	}
	k.s.Refuse("sealing", e)
}

// unsealed lists the segments whose index is in memory, oldest first: those that are not sealed, or whose table is not ingested.
func unsealed(log *seglog.Log, ix *index.Index) []seglog.Segment {
	in := map[uint64]bool{}
	for _, m := range ix.Ingested() {
		in[m.Segment] = true
	}
	return slices.DeleteFunc(log.Segments(), func(s seglog.Segment) bool { return s.Sealed && in[s.First] })
}

// sealFull seals every segment before the one that is being applied, oldest first.
func sealFull(log *seglog.Log, ix *index.Index, fsys vfs.FS, dir string, applying uint64) error {
	for _, seg := range unsealed(log, ix) {
		if seg.First >= applying {
			return nil
		}
		if err := sealSegment(log, ix, fsys, dir, seg.First); err != nil {
			return err
		}
	}
	return nil
}

// sealSegment builds a full segment's table beside it, seals the segment, and gives the table to the index. A crash in between
// leaves a table that is built again, or one that is ingested at the next start.
func sealSegment(log *seglog.Log, ix *index.Index, fsys vfs.FS, dir string, first uint64) error {
	file := IndexFile(dir, first)
	if err := fsys.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := ix.Build(first, file); err != nil {
		return err
	}
	if err := log.Seal(first); err != nil {
		return err
	}
	return ix.Ingest(first, file)
}
