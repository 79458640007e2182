package seglog

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs"
)

const (
	spareName   = "next.tmp"    // a file filled ahead, without a header
	rewriteName = "rewrite.tmp" // the rewritten segment of a truncation
	fillBytes   = 256 << 10     // zeros written between two syncs: with 4 MiB an append beside waits twice as long
	growBytes   = 1 << 20       // what a file that is not filled ahead grows by, at most
)

// spare is a zero-filled file that waits to become a segment.
type spare struct {
	f    vfs.File
	path string
	size int64
}

func (s *spare) discard(fsys vfs.FS) {
	_ = s.f.Close()
	_ = fsys.Remove(s.path) // Open removes what stays
}

func alignPage(n int64) int64 { return (n + pageBytes - 1) &^ (pageBytes - 1) }

// fullBytes is the size of a file made ahead: the segment, and something for batch headers, marks and the last entry.
func fullBytes(segmentBytes int64) int64 {
	return alignPage(pageBytes + segmentBytes + segmentBytes/16)
}

// growth is by how much a file grows when it was not filled ahead, or not far enough.
func growth(segmentBytes int64) int64 { return min(growBytes, segmentBytes/16) }

var zeroFill [fillBytes]byte

// fill writes zeros from one place to another.
func fill(f vfs.File, from, to int64) error {
	for from < to {
		n := min(int64(len(zeroFill)), to-from)
		if _, err := f.WriteAt(zeroFill[:n], from); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// Prepare makes the file of the next segment, filled with zeros to its full size and durable, so that appends only overwrite.
// It may take as long as the disk needs to write a segment; it is called beside Append, again after each roll, and does nothing
// when the file is there. A failure (errs.NoSpace, errs.Unavailable) leaves the log as it was.
func (l *Log) Prepare() error {
	if err := l.usable(); err != nil {
		return err
	}
	l.preparing.Lock()
	defer l.preparing.Unlock()
	if err := l.usable(); err != nil {
		return err // closed while we waited
	}
	size := fullBytes(l.state.Load().active.head.segmentBytes)
	if l.next != nil && l.next.size >= size {
		return nil
	}
	began := now(l.o.Listener)
	if err := l.haveSpare(size); err != nil {
		return err
	}
	if l.o.Listener.Prepared != nil {
		l.o.Listener.Prepared(time.Since(began))
	}
	return nil
}

// haveSpare has the next segment's file with at least so many bytes. The caller holds preparing.
func (l *Log) haveSpare(size int64) error {
	if l.next == nil {
		s, err := makeSpare(l.o.FS, filepath.Join(l.o.Dir, spareName))
		if err != nil {
			return err
		}
		l.next = s
	}
	if err := l.next.grow(size); err != nil {
		path := l.next.path
		l.next.discard(l.o.FS)
		l.next = nil
		return spareError(path, err)
	}
	return nil
}

func makeSpare(fsys vfs.FS, path string) (*spare, error) {
	if err := fsys.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errs.New(errs.Unavailable, "seglog: remove %s: %w", path, err)
	}
	f, err := fsys.Create(path)
	if err != nil {
		return nil, spareError(path, err)
	}
	return &spare{f: f, path: path}, nil
}

// grow fills the file up to size, and syncs now and then: one sync of it all would hold up the syncs of appends beside.
func (s *spare) grow(size int64) error {
	for s.size < size {
		to := min(s.size+fillBytes, size)
		if err := fill(s.f, s.size, to); err != nil {
			return err
		}
		if err := s.f.SyncData(); err != nil {
			return err
		}
		s.size = to
	}
	return nil
}

func spareError(path string, err error) error {
	if noSpace(err) {
		return errs.New(errs.NoSpace, "seglog: no space for the next segment, %s: %w; free space on the volume", path, err)
	}
	return errs.New(errs.Unavailable, "seglog: make %s for the next segment: %w", path, err)
}
