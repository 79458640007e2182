package shard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

// repairDir is the folder in a shard's folder where a segment is put together that replaces a damaged one.
const repairDir = "repair"

// Peers are the other replicas of a shard, as who repairs it sees them.
type Peers interface {
	// Digests asks those that answer which sealed segments they have; the keys are replicas.
	Digests(ctx context.Context, shard uint32) (map[uint64][]Piece, error)
	// Source is one of them.
	Source(shard uint32, replica uint64) Source
}

// Scrubbing is what a Scrubber works with.
type Scrubbing struct {
	FS     vfs.FS
	Dir    string
	Number uint32
	Peers  Peers // nil: there are none, and damage is only reported
	// Pace holds up what is read in the background; a segment that is suspected, and a repair, are not held up.
	Pace Pace
	// Every is the pause between two rounds through all segments.
	Every  time.Duration
	Logger *slog.Logger
	// Repaired and Damaged, which may be nil, hear of a segment that was replaced, and of damage that no replica has a whole copy of
	// (corrupt, with file and offset), or that shows only in comparison.
	Repaired func(first uint64)
	Damaged  func(error)
}

// scrubbed is an open shard.
type scrubbed interface {
	Segments() []seglog.Segment
	Replace(first uint64, from string) error
}

// Scrubber reads a shard's sealed segments again and again, compares them with those of other replicas, and replaces the damaged ones, while
// the replica goes on. A read that meets a damaged one fails until it is replaced.
type Scrubber struct {
	o       Scrubbing
	s       scrubbed
	suspect chan uint64
	mending sync.Mutex // one repair at a time
}

// suspects bounds the segments that wait to be looked at at once. What does not fit is met again by the next read, or round.
const suspects = 16

// NewScrubber makes a scrubber of an open shard, for as long as that is open.
func NewScrubber(o Scrubbing, s scrubbed) *Scrubber {
	return &Scrubber{o: o, s: s, suspect: make(chan uint64, suspects)}
}

// Run works until ctx ends.
func (b *Scrubber) Run(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { b.watch(ctx) })
	for {
		b.Round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(b.o.Every):
		}
	}
}

// Suspect has the segment looked at at once that an error tells of; other errors, and other files, are nothing to it. It does not
// block: a shard's Listener.Damaged may call it.
func (b *Scrubber) Suspect(err error) {
	first, ok := segmentIn(err)
	if !ok {
		return
	}
	select {
	case b.suspect <- first:
	default:
	}
}

// segmentIn is the segment in whose file an error found damage.
func segmentIn(err error) (first uint64, ok bool) {
	if err == nil || errs.CodeOf(err) != errs.Corrupt {
		return 0, false
	}
	return seglog.ParseName(filepath.Base(errs.As(err).Details["file"]))
}

// watch looks after suspects. The same one is told by every read that meets it, so one that was just found whole, or replaced, is let
// be.
func (b *Scrubber) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-b.suspect:
			for _, s := range b.s.Segments() {
				if s.First == first && s.Sealed {
					b.look(ctx, s, nil)
				}
			}
		}
	}
}

// Round goes through all sealed segments once, and then compares them with those of the peers.
func (b *Scrubber) Round(ctx context.Context) {
	for _, s := range b.s.Segments() {
		if !s.Sealed || ctx.Err() != nil {
			break
		}
		b.look(ctx, s, b.o.Pace)
	}
	if b.o.Peers == nil || ctx.Err() != nil {
		return
	}
	theirs, err := b.o.Peers.Digests(ctx, b.o.Number)
	if err != nil {
		b.o.Logger.Warn("the segments could not be compared with those of other replicas; it is tried again", "shard", b.o.Number, "error", err)
		return
	}
	b.compare(theirs)
}

// look verifies a segment, and replaces it when it is damaged.
func (b *Scrubber) look(ctx context.Context, s seglog.Segment, pace Pace) {
	o := seglog.Options{FS: b.o.FS, Dir: b.o.Dir, Shard: uint64(b.o.Number)}
	_, err := seglog.VerifySealed(o, s.First, s.Name, func(n int) error { return pace.wait(ctx, n) })
	if err == nil || ctx.Err() != nil {
		return
	}
	if errs.CodeOf(err) != errs.Corrupt {
		b.o.Logger.Warn("a segment could not be read to check it; it is tried again", "segment", s.Name, "error", err)
		return
	}
	b.o.Logger.Error("a sealed segment is damaged", "segment", s.Name, "error", err)
	if failed := b.repair(ctx, s); failed != nil {
		if ctx.Err() == nil {
			b.damaged(errs.New(errs.Corrupt, "%s is damaged, and is not repaired: %v (%w)", filepath.Join(b.o.Dir, s.Name), failed, err).
				With("file", errs.As(err).Details["file"]).With("offset", errs.As(err).Details["offset"]))
		}
		return
	}
	b.o.Logger.Info("the segment was replaced by another replica's", "segment", s.Name)
	if b.o.Repaired != nil {
		b.o.Repaired(s.First)
	}
}

func (b *Scrubber) damaged(err error) {
	b.o.Logger.Error("damage remains", "shard", b.o.Number, "error", err)
	if b.o.Damaged != nil {
		b.o.Damaged(err)
	}
}

