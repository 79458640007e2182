package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gesta-db/gesta/internal/errs"
)

// Built tells of a table that was written.
type Built struct {
	SegmentMark
	Bytes int64
}

const writes = vfs.DiskWriteCategory("gesta-index")

// Build sorts the frozen table of a segment and writes it to a file: whole and synced, or not there. The same events give the same
// bytes. It runs beside readers and beside Add to later segments.
//
// It fails with Internal when the segment has no table, with NoSpace, and otherwise as the file system does.
func (ix *Index) Build(segment uint64, file string) (Built, error) {
	began := time.Now()
	t := ix.view.Load().table(segment)
	if t == nil {
		return Built{}, errs.New(errs.Internal, "segment %d has no table in memory to build from", segment)
	}
	t.freeze()
	b := &builder{t: t, ix: ix}
	size, err := ix.writeTable(file, b)
	if err != nil {
		return Built{}, coded(fmt.Errorf("write the index table %s: %w", file, err))
	}
	built := Built{SegmentMark: b.layout.SegmentMark, Bytes: size}
	if l := ix.o.Listener; l != nil && l.Built != nil {
		l.Built(built, time.Since(began))
	}
	return built, nil
}

// writeTable writes beside the file, syncs, and renames: a crash leaves the old state or the new one.
func (ix *Index) writeTable(file string, b *builder) (int64, error) {
	tmp := file + ".tmp"
	f, err := ix.fs.Create(tmp, writes)
	if err != nil {
		return 0, err
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), tableOptions())
	err = b.write(w)
	if closed := w.Close(); err == nil {
		err = closed // Close syncs
	}
	if err != nil {
		_ = ix.fs.Remove(tmp)
		return 0, err
	}
	if err := ix.fs.Rename(tmp, file); err != nil {
		return 0, err
	}
	if err := syncDir(ix.fs, ix.fs.PathDir(file)); err != nil {
		return 0, err
	}
	info, err := ix.fs.Stat(file)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}

// builder turns a frozen table into keys and values, in order.
type builder struct {
	ix      *Index
	t       *table
	w       *sstable.Writer
	layout  layout
	key     []byte
	value   []byte
	spots   []spot
	topics  []uint32   // in the order of their names
	lists   [][]uint32 // rows of the topics and terms with runs, by number
	offsets []uint64
	long    []uint32 // streams whose postings have keys of their own, by number
}

