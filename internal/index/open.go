package index

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gesta-db/gesta/internal/errs"
)

// format is the pinned version of Pebble's files. It only ever goes up; the index is built again rather than migrated.
const format = pebble.FormatTableFormatV6

// discard is a file that says: what is here is damaged, begin anew at the next start.
const discard = "DISCARD"

const (
	tableBlock  = 8 << 10
	openTables  = 512
	memoryTable = 256 << 10 // nothing is ever written but by ingestion
)

// Open opens the index, or begins an empty one. It does not fail on damage: the folder is emptied and the listener told, since
// the log has everything. It fails when the folder cannot be used at all: Unavailable when another process has it open.
func Open(o Options) (*Index, error) {
	ix := &Index{o: o, fs: o.FS, cursors: make(chan *cursor, idleCursors)}
	if ix.fs == nil {
		ix.fs = vfs.Default
	}
	if ix.o.IDWindow == 0 {
		ix.o.IDWindow = defaultIDWindow
	}
	err := ix.open()
	if err != nil && discardable(err) && !o.ReadOnly {
		err = ix.startOver(err)
	}
	if err != nil {
		return nil, openFailed(o.Dir, err)
	}
	return ix, nil
}

func (ix *Index) open() error {
	if _, err := ix.fs.Stat(ix.fs.PathJoin(ix.o.Dir, discard)); err == nil {
		return errDiscard
	}
	if err := ix.openDB(); err != nil {
		return err
	}
	ix.heads, ix.ids = newHeads(ix.o.HeadsCacheBytes), newIDWindow(ix.o.IDWindow)
	sealed, err := ix.findSegments()
	if err != nil {
		_ = ix.closeDB()
		return err
	}
	ix.heads.partial.Store(len(sealed) > 0)
	ix.view.Store(newView(sealed, nil))
	ix.warmUp(sealed)
	return nil
}

// openDB takes the lock first, so that a folder in use is never taken for a damaged one.
func (ix *Index) openDB() error {
	if !ix.o.ReadOnly {
		if err := ix.fs.MkdirAll(ix.o.Dir, 0o755); err != nil {
			return err
		}
	}
	lock, err := pebble.LockDirectory(ix.o.Dir, ix.fs)
	if err != nil {
		return fmt.Errorf("%w: %w", errInUse, err)
	}
	cache := pebble.NewCache(ix.o.BlockCacheBytes)
	o := ix.pebbleOptions(cache)
	o.Lock = lock
	var db *pebble.DB
	err = ix.guarded(func() (err error) {
		db, err = pebble.Open(ix.o.Dir, o)
		return err
	})
	if err != nil {
		cache.Unref()
		return errors.Join(err, lock.Close())
	}
	ix.db, ix.cache, ix.lock = db, cache, lock
	return nil
}

func (ix *Index) pebbleOptions(cache *pebble.Cache) *pebble.Options {
	o := &pebble.Options{
		FS: ix.fs, Cache: cache, FormatMajorVersion: format, DisableWAL: true, ReadOnly: ix.o.ReadOnly,
		MemTableSize: memoryTable, MaxOpenFiles: openTables,
		DisableAutomaticCompactions: true,
		Logger:                      pebbleLog{ix},
		EventListener:               &pebble.EventListener{DataCorruption: func(i pebble.DataCorruptionInfo) { ix.damage(i.Details) }},
	}
	o.Experimental.CompactionScheduler = noCompactions{}
	return o
}

// tableOptions are those of every table; the same ones give the same bytes.
func tableOptions() sstable.WriterOptions {
	o := &pebble.Options{FormatMajorVersion: format}
	for i := range o.Levels {
		o.Levels[i].BlockSize = tableBlock
	}
	o.EnsureDefaults()
	return o.MakeWriterOptions(6, format.MaxTableFormat())
}

func readerOptions() sstable.ReaderOptions {
	o := &pebble.Options{FormatMajorVersion: format}
	o.EnsureDefaults()
	return o.MakeReaderOptions()
}

// findSegments reads the mark of every ingested segment.
func (ix *Index) findSegments() ([]*segment, error) {
	it, err := ix.db.NewIterWithContext(context.Background(), nil)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var sealed []*segment
	for ok := it.First(); ok; {
		key := it.Key()
		if len(key) != keyHead || key[8] != kindMark {
			return nil, errShort
		}
		s := &segment{}
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		if err := s.decode(head64(key), v); err != nil {
			return nil, err
		}
		sealed = append(sealed, s)
		ok = it.SeekGE(appendKey(nil, s.Segment, kindEnd))
	}
	return sealed, it.Error()
}

// startOver empties the folder. The mark that says so is removed last, so a crash in between ends in the same place.
func (ix *Index) startOver(reason error) error {
	if l := ix.o.Listener; l != nil && l.Discarded != nil {
		l.Discarded(ix.o.Dir, reason)
	}
	if err := ix.fs.RemoveAll(ix.o.Dir); err != nil {
		return err
	}
	return ix.open()
}

var (
	errDiscard = errors.New("damage was found in it before")
	errInUse   = errors.New("it cannot be locked")
)

// discardable tells damage from what emptying the folder would not mend.
func discardable(err error) bool {
	for _, other := range []error{errInUse, fs.ErrPermission, syscall.ENOSPC, syscall.EIO, syscall.EMFILE, syscall.EROFS} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

func openFailed(dir string, err error) error {
	switch {
	case errors.Is(err, errInUse):
		return errs.New(errs.Unavailable, "the index folder %s is in use: stop the other process: %w", dir, err)
	case errors.Is(err, syscall.ENOSPC):
		return errs.New(errs.NoSpace, "the index folder %s cannot be opened: free space on its disk: %w", dir, err)
	}
	return errs.New(errs.Internal, "the index folder %s cannot be opened: %w", dir, err)
}

// failed gives an error of reading its code. Damage makes the next start begin anew.
func (ix *Index) failed(err error) error {
	if !errors.Is(err, errShort) && !pebble.IsCorruptionError(err) {
		return fmt.Errorf("read the index: %w", err)
	}
	ix.damage(err)
	return errs.New(errs.Corrupt, "the index in %s is damaged: restart the server, which builds it again from the log: %w", ix.o.Dir, err).With("file", ix.o.Dir)
}

// damage remembers, also on disk, that the folder is not to be trusted any more.
func (ix *Index) damage(reason error) {
	if ix.damaged.Swap(true) {
		return
	}
	if !ix.o.ReadOnly {
		ix.markDamaged()
	}
	if l := ix.o.Listener; l != nil && l.Damaged != nil {
		l.Damaged(ix.o.Dir, reason)
	}
}

func (ix *Index) markDamaged() {
	if f, err := ix.fs.Create(ix.fs.PathJoin(ix.o.Dir, discard), writes); err == nil {
		_ = errors.Join(f.Sync(), f.Close(), syncDir(ix.fs, ix.o.Dir)) // if it is lost, the damage is met again
	}
}

// Reset forgets everything, in memory and on disk, and begins anew.
func (ix *Index) Reset() error {
	if err := ix.Close(); err != nil {
		return err
	}
	if err := ix.fs.RemoveAll(ix.o.Dir); err != nil {
		return err
	}
	ix.current = nil
	ix.generation.Add(1)
	return ix.open()
}

// Close ends the index; no call may be under way.
func (ix *Index) Close() error {
	ix.warm.close()
	return ix.closeDB()
}

func (ix *Index) closeDB() error {
	ix.closeCursors()
	err := ix.guarded(ix.db.Close)
	ix.cache.Unref()
	return errors.Join(err, ix.lock.Close())
}
