package inspect

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/limits"
	"github.com/gesta-db/gesta/internal/meta"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/shard"
	"github.com/gesta-db/gesta/internal/vfs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(fsys vfs.FS, dir string) shard.Options {
	l := limits.Default()
	l.SegmentBytes, l.EntryBytes, l.CommitBytes = 8<<10, 1<<10, 1<<10
	return shard.Options{
		Config: shard.Config{Number: 1, Cluster: "test", Replica: 1, Limits: l, NewHistory: func() uint64 { return 7 }, Logger: slog.New(slog.DiscardHandler)},
		FS:     fsys, Dir: ShardDir(dir, ShardsDir, 1), IndexDir: ShardDir(dir, IndexDir, 1), Voters: []uint64{1}, Clock: clock.System(),
	}
}

// commit is the i-th of a run, with so many words of data.
func commit(i, words int) *event.Commit {
	e := eventwire.Event{ID: fmt.Sprint("id", i), Type: "Happened", Data: []byte(strings.Repeat("data ", words))}
	b := eventwire.AppendEvent(nil, &e)
	c := &event.Commit{Bytes: len(b), Streams: []event.Append{{
		Topic: []byte("orders"), Key: fmt.Appendf(nil, "k%d", i%7), Events: []event.Prepared{{ID: []byte(e.ID), Type: []byte(e.Type), Bytes: b}},
	}}}
	if i%9 == 0 {
		c.CommandID = []byte("command " + e.ID)
	}
	return c
}

