package seglog

import (
	"bytes"
	"path/filepath"

	"github.com/gesta-db/gesta/internal/errs"
)

// folder is the segment files of a log with their headers read, oldest first.
type folder struct {
	o     *Options
	files []*found
}

// found is a segment file and what its header page says.
type found struct {
	name   string
	file   *file
	head   header
	seal   seal
	sealed bool
	bad    bool // Verify found the header page damaged
}

func (d *folder) close() {
	for _, f := range d.files {
		_ = f.file.release()
	}
}

func listSegments(o *Options) ([]string, error) {
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "seglog: list %s: %w", o.Dir, err)
	}
	kept := names[:0]
	for _, name := range names {
		if _, ok := parseName(name); ok {
			kept = append(kept, name)
		}
	}
	return kept, nil
}

func readFolder(o *Options) (*folder, error) {
	names, err := listSegments(o)
	if err != nil {
		return nil, err
	}
	d := &folder{o: o}
	for _, name := range names {
		f, err := readFound(o, name)
		if f != nil {
			d.files = append(d.files, f)
		}
		if err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

// readFound opens a segment file and reads its header page. The file is open when found is not nil, also beside an error.
func readFound(o *Options, name string) (*found, error) { return readFoundIn(o, name, name) }

// readFoundIn reads the segment of this name from a file of another.
func readFoundIn(o *Options, name, file string) (*found, error) {
	path := filepath.Join(o.Dir, file)
	raw, err := o.FS.Open(path)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "seglog: open %s: %w", path, err)
	}
	f := &found{name: name, file: newFile(raw, path)}
	page, err := f.file.read(make([]byte, pageBytes), 0)
	if err != nil {
		return f, err
	}
	return f, f.decode(o, page)
}

func (f *found) decode(o *Options, page []byte) error {
	path := f.file.path
	h, ok := decodeHeader(page)
	if !ok {
		return corrupt(path, 0, "the segment's header does not match its checksum")
	}
	if h.version > Version {
		return errs.New(errs.Unsupported, "seglog: %s has format version %d, this program reads up to %d: use the newer release that wrote it",
			path, h.version, Version).With("file", path)
	}
	f.head = h
	if first, _ := parseName(f.name); h.first != first {
		return corrupt(path, 0, "the file's name says first index %d, its header %d", first, h.first)
	}
	if h.shard != o.Shard {
		return corrupt(path, 0, "the segment belongs to shard %d, not to shard %d", h.shard, o.Shard)
	}
	if len(page) < pageBytes {
		return corrupt(path, int64(len(page)), "the file ends in its header page")
	}
	if f.seal, f.sealed, ok = decodeSeal(page[sealOffset:sealOffset+sealBytes], &h); !ok {
		return corrupt(path, sealOffset, "the seal does not match its checksum")
	}
	if rest := page[sealOffset+sealBytes:]; !isZero(rest) {
		return corrupt(path, sealOffset+sealBytes+int64(lastNonZero(rest)), "the rest of the header page is not zero")
	}
	return nil
}

// dropBelow finishes a trim: it removes the segments that end below the first index kept.
func (d *folder) dropBelow(kept uint64) error {
	for len(d.files) > 1 && d.files[1].head.first <= kept {
		f := d.files[0]
		if err := d.o.FS.Remove(f.file.path); err != nil {
			return errs.New(errs.Unavailable, "seglog: remove the trimmed segment %s: %w", f.file.path, err)
		}
		_ = f.file.release()
		d.files = d.files[1:]
	}
	return nil
}

// chained checks that no segment is missing, by what each header says of the one before.
func (d *folder) chained(kept uint64) error {
	first := d.files[0]
	if first.head.first != kept {
		return corrupt(first.file.path, 0, "entries %d to %d are missing: the log is kept from entry %d, but its first segment is %s",
			kept, first.head.first-1, kept, first.name).With("missing", segmentName(kept))
	}
	for i, f := range d.files[1:] {
		before := d.files[i]
		if f.head.prevFirst != before.head.first {
			return corrupt(f.file.path, 0, "segment %s is missing between %s and %s", segmentName(f.head.prevFirst), before.name, f.name).
				With("missing", segmentName(f.head.prevFirst))
		}
	}
	return nil
}

// open loads a segment that another one follows: by its footer when it is sealed, otherwise whole.
func (f *found) open(next *header, w *window) (*segment, error) {
	s, err := f.load(next, w)
	if err != nil {
		return nil, err
	}
	switch {
	case s.last != next.first-1:
		return nil, s.corrupt(s.end, "it ends with entry %d, but %s follows it", s.last, segmentName(next.first))
	case s.foot == nil && s.end != next.prevEnd: // a sealed one may be another replica's, whose batches are others
		return nil, s.corrupt(s.end, "its batches end at byte %d, but the segment after it says %d", s.end, next.prevEnd)
	case s.lastTerm() != next.prevTerm:
		return nil, s.corrupt(s.end, "it ends in term %d, but the segment after it says %d", s.lastTerm(), next.prevTerm)
	}
	return s, nil
}

func (f *found) load(next *header, w *window) (*segment, error) {
	if f.sealed {
		foot, err := loadFooter(f.file, &f.head, f.seal)
		if err != nil {
			return nil, err
		}
		return f.sealedView(foot), nil
	}
	sc := newScan(f.file, f.name, f.head, w)
	if err := sc.run(); err != nil {
		return nil, err
	}
	if sc.stop == nil {
		return sc.tail.view(), nil
	}
	if sc.tail.end == next.prevEnd {
		torn, err := sc.tornFooter(w)
		if err != nil {
			return nil, err
		}
		if torn {
			return sc.tail.view(), nil
		}
	}
	return nil, sc.stop.err(f.file)
}

func (f *found) sealedView(foot *footer) *segment {
	return &segment{
		name: f.name, file: f.file, head: f.head, last: foot.last, end: foot.at, used: foot.used, runs: foot.runs, foot: foot,
	}
}

// tornFooter tells that what follows the batches is a part of the footer that belongs there: a seal was interrupted.
func (s *scan) tornFooter(w *window) (bool, error) {
	s.w = w
	defer func() { s.w = nil }()
	foot := encodeFooter(s.tail.view())
	if end := s.tail.end + int64(len(foot)); s.length < s.claim && s.length != end {
		return false, nil
	}
	torn := true
	s.eachRest(func(pos int64, b []byte) bool {
		at := min(pos-s.tail.end, int64(len(foot)))
		torn = partOf(b, foot[at:])
		return torn
	})
	return torn, s.failed
}

// partOf tells that each byte of b is zero or the byte of whole in its place.
func partOf(b, whole []byte) bool {
	n := min(len(b), len(whole))
	if !isZero(b[n:]) {
		return false
	}
	if bytes.Equal(b[:n], whole[:n]) {
		return true
	}
	for i, c := range b[:n] {
		if c != 0 && c != whole[i] {
			return false
		}
	}
	return true
}
