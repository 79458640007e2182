package meta

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/vfs"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(fsys vfs.FS) Options {
	return Options{
		FS: fsys, Dir: "meta", Replica: 1, Voters: []uint64{1}, Topics: 1000, Clock: clock.NewManual(time.Unix(1_700_000_000, 0)),
		Logger: slog.New(slog.DiscardHandler),
	}
}

// small makes the log roll, be snapshotted and trimmed within a few changes.
func small(fsys vfs.FS) Options {
	o := options(fsys)
	o.segment, o.every = 4<<10, 5
	return o
}

func open(t *testing.T, o Options) *Meta {
	t.Helper()
	m, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func wantCode(t *testing.T, err error, want errs.Code) {
	t.Helper()
	if err == nil || errs.CodeOf(err) != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}

// TestTopicsSurvive creates and deletes, and finds the same after a restart and a power cut.
func TestTopicsSurvive(t *testing.T) {
	disk := crashfs.New(1)
	o := options(disk)
	o.Topics = 3
	m := open(t, o)
	for _, name := range []string{"b", "a", "c"} {
		if created, err := m.EnsureTopic(t.Context(), name, Layout{}); err != nil || !created {
			t.Fatalf("%s: %v, %v", name, created, err)
		}
	}
	if created, err := m.EnsureTopic(t.Context(), "a", Layout{}); err != nil || created {
		t.Fatalf("again: %v, %v", created, err)
	}
	_, err := m.EnsureTopic(t.Context(), "d", Layout{})
	wantCode(t, err, errs.TooLarge)
	wantCode(t, m.DeleteTopic(t.Context(), "none"), errs.NotFound)
	if err := m.DeleteTopic(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	want, more := m.Topics("", "", 10)
	if len(want) != 2 || more || want[0].Name != "a" || want[1].Name != "c" {
		t.Fatalf("%v, %v", want, more)
	}
	if page, more := m.Topics("", "a", 0); len(page) != 0 || !more {
		t.Fatalf("%v, %v", page, more)
	}
	crashed := disk.CrashKeepSynced()
	_ = m.Close()
	m = open(t, options(crashed))
	defer m.Close()
	if got, _ := m.Topics("", "", 10); !cmp.Equal(got, want) {
		t.Fatalf("after a power cut: %v, want %v", got, want)
	}
}

// TestChangesAreOrdered lets many make and move at once: each gets its own outcome, and all of it is there.
func TestChangesAreOrdered(t *testing.T) {
	disk := crashfs.New(1)
	m := open(t, small(disk))
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := range 20 {
				if _, err := m.EnsureTopic(t.Context(), fmt.Sprintf("t%d-%d", w, i), Layout{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := m.Count(); n != 80 {
		t.Fatalf("%d topics, want 80", n)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if n, damages, err := Verify(disk, "meta"); err != nil || n != 80 || len(damages) > 0 {
		t.Fatalf("%d topics, %v, %v", n, damages, err)
	}
}

// TestCursorsAreConditional moves cursors with and without a condition.
func TestCursorsAreConditional(t *testing.T) {
	m := open(t, options(crashfs.New(1)))
	defer m.Close()
	set := func(position string, expect *string) error {
		_, err := m.SetCursor(t.Context(), "c", position, expect)
		return err
	}
	empty, p1, p2 := "", "p1", "p2"
	wantCode(t, set("p1", &p2), errs.Conflict)
	if err := errors.Join(set("p1", &empty), set("p2", &p1)); err != nil {
		t.Fatal(err)
	}
	err := set("p3", &p1)
	wantCode(t, err, errs.Conflict)
	if got := errs.As(err).Details["actual_position"]; got != "p2" {
		t.Fatalf("the conflict tells %q", got)
	}
	wantCode(t, m.DeleteCursor(t.Context(), "none"), errs.NotFound)
	if err := m.DeleteCursor(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Cursor("c"); ok {
		t.Fatal("a deleted cursor is there")
	}
}

// tell makes and deletes topics until something fails. sure is what was acknowledged; maybe is the one change that was not.
func tell(o Options) (sure map[string]bool, maybe string, err error) {
	sure = map[string]bool{}
	m, err := Open(o)
	if err != nil {
		return sure, "", err
	}
	defer m.Close()
	for i := range 40 {
		// Long names fill segments.
		name := fmt.Sprintf("topic-%d-%s", i, strings.Repeat("x", 300))
		if _, err := m.EnsureTopic(context.Background(), name, Layout{}); err != nil {
			return sure, name, err
		}
		sure[name] = true
		if i%3 == 2 {
			if err := m.DeleteTopic(context.Background(), name); err != nil {
				return sure, name, err
			}
			delete(sure, name)
		}
	}
	return sure, "", nil
}

// TestStopsAtEveryOperation fails the n-th operation and all that follow, for every n, through snapshots and trims, and loses power:
// what was acknowledged is there, and nothing that was never asked for.
func TestStopsAtEveryOperation(t *testing.T) {
	for n := 1; ; n++ {
		disk := crashfs.New(uint64(n))
		faults := faultfs.New(disk)
		faults.FailNth(n)
		sure, maybe, err := tell(small(faults))
		for i, crashed := range []*crashfs.FS{disk.CrashKeepSynced(), disk.CrashKeepAll(), disk.Crash()} {
			m, openErr := Open(small(crashed))
			if openErr != nil {
				t.Fatalf("operation %d, crash %d: %v", n, i, openErr)
			}
			holds(t, fmt.Sprintf("operation %d, crash %d", n, i), m, sure, maybe)
			if _, err := m.EnsureTopic(t.Context(), "after", Layout{}); err != nil {
				t.Fatalf("operation %d, crash %d: %v", n, i, err)
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			if _, damages, err := Verify(crashed, "meta"); err != nil || len(damages) > 0 {
				t.Fatalf("operation %d, crash %d: %v, %v", n, i, damages, err)
			}
		}
		if err == nil {
			t.Logf("%d operations", n-1)
			return
		}
	}
}

func holds(t *testing.T, name string, m *Meta, sure map[string]bool, maybe string) {
	t.Helper()
	topics, _ := m.Topics("topic-", "", 1000)
	found := map[string]bool{}
	for _, topic := range topics {
		if found[topic.Name] = true; !sure[topic.Name] && topic.Name != maybe {
			t.Fatalf("%s: topic %.12s was deleted, or never made", name, topic.Name)
		}
	}
	for topic := range sure {
		if !found[topic] && topic != maybe {
			t.Fatalf("%s: topic %.12s is lost", name, topic)
		}
	}
}

// TestTrimBehindTheNewestHeader trims everything but a segment whose headers do not say yet that what is gone was committed.
func TestTrimBehindTheNewestHeader(t *testing.T) {
	for every := uint64(1); every < 30; every++ {
		disk := crashfs.New(1)
		o := small(disk)
		o.every = every
		sure, _, err := tell(o)
		if err != nil {
			t.Fatal(err)
		}
		m := open(t, small(disk.CrashKeepSynced()))
		holds(t, fmt.Sprint("every ", every), m, sure, "")
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSnapshotLost removes the snapshot of a log that was trimmed: that is damage, to the check and to the next start.
func TestSnapshotLost(t *testing.T) {
	disk := crashfs.New(1)
	if _, _, err := tell(small(disk)); err != nil {
		t.Fatal(err)
	}
	if err := disk.Remove("meta/snapshot"); err != nil {
		t.Fatal(err)
	}
	_, _, err := Verify(disk, "meta")
	wantCode(t, err, errs.Corrupt)
	_, err = Open(small(disk))
	wantCode(t, err, errs.Corrupt)
}

// TestSnapshotDamage flips every byte of a snapshot, and cuts it at every length: it is damage, and says where.
func TestSnapshotDamage(t *testing.T) {
	disk := crashfs.New(1)
	s := newState()
	s.Index, s.Topics["a"] = 7, Topic{Name: "a", Shard: 1}
	if err := errors.Join(disk.MkdirAll("meta"), saveSnapshot(disk, "meta", s)); err != nil {
		t.Fatal(err)
	}
	whole, err := disk.Bytes("meta/snapshot")
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		b := append([]byte(nil), whole...)
		b[i] ^= 0x20
		if _, err := decodeSnapshot("snapshot", b); errs.CodeOf(err) != errs.Corrupt {
			t.Fatalf("byte %d: %v", i, err)
		}
		if _, err := decodeSnapshot("snapshot", whole[:i]); errs.CodeOf(err) != errs.Corrupt {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if got, err := loadSnapshot(disk, "meta"); err != nil || !cmp.Equal(got, s) {
		t.Fatalf("%+v, %v", got, err)
	}
}

// TestFailedSyncStops fails a sync: the change is unknown, later ones fail at once, and the group says so.
func TestFailedSyncStops(t *testing.T) {
	disk := crashfs.New(1)
	faults := faultfs.New(disk)
	m := open(t, options(faults))
	if _, err := m.EnsureTopic(t.Context(), "a", Layout{}); err != nil {
		t.Fatal(err)
	}
	faults.Fail(faultfs.Rule{Op: faultfs.SyncData})
	_, err := m.EnsureTopic(t.Context(), "b", Layout{})
	wantCode(t, err, errs.UnknownOutcome)
	_, err = m.EnsureTopic(t.Context(), "c", Layout{})
	wantCode(t, err, errs.Unavailable)
	if ready, why := m.Ready(); ready || why == "" {
		t.Fatal("a stopped group says that it is ready")
	}
	_ = m.Close()
	m = open(t, options(disk.Crash()))
	defer m.Close()
	if _, ok := m.Topic("a"); !ok {
		t.Fatal("an acknowledged topic is lost")
	}
}
