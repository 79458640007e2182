package seglog

import (
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs"
)

// Options say where a log lies and, when it is new, how it is made.
type Options struct {
	FS  vfs.FS
	Dir string
	// Shard is the log's number; it seeds every checksum, so files of another log are damage here.
	Shard uint64
	// SegmentBytes is the size at which a segment of a new log is full, in bytes, at least 4 KiB and at most 1 GiB. A log that
	// exists keeps its own.
	SegmentBytes int64
	// MaxBatchEntries is how many entries one write carries at most, 1,024 when 0. It holds from the next segment on, since
	// it bounds what a cut can have lost.
	MaxBatchEntries int
	// Salvage lets Open cut the last segment where it is damaged in a way that no torn write is, instead of refusing (errs.Corrupt).
	// What is lost may have been acknowledged, and committed. It is for a caller who has the rest elsewhere, and to whom
	// Cut.HighestIndex says how far not to trust itself.
	Salvage bool
	// Salt gives the random number of each new segment; nil: from the system. A simulation gives its own.
	Salt     func() uint64
	Listener *Listener
}

const (
	minSegmentBytes = 4 << 10
	maxSegmentBytes = 1 << 30
	defaultBatch    = 1024
	maxBatchLimit   = 1 << 20
)

func (o *Options) complete() error {
	if o.SegmentBytes < minSegmentBytes || o.SegmentBytes > maxSegmentBytes {
		return errs.New(errs.Invalid, "seglog: a segment of %d bytes: it must have 4 KiB to 1 GiB", o.SegmentBytes)
	}
	if o.MaxBatchEntries < 0 || o.MaxBatchEntries > maxBatchLimit {
		return errs.New(errs.Invalid, "seglog: batches of %d entries: 1 to %d", o.MaxBatchEntries, maxBatchLimit)
	}
	if o.MaxBatchEntries == 0 {
		o.MaxBatchEntries = defaultBatch
	}
	if o.Salt == nil {
		o.Salt = randomSalt
	}
	if o.Listener == nil {
		o.Listener = &Listener{}
	}
	return nil
}

func randomSalt() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails: the runtime ends the process instead
	return le.Uint64(b[:])
}

// Listener is told what the log does, in the calling goroutine, which holds locks: it must return at once, and not call the log.
// Any field may be nil.
type Listener struct {
	Synced    func(took time.Duration, bytes, entries int) // a batch is durable
	Rolled    func(first uint64)                           // a new segment took its first batch
	Prepared  func(took time.Duration)                     // the next segment's file is ready
	Sealed    func(first uint64)
	Truncated func(from uint64)
	Trimmed   func(first uint64) // first index kept now
	Cut       func(Cut)
	Poisoned  func(error)
}

// Log is an open segment log. Append, Mark, Truncate, Trim and Close are one writer's; Prepare and Seal may run beside them, and
// any number of reads beside all.
type Log struct {
	o     Options
	state atomic.Pointer[state]
	cache positions
	dead  atomic.Pointer[errs.Error]

	publishing sync.Mutex // held for the moment in which state is replaced
	writing    sync.Mutex // the writer's calls, one after another
	sealing    sync.Mutex // Seal, and what takes segments away; after writing
	preparing  sync.Mutex // next; after writing

	tail    *tail
	next    *spare // a zero-filled file for the next segment, or nil
	kept    uint64
	doubt   uint64
	buf     []byte
	digests []uint32
	closed  bool
}

// usable gives the error that poisoned the log, if any.
func (l *Log) usable() error {
	if e := l.dead.Load(); e != nil {
		return e
	}
	return nil
}

// Usable gives the error that poisoned the log, or says that it is closed; nil while it takes writes.
func (l *Log) Usable() error { return l.usable() }

// poison ends writing: after a failed write or sync nobody knows what the disk holds until it is read again.
func (l *Log) poison(doing string, cause error) error {
	code, hint := errs.Unavailable, "reopen the log"
	if noSpace(cause) {
		code, hint = errs.NoSpace, "free space on the volume, then reopen the log"
	}
	e := errs.New(code, "seglog: the log in %s takes no more writes, because to %s failed: %w; %s", l.o.Dir, doing, cause, hint)
	if l.dead.CompareAndSwap(nil, e) && l.o.Listener.Poisoned != nil {
		l.o.Listener.Poisoned(e)
	}
	return l.dead.Load()
}

