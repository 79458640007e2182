package seglog

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/gesta-db/gesta/internal/errs"
)

// Assembly says what Assemble makes of a folder.
type Assembly struct {
	// Segments are the first indexes of the sealed segments that the log is to have, without a gap, and From the folder with the
	// files of those that the log does not have itself. A file in From goes before one in the log.
	Segments []uint64
	From     string
	// Index and Term are the last entry of the newest segment. Without segments they are the entry after which the log goes on.
	Index, Term uint64
	// Doubt is carried on while it is above Index; see Recovery.
	Doubt uint64
}

// Assemble makes the log in a folder hold these segments, an empty one after them, and nothing else. Nobody has the log open. A crash
// leaves something in between that only another call of Assemble with the same argument, which ends what this one began, makes a log
// of again: the caller notes durably what is to be done before it calls, and removes the note only afterwards.
func Assemble(o Options, a Assembly) error {
	if err := o.complete(); err != nil {
		return err
	}
	l := &Log{o: o, kept: 1}
	if err := l.folder(); err != nil {
		return err
	}
	if err := l.bring(a); err != nil {
		return err
	}
	if err := l.leaveOnly(a.Segments); err != nil {
		return err
	}
	h, err := l.after(a)
	if err != nil {
		return err
	}
	if err := l.begin(h, fullBytes(h.segmentBytes)); err != nil {
		if l.next != nil {
			l.next.discard(l.o.FS)
		}
		return err
	}
	return l.tail.file.release()
}

// bring gives the files in the other folder their names in this one.
func (l *Log) bring(a Assembly) error {
	if len(a.Segments) == 0 {
		return nil
	}
	for _, first := range a.Segments {
		name := segmentName(first)
		err := l.o.FS.Rename(filepath.Join(a.From, name), filepath.Join(l.o.Dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errs.New(errs.Unavailable, "seglog: bring %s into %s: %w", name, l.o.Dir, err)
		}
	}
	return l.syncDirs(l.o.Dir, a.From)
}

func (l *Log) syncDirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := l.o.FS.SyncDir(dir); err != nil {
			return errs.New(errs.Unavailable, "seglog: sync the folder %s: %w", dir, err)
		}
	}
	return nil
}

// leaveOnly removes every other segment.
func (l *Log) leaveOnly(firsts []uint64) error {
	names, err := listSegments(&l.o)
	if err != nil {
		return err
	}
	for _, name := range names {
		if first, _ := parseName(name); slices.Contains(firsts, first) {
			continue
		}
		if err := l.o.FS.Remove(filepath.Join(l.o.Dir, name)); err != nil {
			return errs.New(errs.Unavailable, "seglog: remove %s from %s: %w", name, l.o.Dir, err)
		}
	}
	return l.syncDirs(l.o.Dir)
}

// after is the header of the empty segment at the end, once everything before it is found in order.
func (l *Log) after(a Assembly) (header, error) {
	h := header{
		version: Version, shard: l.o.Shard, first: a.Index + 1, segmentBytes: l.o.SegmentBytes, prevTerm: a.Term, kept: a.Index + 1,
	}
	if a.Doubt > a.Index {
		h.doubt = a.Doubt
	}
	for i, first := range a.Segments {
		f, s, err := openSealed(&l.o, segmentName(first))
		if err != nil {
			return h, err
		}
		_ = f.file.release()
		if i == 0 {
			h.kept = first
		} else if first != h.first {
			return h, errs.New(errs.Invalid, "seglog: entries %d to %d are in none of the segments to assemble", h.first, first-1)
		}
		h.first, h.prevFirst, h.prevEnd, h.prevTerm, h.segmentBytes = s.last+1, first, s.end, s.lastTerm(), s.head.segmentBytes
	}
	if h.first != a.Index+1 || h.prevTerm != a.Term {
		return h, errs.New(errs.Invalid, "seglog: the segments to assemble end with entry %d of term %d, not with entry %d of term %d",
			h.first-1, h.prevTerm, a.Index, a.Term)
	}
	return h, nil
}
