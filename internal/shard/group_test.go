package shard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

// group is a few stepped replicas of one shard, on disks and a network that obey the test.
type group struct {
	t       *testing.T
	members []*member
	voters  []uint64
	net     []*pb.Message
	now     time.Time
	sent    int
}

// member is one replica; its disk outlives it.
type member struct {
	id      uint64
	disk    *crashfs.FS
	faults  *faultfs.FS
	mem     *vfs.MemFS // the index, and the tables beside the segments
	ix      *index.Index
	s       *Stepped // nil while it is down
	pending []*replica.Write
	offer   *Manifest
	deaf    bool // it gets no messages
}

func newGroup(t *testing.T, n int) *group {
	g := &group{t: t, now: rigStart}
	for i := range n {
		g.voters = append(g.voters, uint64(i+1))
	}
	for _, id := range g.voters {
		g.start(g.add(id))
	}
	t.Cleanup(func() {
		for _, m := range g.members {
			g.stop(m)
		}
	})
	return g
}

func (g *group) add(id uint64) *member {
	m := &member{id: id, disk: crashfs.New(id), mem: newMem()}
	m.faults = faultfs.New(m.disk)
	g.members = append(g.members, m)
	return m
}

func newMem() *vfs.MemFS { return vfs.NewMem() }

func (g *group) config(m *member) Config {
	l := smallLimits()
	l.SegmentBytes, l.EntryBytes = 4<<10, 1<<10
	return Config{
		Number: 1, Cluster: "test", Replica: m.id, Limits: l, NewHistory: func() uint64 { return 7 }, Behind: 2,
		Logger: slog.New(slog.DiscardHandler),
	}
}

func (g *group) start(m *member) {
	g.t.Helper()
	if err := g.tryStart(m); err != nil {
		g.t.Fatal(err)
	}
}

func (g *group) tryStart(m *member) error {
	if err := m.mem.MkdirAll("data", 0o755); err != nil {
		return err
	}
	var err error
	if m.ix, err = index.Open(index.Options{Dir: "index", FS: m.mem, BlockCacheBytes: 1 << 20, HeadsCacheBytes: 1 << 16}); err != nil {
		return err
	}
	m.faults = faultfs.New(m.disk)
	if m.s, err = OpenStepped(g.config(m), m.faults, "data", g.voters, m.ix); err != nil {
		_ = m.ix.Close()
		m.ix = nil
	}
	return err
}

// stop closes a member as a clean end of its process would.
func (g *group) stop(m *member) {
	if m.s != nil {
		_ = m.s.Close()
		m.s, m.pending = nil, nil
	}
	if m.ix != nil {
		_ = m.ix.Close()
		m.ix = nil
	}
}

// round gives every member a little time.
func (g *group) round(tick bool) {
	g.t.Helper()
	g.now = g.now.Add(10 * time.Millisecond)
	for _, m := range g.members {
		if m.s == nil {
			continue
		}
		if tick {
			m.s.Tick()
		}
		g.step(m)
		g.step(m)
		if err := errors.Join(m.s.Prepare(), m.s.Seal()); err != nil {
			g.t.Fatal(err)
		}
	}
	ms := g.net
	g.net = nil
	for _, msg := range ms {
		if to := g.member(msg.GetTo()); to != nil && to.s != nil && !to.deaf {
			to.s.Receive(msg)
			g.step(to)
		}
	}
}