// publish shows readers the active segment as it is now.
func (l *Log) publish() {
	l.publishing.Lock()
	defer l.publishing.Unlock()
	l.state.Store(&state{full: l.state.Load().full, active: l.tail.view()})
}

// First is the first index kept; it is Last()+1 when the log is empty.
func (l *Log) First() uint64 { return l.state.Load().first() }

// Last is the index of the last durable entry; 0 when there never was one.
func (l *Log) Last() uint64 { return l.state.Load().active.last }

// Term is the term of an entry from First()-1 to Last(). Below it is errs.Trimmed, above errs.NotFound.
func (l *Log) Term(i uint64) (uint64, error) {
	s := l.state.Load()
	if i+1 == s.first() {
		return s.find(s.first()).head.prevTerm, nil
	}
	seg, err := s.holding(i)
	if err != nil {
		return 0, err
	}
	return termOf(seg.runs, i), nil
}

// holding gives the segment that holds entry i.
func (s *state) holding(i uint64) (*segment, error) {
	if i < s.first() {
		return nil, errs.New(errs.Trimmed, "seglog: entry %d is no longer kept; the first kept is %d", i, s.first())
	}
	if i > s.active.last {
		return nil, errs.New(errs.NotFound, "seglog: entry %d is not there yet; the last is %d", i, s.active.last)
	}
	return s.find(i), nil
}

// SegmentOf is the first index of the segment that holds entry i, or would hold it next; 0 when i is no longer kept.
func (l *Log) SegmentOf(i uint64) uint64 {
	s := l.state.Load()
	if i < s.first() {
		return 0
	}
	return s.find(i).head.first
}

// Segment tells about one segment file.
type Segment struct {
	Name        string
	First, Last uint64 // Last is 0 when it holds no entry
	Term        uint64 // of the last entry, or of the one before the segment
	Bytes       int64  // that its entries and batch headers take
	Full        bool   // no entry comes to it any more
	Sealed      bool
	Generation  uint64
	Digest      [32]byte // over the entries, when sealed: equal on every replica of one generation
}

// Segments lists the segments, oldest first.
func (l *Log) Segments() []Segment {
	s := l.state.Load()
	list := make([]Segment, 0, len(s.full)+1)
	for _, seg := range s.all() {
		list = append(list, seg.describe())
	}
	return list
}

func (s *segment) describe() Segment {
	d := Segment{
		Name: s.name, First: s.head.first, Last: s.last, Bytes: s.end, Full: s.full(), Sealed: s.foot != nil,
		Generation: s.head.generation,
	}
	if s.empty() {
		d.Last = 0
	}
	if d.Term = s.head.prevTerm; len(s.runs) > 0 {
		d.Term = s.runs[len(s.runs)-1].term
	}
	if s.foot != nil {
		d.Digest = s.foot.digest
	}
	return d
}

// Bytes is what all segments take, files filled ahead not counted.
func (l *Log) Bytes() int64 {
	var n int64
	s := l.state.Load()
	for _, seg := range s.full {
		n += seg.end
	}
	return n + s.active.end
}

// Close marks what is durable, unless the log is poisoned, and closes the files. Reads that have begun end well; later ones fail.
func (l *Log) Close() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	var err error
	if l.usable() == nil {
		err = l.mark(l.tail.commit)
	}
	l.dead.CompareAndSwap(nil, errs.New(errs.Unavailable, "seglog: the log in %s is closed", l.o.Dir))
	l.sealing.Lock()
	defer l.sealing.Unlock()
	l.preparing.Lock()
	defer l.preparing.Unlock()
	if l.next != nil {
		l.next.discard(l.o.FS)
		l.next = nil
	}
	for _, s := range l.state.Load().all() {
		if cerr := s.file.release(); cerr != nil && err == nil {
			err = fmt.Errorf("seglog: close %s: %w", s.file.path, cerr)
		}
	}
	return err
}

func now(l *Listener) time.Time {
	if l.Synced == nil && l.Prepared == nil {
		return time.Time{}
	}
	return time.Now()
}
