package seglog

import (
	"path/filepath"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
)

// keptBuffer is how much of the batch buffer stays between batches.
const keptBuffer = 4 << 20

// Append makes entries durable. They follow Last() without a gap and their terms do not fall; commit is the highest index the
// caller knows to be committed. The framing of their records is checked, the checksums are not: who brings entries from
// elsewhere calls VerifyRecords first.
//
// errs.Invalid and errs.TooLarge: nothing was written. errs.NoSpace or errs.Unavailable: if the log still takes writes, nothing
// was written; otherwise the log is poisoned, and what is durable is known again when it is reopened.
func (l *Log) Append(entries []Entry, commit uint64) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.admit(entries); err != nil {
		return err
	}
	if err := l.foresee(entries); err != nil {
		return err
	}
	digests := l.digests
	for wrote := false; len(entries) > 0; wrote = true {
		n, err := l.appendBatch(entries, digests, commit)
		if err != nil && wrote {
			return l.poison("append the rest", err)
		}
		if err != nil {
			return err
		}
		entries, digests = entries[n:], digests[n:]
	}
	return nil
}

// admit checks everything that can be checked before anything is written, and computes the digests.
func (l *Log) admit(entries []Entry) error {
	l.digests = l.digests[:0]
	last, term := l.tail.last, l.tail.term
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Index != last+1:
			return errs.New(errs.Invalid, "seglog: entry %d does not follow entry %d", e.Index, last)
		case e.Term < term:
			return errs.New(errs.Invalid, "seglog: entry %d has term %d after term %d", e.Index, e.Term, term)
		case e.Type > maxType:
			return errs.New(errs.Unsupported, "seglog: entry %d has type %d, which this version does not know", e.Index, e.Type)
		case int64(e.storedBytes()) > l.tail.head.segmentBytes:
			return errs.New(errs.TooLarge, "seglog: entry %d has %d bytes, a segment %d", e.Index, e.storedBytes(), l.tail.head.segmentBytes)
		}
		digest, err := e.digest(l.o.Shard)
		if err != nil {
			return errs.New(errs.Invalid, "seglog: entry %d is not framed: %w", e.Index, err)
		}
		l.digests = append(l.digests, digest)
		last, term = e.Index, e.Term
	}
	return nil
}

// foresee has the next segment's file at hand before the first byte is written, if these entries will need one.
func (l *Log) foresee(entries []Entry) error {
	used := l.tail.used
	for i := range entries {
		if used >= l.tail.head.segmentBytes {
			l.preparing.Lock()
			defer l.preparing.Unlock()
			return l.haveSpare(2 * pageBytes)
		}
		used += entryBytes(entries[i].storedBytes())
	}
	return nil
}

// appendBatch writes as many of the entries as one batch takes, into the active segment or a new one.
func (l *Log) appendBatch(entries []Entry, digests []uint32, commit uint64) (n int, err error) {
	if l.tail.full() {
		return l.roll(entries, digests, commit)
	}
	n = l.tail.fit(entries)
	return n, l.write(batchEntries, entries[:n], digests, commit, 0)
}

// write makes one batch durable at the end of the active segment, and shows it to readers.
func (l *Log) write(kind uint8, entries []Entry, digests []uint32, commit, note uint64) error {
	t := l.tail
	if err := l.room(t, entries); err != nil {
		return err
	}
	l.buf = t.encode(l.buf, kind, entries, digests, commit, note)
	began := now(l.o.Listener)
	if _, err := t.file.f.WriteAt(l.buf, t.end); err != nil {
		return l.poison("write to "+t.file.path, err)
	}
	if err := t.file.f.SyncData(); err != nil {
		return l.poison("sync "+t.file.path, err)
	}
	t.took(l.buf, kind, entries)
	l.publish()
	l.settleDoubt()
	l.synced(began, entries)
	return nil
}

// settleDoubt ends the doubt when the log has grown past what a cut batch may have held.
func (l *Log) settleDoubt() {
	if l.tail.last >= l.doubt {
		l.doubt = 0
	}
}

