package seglog

import (
	"errors"
	"slices"
	"strconv"

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
	First, Last uint64 // of the entries that are whole; both 0 when there is none
	Entries     uint64
	Bytes       int64 // of all batches
	Commit      uint64
	Damages     []Damage
}

// Verify reads a log that nobody has open, changes nothing, and reports every damage it finds, not only the first. Visit (may be
// nil) sees each whole entry with its file and place; its data is valid during the call; an error of it ends the check and is
// returned. Any other error tells that the folder could not be read, or that a file has a newer format; damage is in the report.
func Verify(o Options, visit func(e Entry, segment string, pos int64) error) (Report, error) {
	names, err := listSegments(&o)
	if err != nil {
		return Report{}, err
	}
	c := &check{o: &o, visit: visit}
	defer func() {
		for _, f := range c.files {
			_ = f.file.release()
		}
	}()
	for _, name := range names {
		f, err := readFound(&o, name)
		if f == nil {
			return Report{}, err
		}
		c.files = append(c.files, f)
		if f.bad = err != nil; f.bad && !c.damaged(err) {
			return Report{}, err
		}
	}
	err = c.all()
	return c.r, err
}

// check is a run of Verify.
type check struct {
	o     *Options
	r     Report
	visit func(e Entry, segment string, pos int64) error
	files []*found
	w     window
}

// damaged notes an error that tells of damage; false when it tells of something else.
func (c *check) damaged(err error) bool {
	e := errs.As(err)
	if e.Code != errs.Corrupt {
		return false
	}
	at, _ := strconv.ParseInt(e.Details["offset"], 10, 64) // it is there whenever the code is Corrupt; see corrupt
	reason := e.Message
	if e.Err != nil {
		reason = e.Err.Error()
	}
	c.note(e.Details["file"], at, reason)
	return true
}

func (c *check) note(file string, at int64, reason string) {
	c.r.Damages = append(c.r.Damages, Damage{File: file, Offset: at, Reason: reason})
}

func (c *check) all() error {
	n := len(c.files)
	if n == 0 {
		return nil
	}
	last, err := c.last()
	if err != nil {
		return err
	}
	for len(c.files) > 1 && !c.files[1].bad && c.files[1].head.first <= last.kept {
		_ = c.files[0].file.release() // the next Open ends a trim
		c.files = c.files[1:]
	}
	c.chain(last.kept)
	for i := range c.files {
		if err := c.segment(i, last); err != nil {
			return err
		}
	}
	return nil
}

// last scans the last segment, which knows the first index kept.
func (c *check) last() (*scan, error) {
	f := c.files[len(c.files)-1]
	if f.bad {
		return &scan{}, nil
	}
	s := newScan(f.file, f.name, f.head, &c.w)
	return s, s.run()
}

// chain finds missing segments.
func (c *check) chain(kept uint64) {
	first := c.files[0]
	if !first.bad && kept > 0 && first.head.first != kept {
		c.note(first.file.path, 0, "the segments before it are missing, from entry "+strconv.FormatUint(kept, 10)+" on")
	}
	for i, f := range c.files[1:] {
		if before, _ := parseName(c.files[i].name); !f.bad && f.head.prevFirst != before {
			c.note(f.file.path, 0, "the segment before it, "+segmentName(f.head.prevFirst)+", is missing")
		}
	}
	if end := c.files[len(c.files)-1]; !end.bad && end.sealed {
		c.note(end.file.path, 0, "it is sealed, so there was a segment after it, and that is missing")
	}
}

// segment checks one file whose header page is whole; what the header page of the one after says of it counts too.
func (c *check) segment(i int, last *scan) error {
	f := c.files[i]
	if f.bad {
		return nil
	}
	w := &walk{c: c, f: f, tail: newTail(f.file, f.name, f.head)}
	before := len(c.r.Damages)
	if err := c.limit(w, i, last); err != nil {
		return err
	}
	if err := w.run(); err != nil {
		return err
	}
	if len(c.r.Damages) == before {
		c.ends(w, i)
	}
	c.summarise(w)
	return nil
}

// limit finds out where the batches of a segment end, and what is wrong with how they end.
func (c *check) limit(w *walk, i int, last *scan) error {
	f := w.f
	if f.sealed {
		foot, err := loadFooter(f.file, &f.head, f.seal)
		if err != nil && !c.damaged(err) {
			return err
		}
		w.view, w.limit = nil, f.seal.footer
		if foot != nil {
			w.view = f.sealedView(foot)
		}
		return nil
	}
	sc := last
	if i < len(c.files)-1 {
		sc = newScan(f.file, f.name, f.head, &c.w)
		if err := sc.run(); err != nil {
			return err
		}
	}
	w.limit = sc.tail.end
	if sc.stop == nil {
		return nil
	}
	if i < len(c.files)-1 {
		if next := c.files[i+1]; !next.bad && sc.tail.end == next.head.prevEnd {
			if torn, err := sc.tornFooter(&c.w); err != nil || torn {
				return err
			}
		}
	}
	c.note(f.file.path, sc.stop.offset, sc.stop.reason)
	c.r.Damages[len(c.r.Damages)-1].Doubtful = !sc.stop.sure && i == len(c.files)-1
	w.known = sc.stop.offset
	w.limit = sc.length
	return nil
}

