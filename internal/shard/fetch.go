package shard

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

const (
	// incomingDir is the folder in a shard's folder where segments gather that come from peers.
	incomingDir = "incoming"
	partExt     = ".part"
	// syncBytes is how much of a file that comes in is written between two syncs: one of it all would hold up the syncs of appends.
	syncBytes = 1 << 20
	// fetchTries is how often a file that arrives damaged is asked for again, from where it is whole.
	fetchTries = 3
	// tableBytes, or the size of its segment, is what an index table may have.
	tableBytes = 16 << 20
)

// Source is another replica of the shard, as who fetches sees it.
type Source interface {
	// Fetch gives the bytes of a sealed segment's file from an offset to its end, in order and piece by piece. An error of take ends
	// it and is returned.
	Fetch(ctx context.Context, file string, from int64, take func([]byte) error) error
}

// Pace holds up who transfers or verifies this many bytes, so that the work for clients is not disturbed; nil: never.
type Pace func(ctx context.Context, bytes int) error

func (p Pace) wait(ctx context.Context, bytes int) error {
	if err := ctx.Err(); err != nil || p == nil {
		return err
	}
	return p(ctx, bytes)
}

// Fetching says what Fetch brings where.
type Fetching struct {
	FS       vfs.FS
	Dir      string // the shard's folder
	Manifest Manifest
	// Sources are asked one after another, for each segment, until one has it whole.
	Sources []Source
	Pace    Pace
	// Progress, which may be nil, hears how many of the manifest's segments are there.
	Progress func(have, of int)
}

// Fetch brings the segments of a manifest that a shard's log does not have into the folder incoming beside it. It runs while the shard is
// open, and is done when all are there, durable and verified. It may be broken off at any moment, by a crash as well: what has arrived
// whole is not fetched again. Errors: errs.Unavailable, errs.NoSpace, errs.Corrupt when no source has a segment whole; or of a Source.
func Fetch(ctx context.Context, f Fetching) error {
	in := filepath.Join(f.Dir, incomingDir)
	if err := f.begin(in); err != nil {
		return err
	}
	for i := range f.Manifest.Segments {
		p := &f.Manifest.Segments[i]
		if f.has(f.Dir, p) || f.has(in, p) {
			f.tell(i + 1)
			continue
		}
		if err := f.bring(ctx, in, p); err != nil {
			return err
		}
		f.tell(i + 1)
	}
	return nil
}

func (f *Fetching) tell(have int) {
	if f.Progress != nil {
		f.Progress(have, len(f.Manifest.Segments))
	}
}

// begin makes the folder and removes from it what another manifest has left.
func (f *Fetching) begin(in string) error {
	if err := f.FS.MkdirAll(in); err != nil {
		return storing(err, in)
	}
	wanted := map[string]bool{}
	for i := range f.Manifest.Segments {
		name := seglog.Name(f.Manifest.Segments[i].First)
		wanted[name], wanted[name+partExt], wanted[filepath.Base(IndexFile("", f.Manifest.Segments[i].First))] = true, true, true
	}
	names, err := f.FS.List(in)
	if err != nil {
		return storing(err, in)
	}
	for _, name := range names {
		if !wanted[name] {
			if err := f.FS.RemoveAll(filepath.Join(in, name)); err != nil {
				return storing(err, in)
			}
		}
	}
	return f.sync(in)
}

func (f *Fetching) sync(in string) error {
	return storing(errors.Join(f.FS.SyncDir(in), f.FS.SyncDir(f.Dir)), in)
}

func (f *Fetching) log(dir string) seglog.Options {
	return seglog.Options{FS: f.FS, Dir: dir, Shard: uint64(f.Manifest.Shard)}
}

// has tells that a folder has a segment, sealed and with the same entries.
func (f *Fetching) has(dir string, p *Piece) bool {
	s, err := seglog.Describe(f.log(dir), p.First)
	return err == nil && p.same(s)
}

