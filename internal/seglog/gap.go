package seglog

import (
	"errors"
	"path/filepath"

	"github.com/gesta-db/gesta/internal/errs"
)

// Gap is a segment without which a log does not open: its file is damaged or missing.
type Gap struct {
	First, Last uint64
	Term        uint64 // of its last entry
	Err         error  // names file and offset
}

// Gaps finds, in a log that nobody has open, the segments before the last that Open would refuse, as far as what follows them tells where
// they end; it changes nothing. Of several in a row only the newest is certain to be found: fill it and look again. A segment that ends
// with the same entry as a gap holds the same entries as the gap did, on whatever replica it was sealed, so it may fill it. The
// error is of what is beyond that: the folder cannot be read, or the last segment is damaged.
func Gaps(o Options) ([]Gap, error) {
	names, err := listSegments(&o)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	last, err := readFound(&o, names[len(names)-1])
	if last != nil {
		defer func() { _ = last.file.release() }()
	}
	if err != nil {
		return nil, err
	}
	sc := newScan(last.file, last.name, last.head, new(window))
	if err := sc.run(); err != nil {
		return nil, err
	}
	return gapsBefore(&o, names, last.head, max(sc.kept, 1))
}

// gapsBefore walks down from the last segment, whose header tells of the one before it.
func gapsBefore(o *Options, names []string, next header, kept uint64) (gaps []Gap, err error) {
	for i := len(names) - 2; next.prevFirst >= kept; {
		gap := Gap{First: next.prevFirst, Last: next.first - 1, Term: next.prevTerm}
		for i >= 0 && names[i] > segmentName(gap.First) {
			i-- // no segment of this log
		}
		if i < 0 || names[i] != segmentName(gap.First) {
			gap.Err = corrupt(filepath.Join(o.Dir, segmentName(gap.First)), 0, "the file is missing")
			return append(gaps, gap), nil
		}
		head, err := checkOne(o, names[i], &next)
		if err != nil && errs.CodeOf(err) != errs.Corrupt {
			return gaps, err
		}
		if err != nil {
			gap.Err = err
			gaps = append(gaps, gap)
		}
		if head.first == 0 {
			return gaps, nil // what is before it is not known
		}
		next = head
	}
	return gaps, nil
}

// checkOne opens a segment that another follows as Open would. The header is zero when it is damaged.
func checkOne(o *Options, name string, next *header) (header, error) {
	f, err := readFound(o, name)
	if f != nil {
		defer func() { _ = f.file.release() }()
	}
	if err != nil {
		return header{}, err
	}
	_, err = f.open(next, new(window))
	return f.head, err
}

// Fill puts a sealed segment from another folder, durable and verified whole by the caller, into a gap of a log that nobody has open.
// Another segment than the gap's is errs.Invalid.
func Fill(o Options, g Gap, from string) error {
	in := o
	in.Dir = from
	s, err := Describe(in, g.First)
	if err != nil {
		return err
	}
	if s.Last != g.Last || s.Term != g.Term {
		return errs.New(errs.Invalid, "seglog: %s ends with entry %d of term %d, the gap with entry %d of term %d", s.Name, s.Last, s.Term, g.Last, g.Term)
	}
	path := filepath.Join(o.Dir, s.Name)
	if err := o.FS.Rename(filepath.Join(from, s.Name), path); err != nil {
		return errs.New(errs.Unavailable, "seglog: replace %s: %w", path, err)
	}
	if err := errors.Join(o.FS.SyncDir(o.Dir), o.FS.SyncDir(from)); err != nil {
		return errs.New(errs.Unavailable, "seglog: sync %s: %w", o.Dir, err)
	}
	return nil
}
