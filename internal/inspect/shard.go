package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/shard"
)

// checker folds one shard's log as its first reader would, and holds the index against it.
type checker struct {
	o     Options
	all   *Report
	shard Shard
	dir   string
	fold  shard.Fold
	heads map[string]uint64
	// indexed ends where the index's last whole segment does: what is behind it, a node keeps in memory.
	index   *index.Index
	indexed uint64
	last    uint64 // the index of the entry before
	lost    bool   // after damage the fold cannot go on: numbers would follow wrong
}

func newChecker(o Options, all *Report, number uint32) *checker {
	c := &checker{o: o, all: all, dir: ShardDir(o.Dir, ShardsDir, number), heads: map[string]uint64{}}
	c.shard.Number, c.fold.Shard = number, number
	return c
}

func (c *checker) check() error {
	if note, ok := shard.Installing(c.o.FS, c.dir); ok {
		c.find(Finding{File: note, Doubtful: true, Message: "the node was stopped while it installed segments from another: the next start ends that; check again after it"})
		c.all.Shards = append(c.all.Shards, c.shard)
		return nil
	}
	if err := c.openIndex(); err != nil {
		return err
	}
	if c.index != nil {
		defer c.index.Close()
	}
	report, err := seglog.Verify(seglog.Options{FS: c.o.FS, Dir: c.dir, Shard: uint64(c.shard.Number), SegmentBytes: 1 << 26}, c.entry)
	if err != nil {
		return err
	}
	c.all.damages(report.Damages)
	if len(report.Segments) == 0 && len(report.Damages) == 0 {
		c.find(Finding{File: c.dir, Message: "the folder holds no segment of the log: restore it from a backup"})
	}
	c.all.add(replica.VerifyState(c.o.FS, c.dir), c.dir)
	c.compareHeads()
	if err := c.tables(); err != nil {
		return err
	}
	c.shard.Segments, c.shard.Entries, c.shard.Bytes = len(report.Segments), report.Entries, report.Bytes
	for _, s := range report.Segments {
		if s.Sealed {
			c.shard.Sealed++
		}
	}
	c.shard.Streams = len(c.heads)
	c.all.Shards = append(c.all.Shards, c.shard)
	return nil
}

// openIndex opens the shard's index when there is one; a node without one builds it anew.
func (c *checker) openIndex() error {
	dir := ShardDir(c.o.Dir, IndexDir, c.shard.Number)
	if _, err := c.o.FS.Stat(dir); err != nil {
		return nil
	}
	ix, err := index.Open(index.Options{Dir: dir, BlockCacheBytes: 64 << 20, HeadsCacheBytes: 16 << 20, ReadOnly: true})
	if err != nil {
		c.find(Finding{File: dir, Message: fmt.Sprintf("the index does not open (%v); delete the folder: the next start builds it anew", err)})
		return nil
	}
	c.index = ix
	for _, m := range ix.Ingested() {
		c.indexed = max(c.indexed, m.LastOffset)
	}
	return nil
}

// tables holds the index's tables against their checksums, those beside the segments and those in the index's folder.
func (c *checker) tables() error {
	for _, in := range []struct{ dir, ext string }{{c.dir, ".idx"}, {ShardDir(c.o.Dir, IndexDir, c.shard.Number), ".sst"}} {
		names, err := c.o.FS.List(in.dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, name := range names {
			if filepath.Ext(name) == in.ext {
				c.all.add(index.VerifyTable(nil, filepath.Join(in.dir, name)), in.dir)
			}
		}
	}
	return nil
}

func (c *checker) find(f Finding) { c.all.Findings = append(c.all.Findings, f) }

// entry is called for every whole entry, in order.
func (c *checker) entry(e seglog.Entry, segment string, pos int64) error {
	if c.o.Progress != nil {
		c.shard.Bytes += int64(len(e.Data))
		c.o.Progress(c.shard.Number, c.shard.Bytes)
	}
	// Behind a gap, which is reported as damage, numbers cannot follow.
	c.lost = c.lost || c.last > 0 && e.Index != c.last+1
	c.last = e.Index
	if c.lost || e.Type != seglog.TypeRecords || len(e.Data) == 0 {
		return nil
	}
	if err := c.fold.Entry(e); err != nil {
		c.lost = true
		c.find(Finding{File: segment, Offset: pos, Message: errs.As(err).Message})
		return nil
	}
	for i := range c.fold.Events {
		c.event(&c.fold.Events[i], segment, pos)
	}
	return nil
}

func (c *checker) event(e *index.Event, segment string, pos int64) {
	if c.shard.FirstOffset == 0 {
		c.shard.FirstOffset = e.Offset
	}
	c.shard.LastOffset = e.Offset
	c.shard.Events++
	stream := string(e.Topic) + "\x00" + string(e.Key)
	if c.heads[stream]++; e.Revision != c.heads[stream] {
		c.find(Finding{File: segment, Offset: pos, Message: fmt.Sprintf("stream %s/%s has revision %d where %d was due", e.Topic, e.Key, e.Revision, c.heads[stream])})
		c.heads[stream] = e.Revision
	}
	if c.index == nil || e.Offset > c.indexed {
		return
	}
	c.shard.Indexed++
	if loc, err := c.index.Locate(e.Offset); err != nil || loc != e.Loc {
		c.find(Finding{File: ShardDir(c.o.Dir, IndexDir, c.shard.Number), Message: "the index is wrong about offset " + strconv.FormatUint(e.Offset, 10) + "; delete the folder: the next start builds it anew"})
		c.indexed = 0 // it is to be built anew: what else is wrong with it does not matter
	}
}

// compareHeads compares every stream's end, when the index holds the whole log.
func (c *checker) compareHeads() {
	if c.index == nil || c.lost || c.indexed != c.shard.LastOffset {
		return
	}
	for stream, want := range c.heads {
		topic, key, _ := strings.Cut(stream, "\x00")
		h, _, err := c.index.Head([]byte(topic), []byte(key))
		if err != nil || h.Revision != want {
			c.find(Finding{File: ShardDir(c.o.Dir, IndexDir, c.shard.Number), Message: fmt.Sprintf("the index ends stream %s/%s at revision %d, the log at %d; delete the folder: the next start builds it anew", topic, key, h.Revision, want)})
			return
		}
	}
}