func (p *Piece) same(s seglog.Segment) bool {
	return s.Last == p.Last && s.Generation == p.Generation && s.Digest == p.Digest
}

// bring asks one source after another for a segment.
func (f *Fetching) bring(ctx context.Context, in string, p *Piece) (err error) {
	name := seglog.Name(p.First)
	if err := f.FS.Remove(filepath.Join(in, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storing(err, in) // another generation, or damaged
	}
	err = errs.New(errs.Unavailable, "there is nobody to fetch %s from", name)
	for _, src := range f.Sources {
		if err = f.from(ctx, src, in, p); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// from fetches a segment from one source, goes on where an earlier try was broken off, and gives it its name when it is whole.
func (f *Fetching) from(ctx context.Context, src Source, in string, p *Piece) (err error) {
	name := seglog.Name(p.First)
	for range fetchTries {
		if err = f.transfer(ctx, src, in, p); err != nil {
			return err
		}
		var s seglog.Segment
		s, err = seglog.VerifySealed(f.log(in), p.First, name+partExt, func(int) error { return ctx.Err() })
		if err == nil && !p.same(s) {
			_ = f.FS.Remove(filepath.Join(in, name+partExt))
			return errs.New(errs.Corrupt, "%s came with other entries than the leader has: one of the two is damaged in a way that no checksum shows", name)
		}
		if err == nil {
			if err := f.table(ctx, src, in, p); err != nil {
				return err
			}
			if err = f.FS.Rename(filepath.Join(in, name+partExt), filepath.Join(in, name)); err != nil {
				return storing(err, in)
			}
			return f.sync(in)
		}
		if errs.CodeOf(err) != errs.Corrupt {
			return err
		}
	}
	return err
}

// table brings the index table beside a segment, if there is one: it saves the next open from reading the segment, and is verified there.
// Only a full disk, and the end of ctx, are errors.
func (f *Fetching) table(ctx context.Context, src Source, in string, p *Piece) error {
	name := filepath.Base(IndexFile("", p.First))
	path := filepath.Join(in, name)
	if err := f.FS.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storing(err, path)
	}
	file, err := f.FS.Create(path)
	if err != nil {
		return storing(err, path)
	}
	w := &incoming{ctx: ctx, pace: f.Pace, file: file, path: path, size: max(p.Bytes, tableBytes)}
	err = errors.Join(src.Fetch(ctx, name, 0, w.take), w.end())
	if err == nil {
		return nil
	}
	_ = f.FS.Remove(path)
	if errs.CodeOf(err) == errs.NoSpace {
		return err
	}
	return ctx.Err()
}

// errEnough ends a transfer of which no more is wanted.
var errEnough = errors.New("enough")

// transfer brings a file's bytes, from where those that are there are whole and of the same file.
func (f *Fetching) transfer(ctx context.Context, src Source, in string, p *Piece) error {
	name := seglog.Name(p.First)
	page, err := f.page(ctx, src, name)
	if err != nil {
		return err
	}
	size, err := seglog.FileSize(f.log(in), p.First, page)
	if err != nil {
		return err
	}
	w, err := f.resume(in, p, page)
	if err != nil {
		return err
	}
	w.ctx, w.pace, w.size = ctx, f.Pace, size
	err = src.Fetch(ctx, name, w.at, w.take)
	if err == nil && w.at != size {
		err = errs.New(errs.Unavailable, "%s ended at byte %d of %d on its way", name, w.at, size)
	}
	return errors.Join(err, w.end())
}

// page is the beginning of a file, which tells it from every other.
func (f *Fetching) page(ctx context.Context, src Source, name string) (page []byte, err error) {
	err = src.Fetch(ctx, name, 0, func(b []byte) error {
		if page = append(page, b...); len(page) >= seglog.HeaderBytes {
			page = page[:seglog.HeaderBytes]
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return page, err
}

// resume opens the file that is to be filled, cut to what is whole of it.
func (f *Fetching) resume(in string, p *Piece, page []byte) (*incoming, error) {
	name := seglog.Name(p.First) + partExt
	path := filepath.Join(in, name)
	file, err := f.FS.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = f.FS.Create(path)
	}
	if err != nil {
		return nil, storing(err, path)
	}
	w := &incoming{file: file, path: path}
	was := make([]byte, seglog.HeaderBytes)
	if n, err := file.ReadAt(was, 0); n == len(was) && (err == nil || errors.Is(err, io.EOF)) && string(was) == string(page) {
		if w.at, err = seglog.SoundPrefix(f.log(in), p.First, name); err != nil {
			_ = file.Close()
			return nil, err
		}
	}
	if err := file.Truncate(w.at); err != nil {
		_ = file.Close()
		return nil, storing(err, path)
	}
	return w, nil
}

// incoming is a file that is being filled.
type incoming struct {
	ctx  context.Context // of one transfer
	pace Pace
	file vfs.File
	path string
	at   int64
	size int64
	due  int // bytes written since the last sync
}

func (w *incoming) take(b []byte) error {
	if w.at+int64(len(b)) > w.size {
		return errs.New(errs.Corrupt, "more than the %d bytes of %s arrived", w.size, w.path)
	}
	if err := w.pace.wait(w.ctx, len(b)); err != nil {
		return err
	}
	if _, err := w.file.WriteAt(b, w.at); err != nil {
		return storing(err, w.path)
	}
	w.at += int64(len(b))
	if w.due += len(b); w.due < syncBytes {
		return nil
	}
	w.due = 0
	return storing(w.file.SyncData(), w.path)
}

func (w *incoming) end() error {
	return storing(errors.Join(w.file.SyncData(), w.file.Close()), w.path)
}

// storing gives an error of the disk its code.
func storing(err error, path string) error {
	switch {
	case err == nil:
		return nil
	case vfs.IsNoSpace(err):
		return errs.New(errs.NoSpace, "no space to store what a peer sends, %s: %w; free space on the volume", path, err)
	}
	return errs.New(errs.Unavailable, "store what a peer sends, %s: %w", path, err)
}

// Pieces lists the sealed segments of a shard, for a peer that compares or repairs its own.
func (s *Shard) Pieces() []Piece { return pieces(s.Segments()) }

func pieces(segs []seglog.Segment) (all []Piece) {
	for _, seg := range segs {
		if seg.Sealed {
			all = append(all, pieceOf(seg))
		}
	}
	return all
}

// Segments lists the segments of the shard's log; none once it is closed.
func (s *Shard) Segments() []seglog.Segment {
	if s.enter() != nil {
		return nil
	}
	defer s.leave()
	return s.disk.Log.Segments()
}

// Replace puts a segment from another folder in the place of a damaged one; see Scrubber.
func (s *Shard) Replace(first uint64, from string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return s.disk.Log.Replace(first, from)
}

// OpenSegment opens the file of one of this replica's sealed segments, or the index table beside one, for a peer that fetches it. The name
// is that of the file. It may be read while the shard is closed, and until it is closed itself.
func OpenSegment(fsys vfs.FS, dir string, number uint32, name string) (vfs.File, error) {
	first, ok := seglog.ParseName(strings.TrimSuffix(name, tableExt) + segmentExt(name))
	if !ok {
		return nil, errs.New(errs.Invalid, "%q is no segment's name", name).With("field", "name")
	}
	if _, err := seglog.Describe(seglog.Options{FS: fsys, Dir: dir, Shard: uint64(number)}, first); err != nil {
		return nil, err
	}
	f, err := fsys.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, errs.New(errs.NotFound, "open %s: %w", name, err)
	}
	return f, nil
}

const tableExt = ".idx"

// segmentExt is what makes the name of a table, without its own ending, the name of its segment.
func segmentExt(name string) string {
	if strings.HasSuffix(name, tableExt) {
		return ".seg"
	}
	return ""
}