// run makes a data folder as a node does: several sealed segments, one that is being written, topics, and a snapshot of them.
func run(t *testing.T, fsys vfs.FS, dir string) (events int) {
	t.Helper()
	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	var sealed atomic.Int64
	o := options(fsys, dir)
	o.IndexListener = &index.Listener{Ingested: func(index.SegmentMark, time.Duration) { sealed.Add(1) }}
	s, err := shard.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for ; sealed.Load() < 4 || events%10 != 5; events++ {
		_, err := s.Append(ctx, commit(events, 20))
		for err != nil && errs.CodeOf(err) == errs.Busy { // sealing is slower than appending here
			_, err = s.Append(ctx, commit(events, 20))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	declare(ctx, t, fsys, dir)
	return events
}

// declare makes some topics, and moves a cursor until there is a snapshot.
func declare(ctx context.Context, t *testing.T, fsys vfs.FS, dir string) {
	t.Helper()
	m, err := meta.Open(meta.Options{FS: fsys, Dir: filepath.Join(dir, MetaDir), Replica: 1, Voters: []uint64{1}, Topics: 10, Clock: clock.System(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"orders", "invoices"} {
		if _, err := m.EnsureTopic(ctx, name, meta.Layout{}); err != nil {
			t.Fatal(err)
		}
	}
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			for i := range 10_000 / 64 {
				if _, err := m.SetCursor(ctx, "c", fmt.Sprint(i), nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	for i := range 30 {
		if _, err := m.SetCursor(ctx, "c", fmt.Sprint(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := fsys.Stat(filepath.Join(dir, MetaDir, "snapshot")); err != nil {
		t.Fatal("there is no snapshot to check")
	}
}

// simulate makes a data folder on a simulated disk, without an index: it is checked fast, and harmed byte by byte.
func simulate(t *testing.T) (disk *crashfs.FS, dir string, events int) {
	t.Helper()
	disk, dir = crashfs.New(1), t.TempDir()
	if err := os.MkdirAll(ShardDir(dir, ShardsDir, 1), 0o755); err != nil {
		t.Fatal(err)
	}
	return disk, dir, run(t, disk, dir)
}

func check(t *testing.T, fsys vfs.FS, dir string) Report {
	t.Helper()
	r, err := Check(Options{FS: fsys, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSoundFolder counts what is in a folder that nothing happened to, with and without its index.
func TestSoundFolder(t *testing.T) {
	dir := t.TempDir()
	events := run(t, vfs.OS(), dir)
	for _, indexed := range []bool{true, false} {
		r := check(t, vfs.OS(), dir)
		if !r.Sound() || len(r.Findings) != 0 || len(r.Shards) != 1 || r.Topics != 2 {
			t.Fatalf("%+v", r)
		}
		s := r.Shards[0]
		if s.Events != uint64(events) || s.FirstOffset != 1 || s.LastOffset != uint64(events) || s.Streams != 7 || s.Sealed < 3 || s.Segments <= s.Sealed || (s.Indexed > 0) != indexed {
			t.Fatalf("%d events: %+v", events, s)
		}
		if err := os.RemoveAll(filepath.Join(dir, IndexDir)); err != nil {
			t.Fatal(err)
		}
	}
}

// named tells that a finding names the file; a doubtful one counts for the newest segment alone.
func named(r *Report, file string, newest bool) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.File == file && (!f.Doubtful || newest) })
}

// files lists what lies in a folder of a simulated disk.
func files(t *testing.T, fsys vfs.FS, dirs ...string) (names []string) {
	t.Helper()
	for _, dir := range dirs {
		list, err := fsys.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range list {
			if filepath.Ext(name) != ".tmp" {
				names = append(names, filepath.Join(dir, name))
			}
		}
	}
	return names
}

// newest tells the segment that is being written in each folder.
func newest(names []string) map[string]bool {
	last := map[string]string{}
	for _, name := range names {
		if filepath.Ext(name) == ".seg" {
			last[filepath.Dir(name)] = name
		}
	}
	is := map[string]bool{}
	for _, name := range last {
		is[name] = true
	}
	return is
}

// TestFlips flips bytes all over the log, the hard states, the meta group and its snapshot: each is found, and its file named.
func TestFlips(t *testing.T) {
	disk, dir, _ := simulate(t)
	names := files(t, disk, ShardDir(dir, ShardsDir, 1), filepath.Join(dir, MetaDir))
	is := newest(names)
	n := 0
	for _, name := range names {
		whole, err := disk.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		step := max(len(whole)/flips, 1) | 1
		for at := n % step; at < len(whole); at += step {
			one := disk.Clone()
			if err := one.Flip(name, int64(at)); err != nil {
				t.Fatal(err)
			}
			n++
			if r := check(t, one, dir); !named(&r, name, is[name]) {
				t.Errorf("%s, byte %d of %d: %+v", filepath.Base(name), at, len(whole), r.Findings)
			}
		}
	}
	t.Logf("%d flips in %d files", n, len(names))
}

// TestTruncated cuts every file at some lengths, and removes it.
func TestTruncated(t *testing.T) {
	disk, dir, _ := simulate(t)
	names := files(t, disk, ShardDir(dir, ShardsDir, 1), filepath.Join(dir, MetaDir))
	for i, name := range names {
		whole, err := disk.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, length := range []int{0, 1, 511, 4095, len(whole) / 3, len(whole) / 2, len(whole) - 1} {
			if length >= len(whole) {
				continue
			}
			one := disk.Clone()
			f, err := one.Open(name)
			if err == nil {
				err = f.Truncate(int64(length))
			}
			if err != nil {
				t.Fatal(err)
			}
			if r := check(t, one, dir); !named(&r, name, false) && !unwritten(whole[length:]) {
				t.Errorf("%s cut to %d of %d bytes: %+v", filepath.Base(name), length, len(whole), r.Findings)
			}
		}
		one := disk.Clone()
		if err := one.Remove(name); err != nil {
			t.Fatal(err)
		}
		if filepath.Base(name) == "snapshot" {
			continue // the log behind it is whole here; package meta tests the other case
		}
		if emptySegment(t, disk, name) {
			continue // it was begun when the one before was full, and nothing is lost with it
		}
		if r := check(t, one, dir); r.Sound() {
			t.Errorf("%s (file %d) removed: nothing is found", filepath.Base(name), i)
		}
	}
}

// emptySegment tells that a file is the log's last segment and has no entry yet.
func emptySegment(t *testing.T, disk *crashfs.FS, name string) bool {
	t.Helper()
	first, ok := seglog.ParseName(filepath.Base(name))
	if !ok {
		return false
	}
	shard := uint64(1)
	if filepath.Base(filepath.Dir(name)) == MetaDir {
		shard = 0
	}
	log, _, err := seglog.Open(seglog.Options{FS: disk.Clone(), Dir: filepath.Dir(name), Shard: shard, SegmentBytes: 1 << 20, MaxBatchEntries: 1024})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	return log.Last() < first
}

// unwritten tells that nothing but what was filled ahead is gone.
func unwritten(b []byte) bool {
	return !slices.ContainsFunc(b, func(x byte) bool { return x != 0 })
}

// TestPowerCut cuts the power in the middle of a write: at most that one batch is reported, as doubtful, and that is not damage.
func TestPowerCut(t *testing.T) {
	disk, dir := crashfs.New(1), t.TempDir()
	if err := os.MkdirAll(ShardDir(dir, ShardsDir, 1), 0o755); err != nil {
		t.Fatal(err)
	}
	faults := faultfs.New(disk)
	declare(t.Context(), t, faults, dir)
	s, err := shard.Open(options(faults, dir))
	if err != nil {
		t.Fatal(err)
	}
	const acked = 20
	for i := range acked {
		if _, err := s.Append(t.Context(), commit(i, 20)); err != nil {
			t.Fatal(err)
		}
	}
	faults.Fail(faultfs.Rule{Op: faultfs.SyncData})
	if _, err := s.Append(t.Context(), commit(acked, 500)); errs.CodeOf(err) != errs.UnknownOutcome {
		t.Fatal(err)
	}
	_ = s.Close()
	doubts := 0
	for seed := range uint64(60) {
		one := disk.Clone()
		one.Reseed(seed)
		r := check(t, one.Crash(), dir)
		if n := r.Shards[0].Events; !r.Sound() || n != acked && n != acked+1 {
			t.Fatalf("seed %d: %+v", seed, r)
		}
		doubts += len(r.Findings)
	}
	if doubts == 0 {
		t.Fatal("no write was ever torn")
	}
}

// TestIndexDamage flips bytes in the tables beside the segments and in those of the index: each is found, and its file named.
func TestIndexDamage(t *testing.T) {
	dir := t.TempDir()
	run(t, vfs.OS(), dir)
	names := slices.DeleteFunc(files(t, vfs.OS(), ShardDir(dir, ShardsDir, 1), ShardDir(dir, IndexDir, 1)), func(name string) bool {
		return filepath.Ext(name) != ".idx" && filepath.Ext(name) != ".sst"
	})
	if len(names) < 4 {
		t.Fatalf("only %v to harm", names)
	}
	n := 0
	for _, name := range names {
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		step := max(len(whole)*len(names)/(flips/2), 1)
		for at := n % step; at < len(whole); at += step {
			b := slices.Clone(whole)
			b[at] ^= 0x04
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			n++
			if r := check(t, vfs.OS(), dir); !named(&r, name, false) {
				t.Errorf("%s, byte %d of %d: %+v", filepath.Base(name), at, len(whole), r.Findings)
			}
		}
		if err := os.WriteFile(name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := check(t, vfs.OS(), dir); !r.Sound() {
		t.Fatalf("mended: %+v", r.Findings)
	}
	t.Logf("%d flips in %d files", n, len(names))
}

// TestInterruptedInstall finds the note of one, and nothing of what lies about in between.
func TestInterruptedInstall(t *testing.T) {
	disk := crashfs.New(1)
	dir := ShardDir("data", ShardsDir, 1)
	if err := disk.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	f, err := disk.Create(filepath.Join(dir, "install"))
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	all := &Report{}
	if err := newChecker(Options{FS: disk, Dir: "data"}, all, 1).check(); err != nil {
		t.Fatal(err)
	}
	if len(all.Findings) != 1 || !all.Findings[0].Doubtful || filepath.Base(all.Findings[0].File) != "install" {
		t.Fatalf("%+v", all.Findings)
	}
}

// TestNoFolder tells what is no data folder, and what is in use.
func TestNoFolder(t *testing.T) {
	disk := crashfs.New(1)
	if _, err := Check(Options{FS: disk, Dir: "none"}); errs.CodeOf(err) != errs.NotFound {
		t.Fatal(err)
	}
	if err := disk.MkdirAll("data/shards"); err != nil {
		t.Fatal(err)
	}
	lock, err := disk.Lock("data/" + LockFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Check(Options{FS: disk, Dir: "data"}); errs.CodeOf(err) != errs.Unavailable {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := Check(Options{FS: disk, Dir: "data"}); err != nil || r.Sound() {
		t.Fatalf("a folder without a shard: %+v, %v", r, err)
	}
}
