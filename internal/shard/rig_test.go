package shard

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/limits"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", modelChecks) // the command line may say otherwise
	goleak.VerifyTestMain(m)
}

// fataler is what a rig needs of a test, also of a rapid one.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// rig is a shard whose log is on a simulated disk, with segments so small that it rolls and seals all the time. Its index and the
// tables beside the segments are on another one.
type rig struct {
	t      fataler
	disk   *crashfs.FS
	faults *faultfs.FS
	clock  *clock.Manual
	o      Options
	mem    *vfs.MemFS
	s      *Shard
}

var rigStart = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

func smallLimits() limits.Limits {
	l := limits.Default()
	l.SegmentBytes, l.EntryBytes, l.CommitBytes, l.CommitEvents = 8<<10, 1<<10, 1<<10, 16
	l.IDWindowEvents, l.IDWindow = 1000, time.Hour
	l.HeadsCacheBytes, l.BlockCacheBytes = 1<<20, 1<<20
	return l
}

func newRig(t fataler) *rig {
	r := &rig{t: t, disk: crashfs.New(1), clock: clock.NewManual(rigStart), mem: vfs.NewMem()}
	r.o = Options{
		Config: Config{
			Number: 1, Cluster: "test", Replica: 1, Limits: smallLimits(), NewHistory: func() uint64 { return 7 },
			Logger: slog.New(slog.DiscardHandler), Listener: &Listener{},
		},
		Dir: "shard", IndexDir: "index", Voters: []uint64{1}, Clock: r.clock,
		tune: func(o *index.Options) { o.FS = r.mem },
	}
	r.use(r.disk)
	return r
}

// use puts another disk under the rig, for the next open.
func (r *rig) use(d *crashfs.FS) {
	r.disk, r.faults = d, faultfs.New(d)
	r.o.FS = r.faults
}

func (r *rig) open() *rig {
	r.t.Helper()
	if err := r.tryOpen(); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// mustServe waits until the shard has its settings and a leader.
func (r *rig) mustServe() *rig {
	r.t.Helper()
	if err := r.s.Barrier(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	return r
}

func (r *rig) tryOpen() (err error) {
	if err := r.mem.MkdirAll(r.o.Dir, 0o755); err != nil {
		return err
	}
	r.s, err = Open(r.o)
	return err
}

// close closes the shard; what a test has broken on purpose may fail to close.
func (r *rig) close() {
	if r.s != nil {
		_ = r.s.Close()
		r.s = nil
	}
}

func (r *rig) append(c *event.Commit) (event.Outcome, error) {
	ctx, done := context.WithTimeout(context.Background(), time.Minute)
	defer done()
	return r.s.Append(ctx, c)
}

func (r *rig) mustAppend(c *event.Commit) event.Outcome {
	r.t.Helper()
	o, err := r.append(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return o
}

// submit hands in a call and gives the channel on which it comes back. A second answer to it fails the test.
func (r *rig) submit(c *event.Commit, deadline time.Time) <-chan *event.Call {
	got := make(chan *event.Call, 2)
	r.s.Submit([]*event.Call{{Commit: c, Deadline: deadline, Done: func(c *event.Call) { got <- c }}})
	return got
}

// pass waits until the shard's loop has gone round once since the call: what was submitted before is judged, as far as it can be.
func (r *rig) pass() {
	for range 2 { // the first round may have begun before
		was := r.s.status.Load()
		for r.s.status.Load() == was {
			r.s.nudge()
			runtime.Gosched()
		}
	}
}

// read collects a whole read that does not follow.
func (r *rig) read(spec event.ReadSpec) (events [][]byte, err error) {
	ctx, done := context.WithTimeout(context.Background(), time.Minute)
	defer done()
	reader, err := r.s.Read(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	events, _, err = drain(ctx, reader)
	return events, err
}

// ids reads the ids of all events in the shard's order.
func (r *rig) ids() []string {
	r.t.Helper()
	events, err := r.read(event.ReadSpec{Scope: event.ScopeAll})
	if err != nil {
		r.t.Fatal(err)
	}
	return idsOf(r.t, events)
}

func idsOf(t fataler, events [][]byte) (ids []string) {
	t.Helper()
	for _, b := range events {
		var v eventwire.View
		if err := eventwire.ViewRecorded(b, &v); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, string(v.ID))
	}
	return ids
}

func wantCode(t fataler, err error, want errs.Code) {
	t.Helper()
	if errs.CodeOf(err) != want || err == nil {
		t.Fatalf("got %v, want %s", err, want)
	}
}

// fill appends commits of one event until the log has begun that many further segments.
func (r *rig) fill(name string, segments int) (ids []string) {
	r.t.Helper()
	want := r.s.Status().Segments + segments
	for i := 0; r.s.Status().Segments < want; i++ {
		id := fmt.Sprintf("%s-%d", name, i)
		r.mustAppend(one("filler", name, event.Expect{}, id))
		ids = append(ids, id)
	}
	return ids
}

// drain takes everything from a reader that does not follow, and the position it ended at.
func drain(ctx context.Context, r event.Reader) (events [][]byte, at position.Position, err error) {
	for {
		b, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return events, at, nil
		}
		if err != nil {
			return events, at, err
		}
		for _, e := range b.Events {
			events = append(events, bytes.Clone(e))
		}
		at = b.Position
	}
}
