package seglog

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/gesta-db/gesta/internal/errs"
)

// Cut tells of the one doubtful last batch, damaged and therefore cut.
type Cut struct {
	File          string
	Offset, Bytes int64
	HighestIndex  uint64 // the highest index that it may have held
	Reason        string
}

// Recovery is what Open found.
type Recovery struct {
	Cut *Cut // nil unless a batch was cut by this Open
	// Doubt is the highest index that a cut batch may have held, of this or an earlier Open, while it is above Last(); 0
	// otherwise. It is durable in the log until the log has grown past it.
	Doubt  uint64
	Commit uint64 // the highest commit index found, clamped to Last()
}

// Open opens a log, or makes one with first index 1 where the folder holds none. Damage is errs.Corrupt and names file and
// offset; a newer format is errs.Unsupported; a folder that cannot be read or written is errs.Unavailable or errs.NoSpace.
// Whatever Open returns is durable: also what a killed process left in the system's cache.
func Open(o Options) (*Log, Recovery, error) {
	if err := o.complete(); err != nil {
		return nil, Recovery{}, err
	}
	l := &Log{o: o, kept: 1}
	if err := l.folder(); err != nil {
		return nil, Recovery{}, err
	}
	fold, err := readFolder(&o)
	if err != nil {
		return nil, Recovery{}, err
	}
	if len(fold.files) == 0 {
		return l.create()
	}
	rec, err := l.load(fold)
	if err != nil {
		fold.close()
		return nil, Recovery{}, err
	}
	return l, rec, nil
}

