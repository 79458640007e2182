package seglog

import (
	"path/filepath"
	"slices"

	"github.com/gesta-db/gesta/internal/errs"
)

// rewriteBytes is how much of the kept entries a truncation holds in memory at once.
const rewriteBytes = 4 << 20

// Truncate drops the entries from index from on, durably; from above Last() does nothing. A crash leaves either the old log, or
// one that ends with the last entry of a segment from from's on, or the new log. Dropping what is committed or sealed is refused
// (errs.Internal): whoever asks for it is wrong.
func (l *Log) Truncate(from uint64) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if from > l.tail.last {
		return nil
	}
	l.sealing.Lock()
	defer l.sealing.Unlock()
	l.preparing.Lock()
	defer l.preparing.Unlock()
	s := l.state.Load()
	if from < s.first() || from <= l.tail.commit || s.find(from).foot != nil {
		return errs.New(errs.Internal, "seglog: entry %d is to be dropped, but it is committed: up to entry %d all are, and so is what is sealed",
			from, l.tail.commit)
	}
	if err := l.truncate(s, from); err != nil {
		return err
	}
	if l.o.Listener.Truncated != nil {
		l.o.Listener.Truncated(from)
	}
	return nil
}

func (l *Log) truncate(s *state, from uint64) error {
	seg := s.find(from)
	t, err := l.rewrite(seg, from)
	if err != nil {
		return err
	}
	all := s.all()
	kept := slices.Index(all, seg)
	if err := l.exchange(all[kept+1:], t); err != nil {
		_ = t.file.release()
		return err
	}
	l.show(&state{full: all[:kept:kept], active: t.view()}, t.tail)
	for _, gone := range all[kept:] {
		_ = gone.file.release()
	}
	return nil
}

// exchange takes the later segments away, newest first, and gives the rewritten file its name.
func (l *Log) exchange(later []*segment, t *rewritten) error {
	for _, s := range slices.Backward(later) {
		if err := l.remove(s.file.path); err != nil {
			return err
		}
	}
	return l.name(t.tail, t.from, nil)
}

func (l *Log) show(s *state, t *tail) {
	l.publishing.Lock()
	defer l.publishing.Unlock()
	l.tail = t
	l.state.Store(s)
}

// remove takes a file's name away, durably, before the next is taken: so there is never a gap.
func (l *Log) remove(path string) error {
	if err := l.o.FS.Remove(path); err != nil {
		return l.poison("remove "+path, err)
	}
	if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
		return l.poison("sync the folder", err)
	}
	return nil
}

// rewritten is a segment's new file before it has the segment's name.
type rewritten struct {
	*tail
	from string
}

// rewrite copies a segment up to an index into another file. Nothing of the log has changed when it fails.
func (l *Log) rewrite(seg *segment, from uint64) (*rewritten, error) {
	t, err := l.draft(seg)
	if err != nil {
		return nil, err
	}
	err = l.copyTo(t.tail, seg.head.first, from)
	if err != nil {
		(&spare{f: t.file.f, path: t.from}).discard(l.o.FS)
		return nil, err
	}
	t.head.size, t.head.sure = t.size, t.end
	t.marked = true
	return t, nil
}

// draft is the new file: the one prepared for the next segment, since it is filled ahead, or a new one.
func (l *Log) draft(seg *segment) (*rewritten, error) {
	sp := l.next
	l.next = nil
	if sp == nil {
		var err error
		if sp, err = makeSpare(l.o.FS, filepath.Join(l.o.Dir, rewriteName)); err != nil {
			return nil, err
		}
	}
	h := seg.head
	h.salt, h.maxBatch, h.kept, h.doubt = l.o.Salt(), uint32(l.o.MaxBatchEntries), l.kept, l.doubt
	t := newTail(newFile(sp.f, seg.file.path), seg.name, h)
	t.size, t.commit = sp.size, l.tail.commit
	return &rewritten{tail: t, from: sp.path}, nil
}

// copyTo appends entries of the log, from lo to below hi, to a file that has no name yet.
func (l *Log) copyTo(t *tail, lo, hi uint64) error {
	for lo < hi {
		entries, err := l.Entries(lo, hi, rewriteBytes)
		if err != nil {
			return err
		}
		lo += uint64(len(entries))
		for len(entries) > 0 {
			n := min(len(entries), int(t.head.maxBatch))
			if err := l.copyBatch(t, entries[:n]); err != nil {
				return err
			}
			entries = entries[n:]
		}
	}
	if t.seq == 0 {
		return l.copyBatch(t, nil) // it carries the commit index
	}
	return t.extend(nil)
}

// copyBatch adds a batch of these entries, or a mark when there are none.
func (l *Log) copyBatch(t *tail, entries []Entry) error {
	kind, digests := uint8(batchMark), make([]uint32, len(entries))
	for i := range entries {
		kind = batchEntries
		var err error
		if digests[i], err = entries[i].digest(l.o.Shard); err != nil {
			return err
		}
	}
	if err := t.extend(entries); err != nil {
		return err
	}
	b := t.encode(nil, kind, entries, digests, t.commit, 0)
	if _, err := t.file.f.WriteAt(b, t.end); err != nil {
		return draftError(t, err)
	}
	t.took(b, kind, entries)
	return nil
}

// extend makes room for a batch in a file that has no name yet.
func (t *tail) extend(entries []Entry) error {
	size := t.need(entries)
	if err := fill(t.file.f, t.size, size); err != nil {
		return draftError(t, err)
	}
	t.size = size
	return nil
}

func draftError(t *tail, err error) error {
	if noSpace(err) {
		return errs.New(errs.NoSpace, "seglog: no space to rewrite %s: %w; free space on the volume", t.file.path, err)
	}
	return errs.New(errs.Unavailable, "seglog: rewrite %s: %w", t.file.path, err)
}
