package index

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gesta-db/gesta/internal/errs"
)

const (
	// incoming is the second name under which a table is handed to Pebble, which takes it away.
	incoming = "incoming.sst"
	// spareBytes must be free on the disk: Pebble does not survive a manifest that is cut short.
	spareBytes = 8 << 20
)

// Ingest verifies the table in a file (every checksum), takes it in atomically and durably, in place of what the segment had, and
// then drops the segment's table from memory. The file stays as it is; on one file system it is shared, not copied.
//
// It fails with Corrupt when the file is damaged or another segment's, and with NotFound when there is none: then build it again.
// With NoSpace it may be tried again when there is space. With Unavailable the folder is damaged, and is emptied at the next Open.
// After any failure the table stays in memory, and reading goes on.
func (ix *Index) Ingest(segment uint64, file string) error {
	began := time.Now()
	<-ix.warm.ids
	s, err := ix.verify(segment, file)
	if err != nil {
		return err
	}
	if err := ix.take(s, file); err != nil {
		return coded(fmt.Errorf("ingest the index table %s: %w", file, err))
	}
	if err := ix.publish(s); err != nil {
		return err
	}
	if l := ix.o.Listener; l != nil && l.Ingested != nil {
		l.Ingested(s.SegmentMark, time.Since(began))
	}
	return nil
}

// coded gives an error of writing its code.
func coded(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return errs.New(errs.NoSpace, "%w: free space and try again", err)
	}
	return err
}

// Ingested lists the segments that are in, oldest first.
func (ix *Index) Ingested() []SegmentMark {
	var marks []SegmentMark
	for _, s := range ix.view.Load().sealed {
		marks = append(marks, s.SegmentMark)
	}
	return marks
}

// verify reads a table's every block, and its mark.
func (ix *Index) verify(number uint64, file string) (*segment, error) {
	f, err := ix.fs.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.New(errs.NotFound, "the index table %s is missing: it has to be built again", file)
	}
	if err != nil {
		return nil, err
	}
	s, err := readMark(number, f)
	if err != nil {
		return nil, errs.New(errs.Corrupt, "the index table %s is damaged or of another version: it has to be built again: %w", file, err).With("file", file)
	}
	return s, nil
}

func readMark(number uint64, f vfs.File) (*segment, error) {
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, readerOptions())
	if err != nil {
		return nil, err // and the file is closed
	}
	defer r.Close()
	if err := r.ValidateBlockChecksums(); err != nil {
		return nil, err
	}
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	kv := it.First()
	if kv == nil || string(kv.K.UserKey) != string(appendKey(nil, number, kindMark)) {
		return nil, fmt.Errorf("it is not segment %d's", number)
	}
	v, _, err := kv.Value(nil)
	if err != nil {
		return nil, err
	}
	s := &segment{}
	return s, s.decode(number, v)
}

// take hands the table to Pebble under a second name.
func (ix *Index) take(s *segment, file string) error {
	if ix.damaged.Load() {
		return errs.New(errs.Unavailable, "the index in %s is damaged: restart the server, which builds it again from the log", ix.o.Dir)
	}
	if du, err := ix.fs.GetDiskUsage(ix.o.Dir); err == nil && du.AvailBytes < spareBytes {
		return errs.New(errs.NoSpace, "%d bytes are free on the disk of %s, %d are needed: free space and try again", du.AvailBytes, ix.o.Dir, spareBytes)
	}
	tmp := ix.fs.PathJoin(ix.o.Dir, incoming)
	if err := ix.fs.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := vfs.LinkOrCopy(ix.fs, file, tmp); err != nil {
		return err
	}
	return ix.guarded(func() error {
		if ix.sealed(s.Segment) == nil {
			return ix.db.Ingest(context.Background(), []string{tmp})
		}
		span := pebble.KeyRange{Start: appendKey(nil, s.Segment, 0), End: appendKey(nil, s.Segment, kindEnd)}
		_, err := ix.db.IngestAndExcise(context.Background(), []string{tmp}, nil, nil, span)
		return err
	})
}

func (ix *Index) sealed(number uint64) *segment {
	for _, s := range ix.view.Load().sealed {
		if s.Segment == number {
			return s
		}
	}
	return nil
}

// publish lets readers see an ingested segment, and then drops its table. While both are there, the table hides the segment from
// readers, and is what the caches are brought up to date from.
//
// The order matters: heads found in older segments are refused from the moment the cache's generation rises, so that none of them
// can replace what is put after that.
func (ix *Index) publish(s *segment) error {
	t := ix.view.Load().table(s.Segment)
	if t == nil {
		ix.heads.doubt()
	}
	ix.version.Add(1)
	ix.change(func(v *view) *view { return v.ingested(s) })
	generation := ix.heads.generation.Add(1)
	if err := ix.learn(s); err != nil {
		return err
	}
	if t == nil {
		ix.heads.clear()
	} else {
		t.freeze()
		ix.keepHeads(t, generation)
	}
	// It rises before the table goes: who finds it unchanged after looking has looked while the table was there, and from the moment
	// it rises SealedHead and SealedIDs know all that the table does.
	ix.generation.Add(1)
	if t != nil {
		ix.change(func(v *view) *view { return v.without(s.Segment) })
	}
	return nil
}

func (ix *Index) change(f func(*view) *view) {
	ix.mu.Lock()
	ix.view.Store(f(ix.view.Load()))
	ix.mu.Unlock()
}

// learn brings the id window and the filters up to an ingested segment.
func (ix *Index) learn(s *segment) error {
	c, err := ix.cursor()
	if err != nil {
		return err
	}
	defer c.release()
	hashes, err := c.hashes(s)
	if err != nil {
		return err
	}
	ix.ids.add(hashed{s, hashes})
	return ix.loadFilter(c, s)
}

// keepHeads moves the heads of a table's streams to the cache: they are the ones most likely to be asked for.
func (ix *Index) keepHeads(t *table, generation uint64) {
	for i := range t.streams.len() {
		s := t.streams.at(i)
		ix.heads.put(s.hash, []byte(t.topics[s.topic].name), t.key(s), t.headOf(s), generation)
	}
}