// repair fetches a segment from whoever has it, and puts it in its place.
func (b *Scrubber) repair(ctx context.Context, s seglog.Segment) error {
	b.mending.Lock()
	defer b.mending.Unlock()
	p := pieceOf(s)
	if err := fetchOne(ctx, b.o, p, func(other Piece) bool { return other.Digest == p.Digest && other.Generation == p.Generation }); err != nil {
		return err
	}
	return b.s.Replace(s.First, filepath.Join(b.o.Dir, repairDir))
}

// fetchOne brings one segment into the folder repair, from a replica that has it with the same bounds and otherwise as asked.
func fetchOne(ctx context.Context, o Scrubbing, p Piece, same func(Piece) bool) error {
	if o.Peers == nil {
		return errs.New(errs.Unavailable, "there is no other replica")
	}
	theirs, err := o.Peers.Digests(ctx, o.Number)
	if err != nil {
		return err
	}
	failed := errs.New(errs.Unavailable, "no other replica that answers has this segment sealed")
	for _, id := range slices.Sorted(maps.Keys(theirs)) {
		for _, other := range theirs[id] {
			if other.First != p.First || other.Last != p.Last || !same(other) {
				continue
			}
			m := Manifest{Shard: o.Number, Segments: []Piece{other}}
			f := Fetching{FS: o.FS, Dir: o.Dir, Manifest: m, Sources: []Source{o.Peers.Source(o.Number, id)}}
			in := filepath.Join(o.Dir, repairDir)
			if err := f.begin(in); err != nil {
				return err
			}
			err := f.bring(ctx, in, &f.Manifest.Segments[0])
			if err == nil {
				return nil
			}
			failed = errs.New(errs.CodeOf(err), "replica %d: %w", id, err)
		}
	}
	return failed
}

// compare finds segments that are whole by all their checksums and yet are not the same: then one of the replicas is wrong in a way
// that nothing here can decide.
func (b *Scrubber) compare(theirs map[uint64][]Piece) {
	mine := map[uint64]Piece{}
	for _, s := range b.s.Segments() {
		if s.Sealed {
			mine[s.First] = pieceOf(s)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(theirs)) {
		for _, other := range theirs[id] {
			p, ok := mine[other.First]
			if !ok || p.Generation != other.Generation || p.Last == other.Last && p.Digest == other.Digest {
				continue
			}
			name := seglog.Name(p.First)
			b.damaged(errs.New(errs.Corrupt, "%s of shard %d differs from that of replica %d, though both match their checksums: keep both folders and ask for help", name, b.o.Number, id).
				With("file", filepath.Join(b.o.Dir, name)).With("offset", "0"))
		}
	}
}

// Mend makes the folder of a shard that did not open, with this error (corrupt), open again, as far as that is possible without
// guessing: segments before the last one whose files are missing or damaged are replaced by those of other replicas that end with the
// same entry, so hold the same. It gives how many; 0 without an error when it is the last segment or the hard state that is damaged: then
// what this replica has acknowledged, or voted, is not known, and it must come back as another.
func Mend(ctx context.Context, cfg Config, o Scrubbing, cause error) (mended int, err error) {
	if err := finishInstall(cfg, o.FS, o.Dir); err != nil {
		return 0, err
	}
	log := seglog.Options{FS: o.FS, Dir: o.Dir, Shard: uint64(o.Number)}
	for {
		gaps, err := seglog.Gaps(log)
		if errs.CodeOf(err) == errs.Corrupt {
			return mended, nil
		}
		if err != nil {
			return mended, err
		}
		if len(gaps) == 0 {
			break
		}
		if err := mendOne(ctx, o, log, gaps[0]); err != nil {
			return mended, err
		}
		mended++
	}
	if g, ok := suspected(log, cause); ok {
		if err := mendOne(ctx, o, log, g); err != nil {
			return mended, err
		}
		mended++
	}
	return mended, nil
}

// suspected is the sealed segment that an error tells of, when it is damaged where opening a log does not look, but loading it did.
func suspected(log seglog.Options, cause error) (seglog.Gap, bool) {
	first, ok := segmentIn(cause)
	if !ok {
		return seglog.Gap{}, false
	}
	_, err := seglog.VerifySealed(log, first, seglog.Name(first), nil)
	s, unknown := seglog.Describe(log, first)
	return seglog.Gap{First: s.First, Last: s.Last, Term: s.Term, Err: err}, err != nil && unknown == nil
}

func mendOne(ctx context.Context, o Scrubbing, log seglog.Options, g seglog.Gap) error {
	o.Logger.Error("a segment is damaged or missing; another replica's takes its place", "segment", seglog.Name(g.First), "error", g.Err)
	if err := fetchOne(ctx, o, Piece{First: g.First, Last: g.Last}, func(Piece) bool { return true }); err != nil {
		return fmt.Errorf("%w; it is not mended: %w", g.Err, err)
	}
	if err := seglog.Fill(log, g, filepath.Join(o.Dir, repairDir)); err != nil {
		return err
	}
	if err := o.FS.Remove(IndexFile(o.Dir, g.First)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storing(err, o.Dir)
	}
	return nil
}