// folder makes the folder and clears what a crash may have left half done.
func (l *Log) folder() error {
	if err := l.o.FS.MkdirAll(l.o.Dir); err != nil {
		return errs.New(errs.Unavailable, "seglog: make the folder %s: %w", l.o.Dir, err)
	}
	for _, name := range []string{spareName, rewriteName} {
		if err := l.o.FS.Remove(filepath.Join(l.o.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errs.New(errs.Unavailable, "seglog: remove what was left half done: %w", err)
		}
	}
	return nil
}

// create makes the first segment, filled ahead.
func (l *Log) create() (*Log, Recovery, error) {
	if err := l.syncAbove(); err != nil {
		return nil, Recovery{}, err
	}
	h := header{version: Version, shard: l.o.Shard, first: 1, segmentBytes: l.o.SegmentBytes, kept: 1}
	if err := l.begin(h, fullBytes(h.segmentBytes)); err != nil {
		if l.next != nil {
			l.next.discard(l.o.FS)
		}
		return nil, Recovery{}, err
	}
	return l, Recovery{}, nil
}

// syncAbove makes the folder's name durable, and those of the folders above it, which may be as new.
func (l *Log) syncAbove() error {
	for at := filepath.Clean(l.o.Dir); ; {
		above := filepath.Dir(at)
		if above == at {
			return nil
		}
		err := l.o.FS.SyncDir(above)
		if errors.Is(err, fs.ErrPermission) {
			return nil // a folder that we may not read is not one that we made a folder in
		}
		if err != nil {
			return errs.New(errs.Unavailable, "seglog: sync the folder %s: %w", above, err)
		}
		at = above
	}
}

// begin makes an empty segment of this header, the only one of the log.
func (l *Log) begin(h header, size int64) error {
	if err := l.haveSpare(size); err != nil {
		return err
	}
	h.salt, h.maxBatch = l.o.Salt(), uint32(l.o.MaxBatchEntries)
	h.size, h.sure = l.next.size, pageBytes
	t := newTail(newFile(l.next.f, filepath.Join(l.o.Dir, segmentName(h.first))), segmentName(h.first), h)
	if err := l.name(t, l.next.path, nil); err != nil {
		return err
	}
	l.next = nil
	l.tail = t
	l.state.Store(&state{active: t.view()})
	return nil
}

// load makes the log of the files found.
func (l *Log) load(fold *folder) (Recovery, error) {
	last := fold.files[len(fold.files)-1]
	if last.sealed {
		return Recovery{}, corrupt(last.file.path, 0, "the segment is sealed, so there was one after it, and that is missing")
	}
	w := new(window)
	sc := newScan(last.file, last.name, last.head, w)
	if err := sc.run(); err != nil {
		return Recovery{}, err
	}
	if sc.stop != nil && sc.stop.sure && !l.o.Salvage {
		return Recovery{}, sc.stop.err(last.file)
	}
	l.kept, l.doubt = max(l.kept, sc.kept), sc.doubt
	full, err := l.loadFull(fold, w)
	if err != nil {
		return Recovery{}, err
	}
	l.tail = sc.tail
	l.state.Store(&state{full: full, active: sc.tail.view()})
	rec := Recovery{Commit: commitOf(full, sc.tail)}
	if sc.stop != nil && sc.stop.sure {
		rec.Cut, err = l.salvage(sc)
	} else {
		rec.Cut, err = l.recover(sc)
	}
	if err != nil {
		return Recovery{}, err
	}
	l.settleDoubt()
	rec.Doubt = l.doubt
	rec.Commit = min(rec.Commit, l.tail.last)
	l.tail.commit = max(l.tail.commit, rec.Commit)
	return rec, nil
}

// loadFull drops the segments below what is kept and takes all others but the last.
func (l *Log) loadFull(fold *folder, w *window) ([]*segment, error) {
	if err := fold.dropBelow(l.kept); err != nil {
		return nil, err
	}
	if err := fold.chained(l.kept); err != nil {
		return nil, err
	}
	var full []*segment
	for i, f := range fold.files[:len(fold.files)-1] {
		s, err := f.open(&fold.files[i+1].head, w)
		if err != nil {
			return nil, err
		}
		full = append(full, s)
	}
	return full, nil
}

// commitOf is the highest commit index in the headers; what is sealed was committed.
func commitOf(full []*segment, t *tail) uint64 {
	commit := t.commit
	for _, s := range full {
		if s.foot != nil {
			commit = max(commit, s.last)
		}
		commit = max(commit, s.commit)
	}
	return commit
}

// recover cuts the doubtful batch if there is one, and makes durable what was found: a killed process may have left it in the
// system's cache only.
func (l *Log) recover(sc *scan) (*Cut, error) {
	t := l.tail
	var cut *Cut
	if sc.stop != nil {
		cut = sc.cut()
		if err := fill(t.file.f, t.end+batchHeader, sc.rest); err != nil {
			return nil, errs.New(errs.Unavailable, "seglog: clear the damaged batch in %s: %w", t.file.path, err)
		}
	}
	if err := t.file.f.SyncData(); err != nil {
		return nil, errs.New(errs.Unavailable, "seglog: sync %s: %w", t.file.path, err)
	}
	if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
		return nil, errs.New(errs.Unavailable, "seglog: sync %s: %w", l.o.Dir, err)
	}
	if cut == nil {
		return nil, nil
	}
	if err := l.noteCut(cut.HighestIndex); err != nil {
		return nil, err
	}
	if l.o.Listener.Cut != nil {
		l.o.Listener.Cut(*cut)
	}
	return cut, nil
}

// cut tells what is lost with the batch after the last good one.
func (s *scan) cut() *Cut {
	t := s.tail
	c := &Cut{File: t.file.path, Offset: t.end, Bytes: s.rest - t.end, Reason: s.stop.reason}
	if s.torn.kind != 0 {
		c.HighestIndex = t.last + uint64(s.torn.count)
	} else {
		c.HighestIndex = t.last + uint64(t.head.maxBatch)
	}
	return c
}

// noteCut takes the place of the batch that was cut, so that the doubt outlives a crash before the caller has acted on it.
func (l *Log) noteCut(highest uint64) error {
	l.doubt = max(l.doubt, highest)
	return l.write(batchCut, nil, nil, 0, l.doubt)
}
