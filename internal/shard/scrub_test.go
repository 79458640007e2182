package shard

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
)

// Digests and Source let a group's members be each other's peers.
type groupPeers struct {
	g    *group
	self *member
}

func (p groupPeers) Digests(context.Context, uint32) (map[uint64][]Piece, error) {
	all := map[uint64][]Piece{}
	for _, m := range p.g.members {
		if m == p.self || m.s == nil {
			continue
		}
		for _, s := range m.s.Segments() {
			if s.Sealed {
				all[m.id] = append(all[m.id], pieceOf(s))
			}
		}
	}
	return all, nil
}

func (p groupPeers) Source(_ uint32, id uint64) Source { return &source{m: p.g.member(id)} }

// scrub is what a member's scrubber works with, and what it tells.
type scrub struct {
	Scrubbing
	repaired []uint64
	damages  []error
}

func (g *group) scrub(m *member) *scrub {
	s := &scrub{}
	s.Scrubbing = Scrubbing{
		FS: m.faults, Dir: "data", Number: 1, Peers: groupPeers{g, m}, Logger: slog.New(slog.DiscardHandler),
		Repaired: func(first uint64) { s.repaired = append(s.repaired, first) },
		Damaged:  func(err error) { s.damages = append(s.damages, err) },
	}
	return s
}

// flip damages a sealed segment of a member, somewhere.
func (g *group) flip(m *member, segment int, at func(seglog.Segment) int64) seglog.Segment {
	g.t.Helper()
	s := m.s.Segments()[segment]
	if !s.Sealed {
		g.t.Fatalf("%s is not sealed", s.Name)
	}
	if err := m.disk.Flip(filepath.Join("data", s.Name), at(s)); err != nil {
		g.t.Fatal(err)
	}
	return s
}

// TestScrubRepairs damages segments in the middle, in the footer and in the header: one round replaces them by a peer's.
func TestScrubRepairs(t *testing.T) {
	g := newGroup(t, 3)
	g.fill(6)
	g.mustBeEven()
	m := g.members[1]
	g.flip(m, 0, func(s seglog.Segment) int64 { return s.Bytes / 2 })
	g.flip(m, 2, func(s seglog.Segment) int64 { return s.Bytes + 5 })
	g.flip(m, 4, func(seglog.Segment) int64 { return 40 })
	s := g.scrub(m)
	NewScrubber(s.Scrubbing, m.s).Round(t.Context())
	if len(s.repaired) != 3 || len(s.damages) != 0 {
		t.Fatalf("repaired %v, damages %v", s.repaired, s.damages)
	}
	g.mustBeEven()
	NewScrubber(s.Scrubbing, m.s).Round(t.Context())
	if len(s.repaired) != 3 {
		t.Fatal("what was repaired is damaged again")
	}
	g.stop(m)
	g.start(m)
	g.append()
	g.mustBeEven()
}

// TestScrubWithoutAWholeCopy damages the same segment everywhere: the report names file and offset.
func TestScrubWithoutAWholeCopy(t *testing.T) {
	g := newGroup(t, 3)
	g.fill(3)
	g.mustBeEven()
	for _, m := range g.members {
		g.flip(m, 1, func(s seglog.Segment) int64 { return s.Bytes - 20 })
	}
	m := g.members[0]
	s := g.scrub(m)
	NewScrubber(s.Scrubbing, m.s).Round(t.Context())
	if len(s.damages) != 1 || len(s.repaired) != 0 {
		t.Fatalf("repaired %v, damages %v", s.repaired, s.damages)
	}
	e := errs.As(s.damages[0])
	if e.Code != errs.Corrupt || filepath.Base(e.Details["file"]) != m.s.Segments()[1].Name || e.Details["offset"] == "" {
		t.Fatalf("%+v", e)
	}
	s.Peers = nil
	NewScrubber(s.Scrubbing, m.s).Round(t.Context())
	if len(s.damages) != 2 {
		t.Fatal("without peers nothing is reported")
	}
}

