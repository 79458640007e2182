package shard

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs"
)

// loaded is a shard's folder as it was opened: the log, the index brought up to it, and where both end.
type loaded struct {
	disk       *replica.Disk
	index      *index.Index
	fs         vfs.FS
	dir        string
	settings   event.Settings
	lastOffset uint64
	lastTime   int64
	segment    uint64
}

// IndexFile is the name of the index table that is kept beside a sealed segment, so that a rebuild is a copy.
func IndexFile(dir string, segment uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d.idx", segment))
}

// load brings the index up to the log: tables of sealed segments are ingested where they are missing, and built anew where they
// are lost; what is not sealed is read into memory.
func load(cfg Config, fsys vfs.FS, dir string, disk *replica.Disk, ix *index.Index) (*loaded, error) {
	l := &loaded{disk: disk, index: ix, fs: fsys, dir: dir}
	if err := l.findSettings(); err != nil {
		return nil, err
	}
	if l.settings.History != 0 && l.settings.Shard != cfg.Number {
		return nil, errs.New(errs.Corrupt, "the folder %s holds shard %d, not shard %d: the folders were mixed up", dir, l.settings.Shard, cfg.Number)
	}
	if cfg.Cluster != "" && l.settings.History != 0 && string(l.settings.Cluster) != cfg.Cluster {
		return nil, errs.New(errs.Corrupt, "the folder %s belongs to cluster %s, this node to %s: the folders were mixed up", dir, l.settings.Cluster, cfg.Cluster)
	}
	if err := l.forgetForeign(); err != nil {
		return nil, err
	}
	in := map[uint64]index.SegmentMark{}
	for _, m := range ix.Ingested() {
		in[m.Segment] = m
	}
	segs := disk.Log.Segments()
	began := time.Now()
	for i, s := range segs {
		if err := l.segmentIn(cfg, s, in); err != nil {
			return nil, err
		}
		if cfg.Listener != nil && cfg.Listener.Loading != nil {
			cfg.Listener.Loading(i+1, len(segs), time.Since(began))
		}
	}
	return l, nil
}

// findSettings reads the record that every shard begins with; a new shard has none yet.
func (l *loaded) findSettings() error {
	log := l.disk.Log
	for i := log.First(); i <= l.disk.Loadable(); i++ {
		es, err := log.Entries(i, i+1, 1)
		if err != nil {
			return err
		}
		if es[0].Type != seglog.TypeRecords || len(es[0].Data) == 0 {
			continue
		}
		f := Fold{}
		if err := f.Entry(es[0]); err != nil {
			return err
		}
		if f.Settings != nil {
			l.settings = *f.Settings
		}
		return nil
	}
	return nil
}

// forgetForeign drops an index that is ahead of the log or knows segments that the log does not: the folder was restored, or
// the index is another's.
func (l *loaded) forgetForeign() error {
	sealed := map[uint64]bool{}
	for _, s := range l.disk.Log.Segments() {
		sealed[s.First] = s.Sealed
	}
	for _, m := range l.index.Ingested() {
		if !sealed[m.Segment] {
			return l.index.Reset()
		}
	}
	return nil
}

func (l *loaded) segmentIn(cfg Config, s seglog.Segment, in map[uint64]index.SegmentMark) error {
	if m, ok := in[s.First]; ok {
		l.lastOffset, l.lastTime = m.LastOffset, m.LastTime
		return nil
	}
	if s.Sealed {
		if l.ingest(s.First) == nil {
			l.lastOffset, l.lastTime = l.index.Last()
			return nil
		}
	}
	if err := l.read(cfg, s); err != nil {
		return err
	}
	if !s.Sealed {
		return nil
	}
	return l.rebuild(s)
}

// ingest takes the table beside a segment. Any failure means that it is built anew.
func (l *loaded) ingest(segment uint64) error {
	return l.index.Ingest(segment, IndexFile(l.dir, segment))
}

func (l *loaded) rebuild(s seglog.Segment) error {
	file := IndexFile(l.dir, s.First)
	if err := l.fs.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := l.index.Build(s.First, file); err != nil {
		return err
	}
	return l.index.Ingest(s.First, file)
}

// read folds a segment's committed entries into the index's memory.
func (l *loaded) read(cfg Config, s seglog.Segment) error {
	if s.Last == 0 || s.First > l.disk.Loadable() {
		return nil
	}
	l.segment = s.First
	l.index.Begin(s.First)
	r := l.disk.Log.NewReader(readAhead)
	f := Fold{Shard: cfg.Number, LastOffset: l.lastOffset, LastTime: l.lastTime}
	for i := s.First; i <= min(s.Last, l.disk.Loadable()); i++ {
		e, err := r.Entry(i)
		if err != nil {
			return err
		}
		if e.Type != seglog.TypeRecords || len(e.Data) == 0 {
			continue
		}
		if err := f.Entry(e); err != nil {
			return err
		}
		f.index(l.index)
	}
	l.lastOffset, l.lastTime = f.LastOffset, f.LastTime
	return nil
}