// ends compares what was found with what footer and next header say of it.
func (c *check) ends(w *walk, i int) {
	t, path := w.tail, w.f.file.path
	if v := w.view; v != nil && (v.last != t.last || v.foot.digest != t.sum.digest() || !slices.Equal(v.runs, t.runs) || v.used != t.used) {
		c.note(path, v.foot.at, "the footer is of other entries than the segment holds")
	}
	if i == len(c.files)-1 || c.files[i+1].bad {
		return
	}
	if next := c.files[i+1].head; w.view == nil && t.end != next.prevEnd || t.last != next.first-1 || t.term != next.prevTerm {
		c.note(path, t.end, "the segment does not end as the header of "+c.files[i+1].name+" says")
	}
}

func (c *check) summarise(w *walk) {
	v := w.view
	if v == nil {
		v = w.tail.view()
	}
	c.r.Segments = append(c.r.Segments, v.describe())
	c.r.Bytes += w.tail.end
	c.r.Commit = max(c.r.Commit, w.tail.commit)
	if w.view != nil {
		c.r.Commit = max(c.r.Commit, w.view.last)
	}
}

// whole takes an entry that was found whole.
func (c *check) whole(e Entry, f *found, pos int64) error {
	if c.r.Entries == 0 {
		c.r.First = e.Index
	}
	c.r.Last = e.Index
	c.r.Entries++
	if c.visit == nil {
		return nil
	}
	return c.visit(e, f.file.path, pos)
}

// walk reads a segment's batches and goes on after damage with the next batch that can be made out.
type walk struct {
	c     *check
	f     *found
	tail  *tail    // what was found
	view  *segment // of a sealed segment whose footer is whole
	limit int64    // where the batches end
	known int64    // a damage that is noted already
	cache positions
}

func (w *walk) run() error {
	t := w.tail
	for t.end < w.limit {
		b, err := w.c.w.get(w.f.file, t.end, batchHeader, scanAhead, w.limit)
		if err != nil {
			return w.unreadable(err)
		}
		h, ok := decodeBatch(b, &t.head, t.end)
		if !ok {
			if !w.resync() {
				return nil
			}
			continue
		}
		if err := w.batch(&h); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) note(at int64, reason string) {
	if at != w.known {
		w.c.note(w.f.file.path, at, reason)
	}
}

// unreadable notes what the disk refuses to give; the walk of this segment ends there.
func (w *walk) unreadable(err error) error {
	w.note(w.tail.end, err.Error())
	return nil
}

// resync notes the damage where no batch is, and moves to the next valid batch header, if there is one.
func (w *walk) resync() bool {
	s := &scan{tail: w.tail, length: w.limit, w: &w.c.w}
	if s.findRest(); s.rest == w.tail.end && !w.f.sealed {
		return false // what is filled ahead
	}
	w.note(w.tail.end, "there is no valid batch header")
	at := s.later()
	if at == 0 {
		return false
	}
	b, err := w.f.file.read(make([]byte, batchHeader), at)
	if h, ok := decodeBatch(b, &w.tail.head, at); err == nil && ok {
		w.tail.seq, w.tail.end, w.tail.last = h.seq-1, at, h.first-1
		return true
	}
	return false
}

func (w *walk) batch(h *batch) error {
	t := w.tail
	if why := t.misplaced(h); why != "" {
		w.note(t.end, why)
		t.last = h.first - 1
	}
	pos, end := t.end+batchHeader, t.end+batchHeader+int64(h.length)
	for index := h.first; index < h.first+uint64(h.count); index++ {
		next, err := w.entry(index, pos, end)
		if err != nil || next == 0 {
			t.last = h.first + uint64(h.count) - 1
			t.seq, t.end = h.seq, end
			return err
		}
		pos = next
	}
	t.seq, t.end, t.commit = h.seq, end, max(t.commit, h.commit)
	return nil
}

// entry checks one entry; next is where the one after it is, 0 when that cannot be told.
func (w *walk) entry(index uint64, pos, end int64) (next int64, err error) {
	e, d, err := w.c.w.entry(w.f.file, w.f.head.shard, index, pos, end, scanAhead, w.limit)
	if err != nil {
		return 0, w.unreadable(err)
	}
	if d != nil {
		w.note(d.offset, d.reason)
	}
	if e.index == 0 {
		return 0, nil
	}
	next = pos + entryBytes(int(e.length))
	w.tail.entry(pos, e.term, e.head[:], int(e.length))
	if err := w.position(index, pos); err != nil {
		return 0, err
	}
	if d == nil {
		err = w.c.whole(e.entry, w.f, pos)
	}
	return next, err
}

// position compares the footer's table with where the entry is.
func (w *walk) position(index uint64, pos int64) error {
	if w.view == nil || index > w.view.last {
		return nil
	}
	at, err := w.view.position(&w.cache, index)
	if err != nil {
		return w.tableDamage(err)
	}
	if at != pos {
		w.note(w.view.foot.at, "the footer's table has entry "+strconv.FormatUint(index, 10)+" in another place")
	}
	return nil
}

// tableDamage notes a damaged block once, though each of its entries meets it.
func (w *walk) tableDamage(err error) error {
	var e *errs.Error
	if errors.As(err, &e) && e.Details["offset"] == strconv.FormatInt(w.known, 10) {
		return nil
	}
	if !w.c.damaged(err) {
		return err
	}
	w.known = w.c.r.Damages[len(w.c.r.Damages)-1].Offset
	return nil
}
