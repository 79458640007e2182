package meta

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

// trio is three members that send to each other, but for one that may be deaf.
type trio struct {
	mu    sync.Mutex
	metas map[uint64]*Meta
	deaf  atomic.Uint64
}

func (g *trio) send(ms []*pb.Message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range ms {
		if to := g.metas[m.GetTo()]; to != nil && m.GetTo() != g.deaf.Load() && m.GetFrom() != g.deaf.Load() {
			to.Deliver([]*pb.Message{m})
		}
	}
}

func (g *trio) start(t *testing.T, id uint64, disk *crashfs.FS, changed func()) *Meta {
	o := small(disk)
	o.Replica, o.Voters, o.Send, o.Changed = id, []uint64{1, 2, 3}, g.send, changed
	m := open(t, o)
	g.mu.Lock()
	g.metas[id] = m
	g.mu.Unlock()
	return m
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	end, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-end:
			t.Fatalf("it never came about: %s", what)
		case <-tick.C:
		}
	}
}

func (g *trio) leader() *Meta {
	for id, m := range g.metas {
		if s := m.Status(); s.Role == replica.Leader && id != g.deaf.Load() {
			return m
		}
	}
	return nil
}

// TestFarBehind leaves a member behind until its leader's log begins after what it has: it takes the leader's state, and follows again,
// also after a restart.
func TestFarBehind(t *testing.T) {
	g := &trio{metas: map[uint64]*Meta{}}
	disks := map[uint64]*crashfs.FS{}
	var told atomic.Bool
	for id := uint64(1); id <= 3; id++ {
		disks[id] = crashfs.New(id)
		g.start(t, id, disks[id], func() { told.Store(true) })
	}
	defer func() {
		for _, m := range g.metas {
			_ = m.Close()
		}
	}()
	eventually(t, "a leader", func() bool { return g.leader() != nil })
	slow := uint64(1)
	if g.leader().o.Replica == slow {
		slow = 2
	}
	g.deaf.Store(slow)
	n := 0
	add := func() {
		t.Helper()
		n++
		name := fmt.Sprintf("topic-%d", n)
		eventually(t, name, func() bool {
			l := g.leader()
			if l == nil {
				return false
			}
			_, err := l.EnsureTopic(t.Context(), name, Layout{})
			return err == nil
		})
	}
	m := g.metas[slow]
	for g.leader().disk.Log.First() < 20 {
		add()
	}
	told.Store(false)
	g.deaf.Store(0)
	eventually(t, "it caught up", func() bool { return m.Count() == n })
	if !told.Load() {
		t.Fatal("nobody was told of the change")
	}
	add()
	eventually(t, "it follows", func() bool { return m.Count() == n })
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if first := m.disk.Log.First(); first < 10 {
		t.Fatalf("its log begins with %d: it caught up by entries, and this tests nothing", first)
	}
	add()
	m = g.start(t, slow, disks[slow], nil)
	eventually(t, "it caught up after a restart", func() bool { return m.Count() == n })
}

// TestInstallThroughEveryCrash cuts the power at every operation: the folder opens as it was, or with the new state.
func TestInstallThroughEveryCrash(t *testing.T) {
	made := crashfs.New(1)
	m := open(t, small(made))
	for i := range 12 {
		if _, err := m.EnsureTopic(t.Context(), fmt.Sprint("old-", i), Layout{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	s := newState()
	s.Index, s.Topics["new"] = 500, Topic{Name: "new"}
	in := &installation{State: s, Term: 9, Conf: replica.Conf{Voters: []uint64{1}}, ConfIndex: 400}
	for n := 1; ; n++ {
		disk := made.Clone()
		faults := faultfs.New(disk)
		faults.FailNth(n)
		log := seglog.Options{FS: faults, Dir: "meta", Shard: group, SegmentBytes: 4 << 10}
		failed := writeNote(faults, "meta", in)
		if failed == nil {
			failed = finishInstall(log)
		}
		for _, crashed := range []*crashfs.FS{disk.CrashKeepSynced(), disk.CrashKeepAll(), disk.Crash()} {
			m := open(t, small(crashed))
			_, installed := m.Topic("new")
			if _, old := m.Topic("old-11"); old == installed || failed == nil && !installed {
				t.Fatalf("operation %d: new state %v, old state %v", n, installed, old)
			}
			if st := m.disk.State.Load(); installed && (st.ConfIndex != 400 || st.Term < 9 || m.disk.Log.First() != 501) {
				t.Fatalf("operation %d: %+v, first %d", n, st, m.disk.Log.First())
			}
			if _, err := m.EnsureTopic(t.Context(), "more", Layout{}); err != nil {
				t.Fatal(err)
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if failed == nil {
			return
		}
	}
}

func TestInstallationDamage(t *testing.T) {
	s := newState()
	s.Index = 3
	disk := crashfs.New(1)
	if err := disk.MkdirAll("meta"); err != nil {
		t.Fatal(err)
	}
	if err := writeNote(disk, "meta", &installation{State: s, Term: 1}); err != nil {
		t.Fatal(err)
	}
	b, err := disk.Bytes("meta/" + noteName)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		c := append([]byte(nil), b...)
		c[i] ^= 1
		if _, err := decodeInstallation("note", c); err == nil {
			t.Fatalf("byte %d is not covered", i)
		}
	}
	s.Index = 0
	if err := writeNote(disk, "meta", &installation{State: s}); err != nil {
		t.Fatal(err)
	}
	_, err = Open(small(disk))
	wantCode(t, err, errs.Corrupt)
}