// TestScrubCompares meets a replica whose segment is whole and has other entries.
func TestScrubCompares(t *testing.T) {
	g := newGroup(t, 3)
	g.fill(3)
	g.mustBeEven()
	m := g.members[0]
	s := g.scrub(m)
	theirs, err := s.Peers.Digests(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	b := NewScrubber(s.Scrubbing, m.s)
	if b.compare(theirs); len(s.damages) != 0 {
		t.Fatal(s.damages)
	}
	theirs[3][1].Digest[7] ^= 1
	if b.compare(theirs); len(s.damages) != 1 || errs.CodeOf(s.damages[0]) != errs.Corrupt {
		t.Fatal(s.damages)
	}
}

// TestDamageMetForAPeer lets a leader meet damage while it reads entries for a follower: the follower is offered segments instead, and
// gets them from who has them whole.
func TestDamageMetForAPeer(t *testing.T) {
	g := newGroup(t, 3)
	g.mustLead()
	g.append()
	g.until("all are even", g.even)
	slow := g.members[0]
	if g.leader() == slow {
		slow = g.members[1]
	}
	slow.deaf = true
	g.fill(2) // not far enough behind for an offer
	leader := g.leader()
	other := g.member(6 - slow.id - leader.id)
	at := slow.s.Status().Last + 2
	g.stop(leader) // what it has in memory is of no use then
	g.mustStart(leader, func() {
		for i, s := range leader.s.Segments() {
			if s.Sealed && s.Last >= at {
				g.flip(leader, i, func(s seglog.Segment) int64 { return s.Bytes - 30 })
				return
			}
		}
		t.Fatal("nothing is sealed there")
	})
	g.lead(leader)
	slow.deaf = false
	g.until("an offer", func() bool { return slow.offer != nil })
	if slow.offer.Sender != leader.id {
		t.Fatalf("%d offers", slow.offer.Sender)
	}
	wantCode(t, Fetch(t.Context(), g.fetching(slow, &source{m: leader})), errs.Corrupt)
	if err := Fetch(t.Context(), g.fetching(slow, &source{m: leader}, &source{m: other})); err != nil {
		t.Fatal(err)
	}
	g.install(slow)
	s := g.scrub(leader)
	NewScrubber(s.Scrubbing, leader.s).Round(t.Context())
	g.mustBeEven()
}

func (g *group) mustStart(m *member, then func()) {
	g.t.Helper()
	g.start(m)
	then()
}

// lead makes a member the leader.
func (g *group) lead(m *member) {
	g.t.Helper()
	g.until("it leads", func() bool {
		l := g.leader()
		if l != nil && l != m {
			l.s.core.rep.Transfer(m.id)
		}
		return l == m
	})
}

// TestMend lets a folder open again whose segments are damaged where an open looks, or gone.
func TestMend(t *testing.T) {
	g := newGroup(t, 3)
	g.fill(5)
	g.mustBeEven()
	m := g.members[2]
	g.flip(m, 1, func(seglog.Segment) int64 { return 30 })
	g.flip(m, 2, func(seglog.Segment) int64 { return 520 })
	gone := m.s.Segments()[3]
	g.stop(m)
	if err := m.disk.Remove(filepath.Join("data", gone.Name)); err != nil {
		t.Fatal(err)
	}
	cause := g.tryStart(m)
	wantCode(t, cause, errs.Corrupt)
	s := g.scrub(m)
	if n, err := Mend(t.Context(), g.config(m), s.Scrubbing, cause); err != nil || n != 3 {
		t.Fatalf("%d, %v", n, err)
	}
	g.start(m)
	g.append()
	g.mustBeEven()
	if n, err := Mend(t.Context(), g.config(m), s.Scrubbing, cause); err != nil || n != 0 {
		t.Fatalf("%d, %v", n, err)
	}
	// Damage in the middle of a segment is met when the index is built anew.
	g.flip(m, 2, func(s seglog.Segment) int64 { return s.Bytes - 30 })
	g.stop(m)
	m.mem = newMem()
	cause = g.tryStart(m)
	wantCode(t, cause, errs.Corrupt)
	if n, err := Mend(t.Context(), g.config(m), s.Scrubbing, cause); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	g.start(m)
	// What only this replica may have acknowledged is nobody else's to give back.
	segs := m.s.Segments()
	g.stop(m)
	if err := m.disk.Flip(filepath.Join("data", segs[len(segs)-1].Name), 20); err != nil {
		t.Fatal(err)
	}
	cause = g.tryStart(m)
	wantCode(t, cause, errs.Corrupt)
	if n, err := Mend(t.Context(), g.config(m), s.Scrubbing, cause); err != nil || n != 0 {
		t.Fatalf("%d, %v", n, err)
	}
}

// TestSuspect has a read of a running shard meet damage: it fails, the segment is replaced at once, and the next read is whole.
func TestSuspect(t *testing.T) {
	r := newRig(t).open()
	ids := append(r.fill("a", 4), r.fill("b", 1)...)
	r.s.keep.seal()
	copied := r.disk.Clone()
	first := r.s.Segments()[1]
	if !first.Sealed {
		t.Fatal("not sealed")
	}
	r.close()
	if err := r.disk.Flip(filepath.Join(r.o.Dir, first.Name), first.Bytes-30); err != nil {
		t.Fatal(err)
	}
	var b *Scrubber
	r.o.Listener.Damaged = func(err error) { b.Suspect(err) }
	r.open()
	defer r.close()
	repaired := make(chan uint64, 1)
	b = NewScrubber(Scrubbing{
		FS: r.o.FS, Dir: r.o.Dir, Number: 1, Every: time.Hour, Logger: slog.New(slog.DiscardHandler), Pace: Budget(1 << 40),
		Peers: copyPeers{r, copied}, Repaired: func(first uint64) { repaired <- first },
	}, r.s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.watch(ctx) }()
	if _, err := r.read(event.ReadSpec{Scope: event.ScopeAll}); errs.CodeOf(err) != errs.Corrupt {
		t.Fatalf("%v", err)
	}
	if got := <-repaired; got != first.First {
		t.Fatalf("segment %d was replaced", got)
	}
	if got := r.ids(); len(got) != len(ids) {
		t.Fatalf("%d events, want %d", len(got), len(ids))
	}
	cancel()
	<-done
	b.Suspect(errors.New("nothing of the kind"))
	ended, end := context.WithCancel(t.Context())
	end()
	b.Run(ended)
}

// copyPeers is one replica: a copy of the folder.
type copyPeers struct {
	r    *rig
	disk *crashfs.FS
}

func (p copyPeers) Digests(context.Context, uint32) (map[uint64][]Piece, error) {
	return map[uint64][]Piece{9: p.r.s.Pieces()}, nil
}

func (p copyPeers) Source(uint32, uint64) Source {
	return copySource{&source{m: &member{disk: p.disk}}, p.r.o.Dir}
}

type copySource struct {
	*source
	dir string
}

func (s copySource) Fetch(ctx context.Context, name string, from int64, take func([]byte) error) error {
	f, err := OpenSegment(s.m.disk, s.dir, 1, name)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	b := make([]byte, size-from)
	if _, err := f.ReadAt(b, from); err != nil {
		return err
	}
	return take(b)
}

// TestBudget holds that a pace adds up, and that nobody waits beyond the end.
func TestBudget(t *testing.T) {
	if Budget(0) != nil {
		t.Fatal("no budget is no pace")
	}
	p := Budget(100 << 20)
	began := time.Now()
	for range 60 {
		if err := p(t.Context(), 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Fatalf("60 MiB at 100 MiB/s took %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Budget(1)(ctx, 1<<20); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
