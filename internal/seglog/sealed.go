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

// Name is the name of the file of the segment that begins with an entry.
func Name(first uint64) string { return segmentName(first) }

// ParseName gives the first index in a segment's file name; false for any other name.
func ParseName(name string) (first uint64, ok bool) { return parseName(name) }

// Describe tells what a sealed segment holds, by its header page and footer alone. Errors: errs.Corrupt, errs.Unavailable.
func Describe(o Options, first uint64) (Segment, error) {
	f, s, err := openSealed(&o, segmentName(first))
	if err != nil {
		return Segment{}, err
	}
	return s.describe(), f.file.release()
}

// VerifySealed reads a sealed segment's file in the folder whole, and tells what it holds. The file need not have the segment's name or
// be part of a log, and may be part of one that is open. Pace (may be nil) hears of every stretch of bytes that was read, and ends the
// check with its error. Damage, and a segment that is not sealed, are errs.Corrupt.
func VerifySealed(o Options, first uint64, file string, pace func(bytes int) error) (Segment, error) {
	f, err := readFoundIn(&o, segmentName(first), file)
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
func SoundPrefix(o Options, first uint64, file string) (int64, error) {
	f, err := readFoundIn(&o, segmentName(first), file)
	if f == nil {
		return 0, err
	}
	defer func() { _ = f.file.release() }()
	if errs.CodeOf(err) == errs.Corrupt || err == nil && !f.sealed {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	sc := newScan(f.file, f.name, f.head, new(window))
	sc.length = min(sc.length, f.seal.footer)
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