func (b *builder) write(w *sstable.Writer) error {
	b.w = w
	ids := b.ids()
	b.describe(ids)
	for _, step := range []func() error{
		b.mark, b.topicNames, b.terms, b.streams, b.states, b.postings, b.runs, b.places,
		func() error { return b.buckets(ids) },
		b.filter,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) describe(ids []keyed) {
	b.layout = layout{
		SegmentMark: b.t.summary(), ids: uint64(len(ids)), streams: uint64(b.t.streams.len()),
		filterBlocks: filterBlocks(int(b.t.streams.len() + b.t.states.streams.len())), states: uint64(b.t.states.rows.len()), idBits: bucketBits(len(ids)), idWidth: 1,
	}
	var most uint64
	for _, e := range ids {
		most = max(most, e.value-b.t.base)
	}
	b.layout.idWidth = widthOf(most)
	b.topics = make([]uint32, len(b.t.topics))
	for i := range b.topics {
		b.topics[i] = uint32(i)
	}
	// Stream keys begin with the topic's length.
	slices.SortFunc(b.topics, func(x, y uint32) int { return compareNames(b.t.topics[x].name, b.t.topics[y].name) })
	for _, topic := range b.topics {
		b.lists = append(b.lists, b.t.topics[topic].rows)
	}
	b.layout.terms = uint64(b.t.terms.rows.len())
	if until := b.t.terms.until; until != 0 {
		b.layout.untold = b.layout.LastOffset + 1 - until
	}
}

func compareNames(x, y string) int {
	if len(x) != len(y) {
		return compare(uint64(len(x)), uint64(len(y)))
	}
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func (b *builder) put(key, value []byte) error { return b.w.Set(key, value) }

func (b *builder) mark() error {
	b.key = appendKey(b.key[:0], b.t.segment, kindMark)
	return b.put(b.key, b.layout.append(b.value[:0]))
}

// topicNames numbers the topics in the order of compareNames and files them by name.
func (b *builder) topicNames() error {
	byName := make([]uint32, len(b.topics)) // numbers, in plain order of the names
	for i := range byName {
		byName[i] = uint32(i)
	}
	name := func(number uint32) string { return b.t.topics[b.topics[number]].name }
	slices.SortFunc(byName, func(x, y uint32) int { return bytes.Compare([]byte(name(x)), []byte(name(y))) })
	for _, number := range byName {
		topic := &b.t.topics[b.topics[number]]
		v := binary.AppendUvarint(b.value[:0], uint64(number))
		v = binary.AppendUvarint(v, uint64(len(topic.rows)))
		v = binary.AppendUvarint(v, uint64(topic.streams))
		b.key = appendTopicKey(b.key[:0], b.t.segment, []byte(topic.name))
		if err := b.put(b.key, v); err != nil {
			return err
		}
	}
	return nil
}

// streams writes the blocks. A block never spans topics.
func (b *builder) streams() error {
	sorted := b.sortedStreams()
	var block blockWriter
	var inline []byte
	for at := 0; at < len(sorted); {
		topic := b.t.streams.at(sorted[at]).topic
		block.reset()
		for ; at < len(sorted) && len(block.buf) < blockBytes; at++ {
			s := b.t.streams.at(sorted[at])
			if s.topic != topic {
				break
			}
			e := b.entry(sorted[at], s, &inline)
			block.add(b.t.key(s), &e)
		}
		b.key = appendStreamKey(b.key[:0], b.t.segment, []byte(b.t.topics[topic].name), block.last)
		if err := b.put(b.key, block.buf); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) entry(i uint32, s *streamRow, inline *[]byte) streamEntry {
	h := b.t.headOf(s)
	e := streamEntry{count: uint64(s.count), gaps: s.gaps, lastRevision: h.Revision, lastOffset: h.Offset - b.t.base}
	switch {
	case s.count > maxInline:
		e.external, e.number = true, uint32(len(b.long))
		b.long = append(b.long, i)
	case s.count > 1:
		b.collect(s)
		*inline = appendInline((*inline)[:0], b.spots, s.gaps)
		e.inline = *inline
	}
	return e
}

// collect gathers a stream's spots, oldest first.
func (b *builder) collect(s *streamRow) {
	b.spots = b.spots[:0]
	for i := s.first; i != none; {
		r := b.t.rows.at(i)
		b.spots = append(b.spots, spot{offset: uint64(r.offset), revision: s.firstRevision + uint64(r.revision)})
		i = r.next
	}
}

func (b *builder) postings() error {
	for number, i := range b.long {
		s := b.t.streams.at(i)
		b.collect(s)
		for rest := b.spots; len(rest) > 0; {
			n := min(len(rest), postingsPerKey)
			b.key = appendNumbered(b.key[:0], b.t.segment, kindPosting, uint32(number), rest[0].revision)
			b.value = appendPostings(b.value[:0], rest[:n], s.gaps)
			if err := b.put(b.key, b.value); err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	return nil
}

func (b *builder) runs() error {
	var runs []run
	for number, rows := range b.lists {
		runs = runs[:0]
		for _, i := range rows {
			runs = extend(runs, b.t.base+uint64(b.t.rows.at(i).offset))
		}
		before := uint64(0)
		for rest := runs; len(rest) > 0; {
			n := min(len(rest), runsPerKey)
			b.key = appendNumbered(b.key[:0], b.t.segment, kindRun, uint32(number), rest[0].first)
			b.value = appendRuns(b.value[:0], before, rest[:n])
			before += events(rest[:n])
			if err := b.put(b.key, b.value); err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	return nil
}

func (b *builder) places() error {
	var room [placesPerChunk * chunksPerKey]place
	var chunks []byte
	n := b.t.rows.len()
	for at := uint32(0); at < n; {
		chunk := room[:0]
		for ; at < n && len(chunk) < len(room); at++ {
			r := b.t.rows.at(at)
			chunk = append(chunk, place{offset: b.t.base + uint64(r.offset), loc: b.t.loc(r), time: r.time})
		}
		b.key = appendOffsetKey(b.key[:0], b.t.segment, chunk[0].offset)
		b.value, chunks = appendGroup(b.value[:0], chunks, b.t.segment, chunk)
		if err := b.put(b.key, b.value); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) buckets(ids []keyed) error {
	bits := b.layout.idBits
	for at := 0; at < len(ids); {
		bucket := bucketOf(ids[at].key, bits)
		b.value = b.value[:0]
		for ; at < len(ids) && bucketOf(ids[at].key, bits) == bucket; at++ {
			b.value = appendID(b.value, ids[at], b.t.base, bits, b.layout.idWidth)
		}
		b.key = appendShort(b.key[:0], b.t.segment, kindID, bucket)
		if err := b.put(b.key, b.value); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) filter() error {
	f := newBloom(b.layout.filterBlocks)
	for i := range b.t.streams.len() {
		f.add(b.t.streams.at(i).hash)
	}
	for i := range b.t.states.streams.len() {
		f.add(b.t.states.streams.at(i).hash)
	}
	rest := f.appendBytes(nil)
	for piece := uint16(0); len(rest) > 0; piece++ {
		n := min(len(rest), filterPiece)
		b.key = appendShort(b.key[:0], b.t.segment, kindFilter, piece)
		if err := b.put(b.key, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}