func (g *group) member(id uint64) *member {
	for _, m := range g.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

func (g *group) step(m *member) {
	g.t.Helper()
	writes, messages, err := m.s.Advance(g.now)
	if err != nil {
		g.t.Fatalf("member %d stopped: %v", m.id, err)
	}
	g.net = append(g.net, messages...)
	if o := m.s.Offer(); o != nil {
		m.offer = o
	}
	if err := m.s.Store(writes); err != nil {
		g.t.Fatal(err)
	}
	m.s.Wrote(writes)
}

// until lets time pass until something holds.
func (g *group) until(what string, holds func() bool) {
	g.t.Helper()
	for i := range 4000 {
		if holds() {
			return
		}
		g.round(i%3 == 0)
	}
	for _, m := range g.members {
		if m.s != nil {
			g.t.Logf("member %d: %+v", m.id, m.s.Status().Status)
		}
	}
	g.t.Fatalf("it never came about: %s", what)
}

func (g *group) leader() *member {
	for _, m := range g.members {
		if m.s != nil && !m.deaf && m.s.Status().Serving {
			return m
		}
	}
	return nil
}

func (g *group) mustLead() *member {
	g.t.Helper()
	g.until("a leader", func() bool { return g.leader() != nil })
	return g.leader()
}

// fill appends until the leader has sealed that many more segments.
func (g *group) fill(segments int) {
	g.t.Helper()
	sealed := func() (n int) {
		for _, s := range g.mustLead().s.Segments() {
			if s.Sealed {
				n++
			}
		}
		return n
	}
	for want := sealed() + segments; sealed() < want; {
		g.append()
	}
}

func (g *group) append() {
	g.t.Helper()
	g.sent++
	var got *event.Call
	call := &event.Call{Commit: one("filler", fmt.Sprint(g.sent%7), event.Expect{}, fmt.Sprintf("id-%d", g.sent)), Done: func(c *event.Call) { got = c }}
	if err := g.mustLead().s.Submit(call); err != nil {
		g.t.Fatal(err)
	}
	g.until("an answer", func() bool { return got != nil })
	if got.Err != nil {
		g.t.Fatal(got.Err)
	}
}

// even tells that all open members have applied the same.
func (g *group) even() bool {
	var want uint64
	for _, m := range g.members {
		if m.s == nil || m.deaf {
			continue
		}
		s := m.s.Status()
		if want == 0 {
			want = s.Applied
		}
		if s.Applied != want || s.Applied != s.Last {
			return false
		}
	}
	return true
}

// mustBeEven compares logs, segments and indexes.
func (g *group) mustBeEven() {
	g.t.Helper()
	g.until("all are even", g.even)
	first := g.members[0].s
	want, err := first.Entries(1, first.Status().Last+1)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, m := range g.members[1:] {
		got, err := m.s.Entries(1, m.s.Status().Last+1)
		if err != nil || len(got) != len(want) {
			g.t.Fatalf("member %d: %d entries, want %d, %v", m.id, len(got), len(want), err)
		}
		for i := range got {
			if got[i].Term != want[i].Term || string(got[i].Data) != string(want[i].Data) {
				g.t.Fatalf("member %d: entry %d differs", m.id, i+1)
			}
		}
		for key := range 7 {
			a, err1 := first.Head([]byte("filler"), []byte(fmt.Sprint(key)))
			b, err2 := m.s.Head([]byte("filler"), []byte(fmt.Sprint(key)))
			if a != b || err1 != nil || err2 != nil {
				g.t.Fatalf("member %d: head of %d is %+v, want %+v (%v, %v)", m.id, key, b, a, err1, err2)
			}
		}
	}
}

// source gives a member's files in small pieces; change may damage one, or break the transfer off.
type source struct {
	m      *member
	change func(at int64, piece []byte) error
	asked  int
}

func (s *source) Fetch(_ context.Context, name string, from int64, take func([]byte) error) error {
	s.asked++
	f, err := OpenSegment(s.m.disk, "data", 1, name)
	if err != nil {
		return err
	}
	defer f.Close()
	for at := from; ; {
		b := make([]byte, 700)
		n, err := f.ReadAt(b, at)
		if n > 0 {
			if s.change != nil {
				if err := s.change(at, b[:n]); err != nil {
					return err
				}
			}
			if err := take(b[:n]); err != nil {
				return err
			}
		}
		if at += int64(n); errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (g *group) fetching(m *member, from ...Source) Fetching {
	return Fetching{FS: m.faults, Dir: "data", Manifest: *m.offer, Sources: from}
}

// lag leaves the last member behind by that many segments, with a suffix of its own, and lets it have its offer.
func (g *group) lag(segments int) *member {
	g.t.Helper()
	g.mustLead()
	for range 5 {
		g.append()
	}
	g.until("all are even", g.even)
	slow := g.members[len(g.members)-1]
	if g.leader() == slow {
		slow = g.members[0]
	}
	slow.deaf = true
	g.fill(segments)
	slow.deaf = false
	g.until("an offer", func() bool { return slow.offer != nil })
	return slow
}
