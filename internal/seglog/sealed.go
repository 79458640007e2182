package seglog

import (
	"path/filepath"

	"github.com/gesta-db/gesta/internal/errs"
)

// Behind is the first index of the segment that lies n behind the active one, or of an older one when not everything before that is
// sealed. What is before it is committed and sealed; it costs nothing to ask.
func (l *Log) Behind(n int) uint64 {
	s := l.state.Load()
	i := max(len(s.full)-n, 0)
	for i > 0 && s.full[i-1].foot == nil {
		i--
	}
	if i == len(s.full) {
		return s.active.head.first
	}
	return s.full[i].head.first
}

// VerifySealed reads a sealed segment's file whole, in whatever folder it lies, and tells what it holds. The file need not be part of a
// log, and may be part of one that is open. Pace (may be nil) hears of every stretch of bytes that was read, and ends the check with
// its error. Damage, and a segment that is not sealed, are errs.Corrupt.
func VerifySealed(o Options, first uint64, pace func(bytes int) error) (Segment, error) {
	f, err := readFound(&o, segmentName(first))
	if f != nil {
		defer func() { _ = f.file.release() }()
	}
	if err != nil {
		return Segment{}, err
	}
	if !f.sealed {
		return Segment{}, corrupt(f.file.path, sealOffset, "the segment is not sealed")
	}
	c := &check{o: &o, files: []*found{f}, visit: func(e Entry, _ string, _ int64) error {
		if pace == nil {
			return nil
		}
		return pace(int(entryBytes(len(e.Data))))
	}}
	if err := c.segment(0, nil); err != nil {
		return Segment{}, err
	}
	if len(c.r.Damages) > 0 {
		d := c.r.Damages[0]
		return Segment{}, corrupt(d.File, d.Offset, "%s", d.Reason)
	}
	return c.r.Segments[0], nil
}

// SoundPrefix tells how far a sealed segment's file that is still being written, or was damaged on its way, is whole: up to the end of
// its last whole batch. It is 0 when not even the header page is.
func SoundPrefix(o Options, dir, name string, first uint64) (int64, error) {
	raw, err := o.FS.Open(filepath.Join(dir, name))
	if err != nil {
		return 0, errs.New(errs.Unavailable, "seglog: open %s: %w", name, err)
	}
	f := newFile(raw, filepath.Join(dir, name))
	defer func() { _ = f.release() }()
	page, err := f.read(make([]byte, pageBytes), 0)
	if err != nil {
		return 0, err
	}
	found := &found{name: segmentName(first), file: f}
	if found.decode(&o, page) != nil || !found.sealed {
		return 0, nil
	}
	sc := newScan(f, found.name, found.head, new(window))
	sc.length = min(sc.length, found.seal.footer)
	for sc.failed == nil && sc.stop == nil && sc.batch() {
	}
	return sc.tail.end, sc.failed
}

// HeaderBytes is how many bytes at the beginning of a segment's file tell it from every other: they hold a random number.
const HeaderBytes = pageBytes

// FileSize is the size of a sealed segment's file as its first HeaderBytes tell it. Errors: errs.Corrupt, errs.Unsupported.
func FileSize(o Options, first uint64, page []byte) (int64, error) {
	f := &found{name: segmentName(first), file: newFile(nil, segmentName(first))}
	if err := f.decode(&o, page); err != nil {
		return 0, err
	}
	if !f.sealed {
		return 0, corrupt(f.name, sealOffset, "the segment is not sealed")
	}
	return f.seal.size, nil
}

// Replace puts another file in a sealed segment's place: one with the same entries, verified by the caller, durable, in the folder
// from. Reads that have begun end with the old file. It may run beside everything; what another file must not replace is
// errs.Invalid.
func (l *Log) Replace(first uint64, from string) error {
	l.sealing.Lock()
	defer l.sealing.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	old, err := l.sealedAt(first)
	if err != nil {
		return err
	}
	if err := l.fits(old, from); err != nil {
		return err
	}
	if err := l.o.FS.Rename(filepath.Join(from, old.name), old.file.path); err != nil {
		return errs.New(errs.Unavailable, "seglog: replace %s: %w", old.file.path, err)
	}
	if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
		return l.poison("sync the folder", err)
	}
	if err := l.o.FS.SyncDir(from); err != nil {
		return errs.New(errs.Unavailable, "seglog: sync %s: %w", from, err)
	}
	_, fresh, err := openSealed(&l.o, old.name)
	if err != nil {
		return err
	}
	l.replace(fresh)
	_ = old.file.release()
	return nil
}

func (l *Log) sealedAt(first uint64) (*segment, error) {
	for _, s := range l.state.Load().full {
		if s.head.first == first && s.foot != nil {
			return s, nil
		}
	}
	return nil, errs.New(errs.Invalid, "seglog: no sealed segment begins with entry %d", first)
}

// fits tells whether a file holds what the segment it is to replace held.
func (l *Log) fits(old *segment, from string) error {
	o := l.o
	o.Dir = from
	f, fresh, err := openSealed(&o, old.name)
	if err != nil {
		return err
	}
	defer func() { _ = f.file.release() }()
	if fresh.last != old.last || fresh.head.generation != old.head.generation || fresh.foot.digest != old.foot.digest {
		return errs.New(errs.Invalid, "seglog: %s does not hold the entries of %s", f.file.path, old.file.path)
	}
	return nil
}

// openSealed opens a sealed segment's file by its header page and footer.
func openSealed(o *Options, name string) (*found, *segment, error) {
	f, err := readFound(o, name)
	if err == nil && !f.sealed {
		err = corrupt(f.file.path, sealOffset, "the segment is not sealed")
	}
	var foot *footer
	if err == nil {
		foot, err = loadFooter(f.file, &f.head, f.seal)
	}
	if err != nil {
		if f != nil {
			_ = f.file.release()
		}
		return nil, nil, err
	}
	return f, f.sealedView(foot), nil
}
