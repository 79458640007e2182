package seglog

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"sync/atomic"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs"
)

// file is an open segment file. It is closed when the log has let go of it and the last read is done.
type file struct {
	f    vfs.File
	path string
	refs atomic.Int64
}

func newFile(f vfs.File, path string) *file {
	h := &file{f: f, path: path}
	h.refs.Store(1)
	return h
}

// acquire fails when the file is closed already: the caller's view of the log is old, and a new one is there.
func (h *file) acquire() bool {
	for {
		n := h.refs.Load()
		if n == 0 {
			return false
		}
		if h.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (h *file) release() error {
	if h.refs.Add(-1) == 0 {
		return h.f.Close()
	}
	return nil
}

// read fills b from pos; fewer bytes come back only where the file ends.
func (h *file) read(b []byte, pos int64) ([]byte, error) {
	n, err := h.f.ReadAt(b, pos)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errs.New(errs.Unavailable, "seglog: read %s at byte %d: %w", h.path, pos, err)
	}
	return b[:n], nil
}

// run is a stretch of entries of one term, up to the next run's first.
type run struct{ first, term uint64 }

func termOf(runs []run, index uint64) uint64 {
	i := sort.Search(len(runs), func(i int) bool { return runs[i].first > index })
	return runs[i-1].term
}

// segment is an immutable view of a segment: what was durable when it was published.
type segment struct {
	name   string
	file   *file
	head   header
	last   uint64 // head.first-1 when it is empty
	end    int64  // of the batches
	used   int64  // logical size
	pos    []uint32
	runs   []run
	foot   *footer // nil until sealed; then pos is nil
	sum    sumState
	commit uint64 // in the newest batch read; 0 when sealed
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d.seg", first) }

// parseName gives the first index in a segment's file name.
func parseName(name string) (first uint64, ok bool) {
	if len(name) != 24 || name[20:] != ".seg" {
		return 0, false
	}
	first, err := strconv.ParseUint(name[:20], 10, 64)
	return first, err == nil && first > 0
}

func (s *segment) empty() bool { return s.last < s.head.first }

func (s *segment) full() bool { return s.used >= s.head.segmentBytes }

func (s *segment) lastTerm() uint64 {
	if s.empty() {
		return s.head.prevTerm
	}
	return termOf(s.runs, s.last)
}

// position is where the header of an entry is that the segment holds.
func (s *segment) position(c *positions, index uint64) (int64, error) {
	i := index - s.head.first
	if s.foot == nil {
		return int64(s.pos[i]) * 8, nil
	}
	return c.find(s, i)
}

func (s *segment) corrupt(at int64, format string, args ...any) error {
	return corrupt(s.file.path, at, format, args...)
}

func corrupt(path string, at int64, format string, args ...any) *errs.Error {
	return errs.New(errs.Corrupt, "seglog: %s is damaged at byte %d: %w", path, at, fmt.Errorf(format, args...)).
		With("file", path).With("offset", strconv.FormatInt(at, 10))
}

func noSpace(err error) bool {
	return vfs.IsNoSpace(err) || errs.CodeOf(err) == errs.NoSpace
}

// state is what readers see: replaced as a whole, never changed.
type state struct {
	full   []*segment // all but the last, ascending
	active *segment
}

func (s *state) first() uint64 {
	if len(s.full) > 0 {
		return s.full[0].head.first
	}
	return s.active.head.first
}

// find gives the segment that holds or would hold index, which is not below first().
func (s *state) find(index uint64) *segment {
	if index >= s.active.head.first {
		return s.active
	}
	i := sort.Search(len(s.full), func(i int) bool { return s.full[i].head.first > index })
	return s.full[i-1]
}

func (s *state) all() []*segment {
	return append(append(make([]*segment, 0, len(s.full)+1), s.full...), s.active)
}