func (l *Log) synced(began time.Time, entries []Entry) {
	if l.o.Listener.Synced != nil {
		l.o.Listener.Synced(time.Since(began), len(l.buf), len(entries))
	}
	if cap(l.buf) > keptBuffer {
		l.buf = nil
	}
}

// room makes the file larger when the next batch would not leave the margin. The new size is durable before a batch names it.
func (l *Log) room(t *tail, entries []Entry) error {
	size := t.need(entries)
	if size <= t.size {
		return nil
	}
	if err := fill(t.file.f, t.size, size); err != nil {
		if noSpace(err) {
			return errs.New(errs.NoSpace, "seglog: no space to extend %s: %w; free space on the volume", t.file.path, err)
		}
		return l.poison("extend "+t.file.path, err)
	}
	if err := t.file.f.SyncData(); err != nil {
		return l.poison("sync "+t.file.path, err)
	}
	t.size = size
	return nil
}

// roll begins the next segment with as many of the entries as its first batch takes. The file gets its name only when it and
// the batch are durable, so a segment is never seen without its beginning.
func (l *Log) roll(entries []Entry, digests []uint32, commit uint64) (n int, err error) {
	l.preparing.Lock()
	defer l.preparing.Unlock()
	if err := l.haveSpare(2 * pageBytes); err != nil {
		return 0, err
	}
	began := now(l.o.Listener)
	old := l.tail
	h := old.follow(l)
	t := newTail(newFile(l.next.f, filepath.Join(l.o.Dir, segmentName(h.first))), segmentName(h.first), h)
	t.size = l.next.size
	t.commit = old.commit
	n = t.fit(entries)
	if err := l.room(t, entries[:n]); err != nil {
		return 0, err
	}
	t.head.size = t.size
	l.buf = t.encode(l.buf, batchEntries, entries[:n], digests, commit, 0)
	t.head.sure = t.end + int64(len(l.buf))
	if err := l.name(t, l.next.path, l.buf); err != nil {
		return 0, err
	}
	l.next = nil
	t.took(l.buf, batchEntries, entries[:n])
	t.marked = true
	l.adopt(t)
	l.settleDoubt()
	l.synced(began, entries[:n])
	if l.o.Listener.Rolled != nil {
		l.o.Listener.Rolled(h.first)
	}
	return n, nil
}

// follow is the header of the segment after t.
func (t *tail) follow(l *Log) header {
	return header{
		version: Version, shard: t.head.shard, first: t.last + 1, salt: l.o.Salt(), segmentBytes: t.head.segmentBytes,
		maxBatch: uint32(l.o.MaxBatchEntries), prevFirst: t.head.first, prevEnd: t.end, prevTerm: t.term, kept: l.kept,
		doubt: l.doubt,
	}
}

// name makes a file of header and batches durable under the segment's name.
func (l *Log) name(t *tail, from string, batches []byte) error {
	f := t.file.f
	if _, err := f.WriteAt(t.head.encode(), 0); err != nil {
		return l.poison("write "+from, err)
	}
	if len(batches) > 0 {
		if _, err := f.WriteAt(batches, pageBytes); err != nil {
			return l.poison("write "+from, err)
		}
	}
	if err := f.SyncData(); err != nil {
		return l.poison("sync "+from, err)
	}
	if err := l.o.FS.Rename(from, t.file.path); err != nil {
		return l.poison("name "+t.file.path, err)
	}
	if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
		return l.poison("sync the folder", err)
	}
	return nil
}

// adopt makes t the active segment after the one that is active now.
func (l *Log) adopt(t *tail) {
	l.publishing.Lock()
	defer l.publishing.Unlock()
	s := l.state.Load()
	// Readers of older states share the slice's beginning, never what is appended after their length.
	full := append(s.full[:len(s.full):len(s.full)], s.active)
	l.tail = t
	l.state.Store(&state{full: full, active: t.view()})
}

// Mark writes a durable mark: what is before it can no longer be in doubt. It does nothing when the log ends with a mark that
// carries this commit index already.
func (l *Log) Mark(commit uint64) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.mark(commit)
}

func (l *Log) mark(commit uint64) error {
	if l.tail.marked && commit <= l.tail.commit {
		return nil
	}
	return l.write(batchMark, nil, nil, commit, 0)
}
