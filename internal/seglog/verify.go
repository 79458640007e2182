package seglog

import (
	"github.com/gesta-db/gesta/internal/errs"
)

// Damage is one place where a log is not what was written.
type Damage struct {
	File   string
	Offset int64
	Reason string
	// Doubtful damage is in the one last batch that a power cut may have torn: the next Open cuts it, and says so.
	Doubtful bool
}

// Report is what Verify found.
type Report struct {
	Segments    []Segment
	First, Last uint64 // of the entries that are whole; Last is First-1 when there is none
	Entries     uint64
	Bytes       int64 // of all segment files
	Commit      uint64
	Damages     []Damage
}

// Verify reads a log that nobody has open, changes nothing, and reports every damage it finds, not only the first. Visit (may be
// nil) sees each whole entry with its file and place; its data is valid during the call; an error of it ends the check and is
// returned. Besides that the error tells that the folder could not be read; damage is in the report.
func Verify(o Options, visit func(e Entry, segment string, pos int64) error) (Report, error) {
	names, err := listSegments(&o)
	if err != nil {
		return Report{}, err
	}
	if visit == nil {
		visit = func(Entry, string, int64) error { return nil }
	}
	c := &check{o: &o, visit: visit}
	var found []*found
	defer func() {
		for _, f := range found {
			_ = f.file.release()
		}
	}()
	for _, name := range names {
		f, err := readFound(&o, name)
		if f != nil {
			found = append(found, f)
		}
		if err != nil && !c.damagedBy(err) {
			return Report{}, err
		}
	}
	return c.r, c.segments(found)
}

// check is a run of Verify.
type check struct {
	o     *Options
	r     Report
	visit func(e Entry, segment string, pos int64) error
	w     window
}

var _ = errs.Corrupt

func (c *check) damagedBy(err error) bool { return errs.CodeOf(err) == errs.Corrupt }

func (c *check) segments(found []*found) error { return nil }
