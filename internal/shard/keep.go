package shard

import (
	"errors"
	"io/fs"
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
		if err := sealFull(k.s.disk.Log, k.s.ix, k.s.o.FS, k.s.o.Dir, k.s.status.Load().segment); err != nil {
			k.s.o.Logger.Error("a full segment could not be sealed; it is tried again", "shard", k.s.o.Number, "error", err)
		}
		k.hold()
		select {
		case <-k.stop:
			return
		case <-k.wake:
		case <-again.C:
		}
	}
}

// prepare makes the next segment ready, a whole segment ahead. While that fails, appends are refused: what is in flight still
// finds room in the active segment.
func (k *keeper) prepare() {
	err := k.s.disk.Log.Prepare()
	switch {
	case err == nil && k.full:
		k.full = false
		k.s.Refuse("space", nil)
		k.s.o.Logger.Info("space returned; appends are accepted again", "shard", k.s.o.Number)
	case errs.CodeOf(err) == errs.NoSpace && !k.full:
		k.full = true
		e := errs.New(errs.NoSpace, "the disk has no room for the next segment of shard %d; nothing was written: free space and try again", k.s.o.Number)
		k.s.Refuse("space", e)
		k.s.o.Logger.Error("no space for the next segment; appends are refused", "shard", k.s.o.Number, "error", err)
	}
}

// hold refuses appends while too many full segments wait: their index is in memory.
func (k *keeper) hold() {
	waiting := -1 // the active one does not wait
	for _, seg := range k.s.disk.Log.Segments() {
		if !seg.Sealed {
			waiting++
		}
	}
	var e *errs.Error
	if waiting >= maxUnsealed {
		e = errs.New(errs.Busy, "%d full segments of shard %d wait to be sealed; nothing was written: try again later", waiting, k.s.o.Number)
	}
	k.s.Refuse("sealing", e)
}

// sealFull seals every segment before the one that is being applied, oldest first.
func sealFull(log *seglog.Log, ix *index.Index, fsys vfs.FS, dir string, applying uint64) error {
	for _, seg := range log.Segments() {
		if seg.First >= applying {
			return nil
		}
		if seg.Sealed {
			continue
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
