package shard

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/vfs/crashfs"
	"github.com/gesta-db/gesta/internal/vfs/faultfs"
)

// install closes a member, installs what it was offered, and opens it again.
func (g *group) install(m *member) bool {
	g.t.Helper()
	offer := *m.offer
	m.offer = nil
	g.stop(m)
	done, err := Install(g.config(m), m.faults, "data", g.voters, offer)
	if err != nil {
		g.t.Fatal(err)
	}
	g.start(m)
	return done
}

func TestCatchUpBySegments(t *testing.T) {
	g := newGroup(t, 3)
	slow := g.lag(20)
	before := slow.s.Status().Last
	if len(slow.offer.Segments) < 20 || slow.offer.Index <= before {
		t.Fatalf("offered %d segments up to %d, it is at %d", len(slow.offer.Segments), slow.offer.Index, before)
	}
	src := &source{m: g.leader()}
	have := 0
	f := g.fetching(slow, src)
	f.Progress = func(n, _ int) { have = n }
	if err := Fetch(t.Context(), f); err != nil || have != len(slow.offer.Segments) {
		t.Fatalf("%d segments, %v", have, err)
	}
	g.append() // it goes on meanwhile
	index := slow.offer.Index
	if !g.install(slow) {
		t.Fatal("nothing was installed")
	}
	if s := slow.s.Status(); s.Last != index || s.Applied != index {
		t.Fatalf("installed up to %d: %+v", index, s)
	}
	g.leader().s.ReportSnapshot(slow.id, true)
	g.mustBeEven()
	asked := src.asked
	slow.offer = &Manifest{}
	if err := Fetch(t.Context(), g.fetching(slow, src)); err != nil || src.asked != asked {
		t.Fatal("a fetch of nothing")
	}
}

// TestCatchUpWithoutAWord loses the first offer, and the word that the second is installed: the leader finds out.
func TestCatchUpWithoutAWord(t *testing.T) {
	g := newGroup(t, 3)
	slow := g.lag(5)
	slow.offer = nil
	g.until("another offer", func() bool { return slow.offer != nil })
	if err := Fetch(t.Context(), g.fetching(slow, &source{m: g.leader()})); err != nil {
		t.Fatal(err)
	}
	g.install(slow)
	g.mustBeEven()
}

// TestVoteWhileFetching loses the leader while a follower is far behind: it votes for the other.
func TestVoteWhileFetching(t *testing.T) {
	g := newGroup(t, 3)
	slow := g.lag(5)
	was := g.leader()
	src := &source{m: was, change: func(int64, []byte) error { return errors.New("the leader is gone") }}
	if Fetch(t.Context(), g.fetching(slow, src)) == nil {
		t.Fatal("it came from nowhere")
	}
	g.stop(was)
	other := g.member(6 - was.id - slow.id)
	g.until("the other leads", func() bool { return other.s.Status().Role == replica.Leader })
	src.m, src.change = other, nil
	if err := Fetch(t.Context(), g.fetching(slow, src)); err != nil {
		t.Fatal(err)
	}
	g.install(slow)
	g.start(was)
	g.mustBeEven()
}

// TestOwnSuffixGoes has a leader that was cut off with entries nobody else got: they are dropped with what is installed.
func TestOwnSuffixGoes(t *testing.T) {
	g := newGroup(t, 3)
	old := g.mustLead()
	g.append()
	g.until("all are even", g.even)
	for i := range 3 {
		call := &event.Call{Commit: one("lost", "", event.Expect{}, string(rune('a'+i))), Done: func(*event.Call) {}}
		if err := old.s.Submit(call); err != nil {
			t.Fatal(err)
		}
	}
	g.step(old)
	g.net, old.deaf = nil, true // nobody hears of them
	g.fill(6)
	old.deaf = false
	g.until("an offer", func() bool { return old.offer != nil })
	if err := Fetch(t.Context(), g.fetching(old, &source{m: g.leader()})); err != nil {
		t.Fatal(err)
	}
	if !g.install(old) {
		t.Fatal("nothing was installed")
	}
	g.mustBeEven()
	if h, err := old.s.Head([]byte("lost"), nil); err != nil || h.Revision != 0 {
		t.Fatalf("%+v, %v", h, err)
	}
}

// TestInstallLeavesALogThatIsNotBehind is late: the log has caught up by entries meanwhile, and has more than the offer.
func TestInstallLeavesALogThatIsNotBehind(t *testing.T) {
	g := newGroup(t, 3)
	slow := g.lag(4)
	if err := Fetch(t.Context(), g.fetching(slow, &source{m: g.leader()})); err != nil {
		t.Fatal(err)
	}
	late := *slow.offer
	g.install(slow)
	g.append()
	g.mustBeEven()
	last := slow.s.Status().Last
	// What was fetched for nothing does not stay.
	for _, name := range []string{late.name(0), late.name(1) + partExt, "00000000000000009999.seg"} {
		f, err := slow.disk.Create(filepath.Join("data", incomingDir, name))
		if err != nil {
			if err := slow.disk.MkdirAll(filepath.Join("data", incomingDir)); err != nil {
				t.Fatal(err)
			}
			f, err = slow.disk.Create(filepath.Join("data", incomingDir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	slow.offer = &late
	if g.install(slow) {
		t.Fatal("it was not behind")
	}
	if s := slow.s.Status(); s.Last != last {
		t.Fatalf("last %d, want %d", s.Last, last)
	}
	if names, err := slow.disk.List(filepath.Join("data", incomingDir)); err != nil || len(names) != 1 {
		t.Fatalf("left: %v, %v", names, err)
	}
	g.mustBeEven()
}

func (m *Manifest) name(i int) string { return seglog.Name(m.Segments[i].First) }

// TestNewReplica joins with an empty folder, though it is not in the group's first configuration: it campaigns for nothing, takes what
// is offered, and becomes a voter.
func TestNewReplica(t *testing.T) {
	g := newGroup(t, 3)
	g.fill(5)
	m := g.add(4)
	g.start(m)
	for range 200 {
		g.round(true)
	}
	if s := m.s.Status(); s.Term != 0 || s.Role != replica.Follower {
		t.Fatalf("it stood for election: %+v", s)
	}
	change := func(c replica.Change) {
		t.Helper()
		g.until("a change", func() bool {
			return g.mustLead().s.core.rep.ChangeConf(replica.ConfChange{Change: c, ID: 4}) == nil
		})
	}
	change(replica.AddLearner)
	g.until("an offer", func() bool { return m.offer != nil })
	if err := Fetch(t.Context(), g.fetching(m, &source{m: g.leader()})); err != nil {
		t.Fatal(err)
	}
	if len(m.offer.Conf.Voters) != 3 || m.offer.ConfIndex != 0 {
		t.Fatalf("the configuration of entry %d: %+v of %d", m.offer.Index, m.offer.Conf, m.offer.ConfIndex)
	}
	g.install(m)
	g.mustBeEven()
	change(replica.AddVoter)
	g.mustBeEven()
	g.fill(3)
	g.mustBeEven()
	for _, m := range g.members {
		if c := m.s.core.rep.Conf(); len(c.Voters) != 4 {
			t.Fatalf("member %d: %+v", m.id, c)
		}
	}
}

// TestFetchResumes breaks a transfer off again and again: what has arrived whole does not come twice.
func TestFetchResumes(t *testing.T) {
	g := newGroup(t, 3)
	slow := g.lag(4)
	bytes, budget, total := 0, 0, int64(0)
	for _, p := range slow.offer.Segments {
		total += p.Bytes - seglog.HeaderBytes
	}
	src := &source{m: g.leader(), change: func(at int64, b []byte) error {
		if at >= seglog.HeaderBytes {
			bytes += len(b)
		}
		if budget -= len(b); budget < 0 && at > seglog.HeaderBytes {
			return errors.New("the connection is lost")
		}
		return nil
	}}
	tries := 0
	for ; ; tries++ {
		budget = 6000
		if Fetch(t.Context(), g.fetching(slow, src)) == nil {
			break
		}
		if tries%2 == 0 {
			slow.disk = slow.disk.CrashKeepSynced() // and at times it crashes over it
			g.stop(slow)
			g.start(slow)
		}
		if tries > 100 {
			t.Fatal("it never ends")
		}
	}
	if tries < 3 || int64(bytes) > 2*total {
		t.Fatalf("%d bytes came in %d tries for %d", bytes, tries, total)
	}
	if slow.offer == nil {
		t.Fatal("the offer is gone")
	}
	g.install(slow)
	g.mustBeEven()
}

// TestFetchMeetsDamage has pieces that arrive damaged, a source that is damaged for good, and one that lies about its length.
func TestFetchMeetsDamage(t *testing.T) {
	g := newGroup(t, 3)
	slow := g.lag(4)
	flips := 0
	once := &source{m: g.leader(), change: func(at int64, b []byte) error {
		if at > 5000 && flips < 2 {
			flips++
			b[len(b)/2] ^= 4
		}
		return nil
	}}
	f := g.fetching(slow, once)
	f.Manifest.Segments = f.Manifest.Segments[:2]
	if err := Fetch(t.Context(), f); err != nil || flips != 2 {
		t.Fatalf("%d flips, %v", flips, err)
	}
	always := &source{m: g.leader(), change: func(at int64, b []byte) error {
		b[len(b)/2] ^= 4
		return nil
	}}
	wantCode(t, Fetch(t.Context(), g.fetching(slow, always)), errs.Corrupt)
	long := &source{m: g.leader()}
	if err := Fetch(t.Context(), g.fetching(slow, always, endless{long})); errs.CodeOf(err) != errs.Corrupt {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Fetch(ctx, g.fetching(slow, long)); err == nil {
		t.Fatal("a fetch goes on after its end")
	}
	if err := Fetch(t.Context(), g.fetching(slow, always, long)); err != nil {
		t.Fatal(err)
	}
	g.install(slow)
	g.mustBeEven()
}

// endless is a source whose files go on and on.
type endless struct{ *source }

func (e endless) Fetch(ctx context.Context, name string, from int64, take func([]byte) error) error {
	if err := e.source.Fetch(ctx, name, from, take); err != nil {
		return err
	}
	return take(make([]byte, 100))
}

// TestFetchOntoAFullDisk says so, and goes on when there is space.
func TestFetchOntoAFullDisk(t *testing.T) {
	g := newGroup(t, 3)
	slow := g.lag(4)
	free, err := slow.disk.Free(".")
	if err != nil {
		t.Fatal(err)
	}
	slow.disk.SetCapacity(crashfs.DefaultCapacity - free + 9000)
	wantCode(t, Fetch(t.Context(), g.fetching(slow, &source{m: g.leader()})), errs.NoSpace)
	slow.disk.SetCapacity(crashfs.DefaultCapacity)
	if err := Fetch(t.Context(), g.fetching(slow, &source{m: g.leader()})); err != nil {
		t.Fatal(err)
	}
	g.install(slow)
	g.mustBeEven()
}

// TestInstallThroughEveryCrash cuts the power at every operation of fetching and installing: the folder opens, as it was or with all of
// the offer, and with all of it once Install has said so.
func TestInstallThroughEveryCrash(t *testing.T) {
	g := newGroup(t, 3)
	slow := g.lag(3)
	before := slow.s.Status()
	offer := *slow.offer
	fetched := slow.disk.Clone()
	if err := Fetch(t.Context(), Fetching{FS: fetched, Dir: "data", Manifest: offer, Sources: []Source{&source{m: g.leader()}}}); err != nil {
		t.Fatal(err)
	}
	g.stop(slow)
	for n := 1; ; n++ {
		disk := fetched.Clone()
		faults := faultfs.New(disk)
		faults.FailNth(n)
		done, failed := Install(g.config(slow), faults, "data", g.voters, offer)
		if failed == nil && !done {
			t.Fatal("nothing was installed")
		}
		for _, crashed := range []*crashfs.FS{disk.CrashKeepSynced(), disk.CrashKeepAll(), disk.Crash()} {
			if n%3 == 0 { // and once more while it ends what was begun
				again := faultfs.New(crashed)
				again.FailNth(1 + n/3)
				_ = finishInstall(g.config(slow), again, "data")
				crashed = crashed.Crash()
			}
			if !opensWith(t, g, slow, crashed, before.Last, offer) && failed == nil {
				t.Fatalf("operation %d: it was installed, and is gone", n)
			}
		}
		if failed == nil {
			break
		}
	}
	slow.disk = fetched
	g.start(slow)
	g.install(slow)
	g.mustBeEven()
}

// opensWith opens a folder and tells whether it has the offer; it must have that, or what it had before.
func opensWith(t *testing.T, g *group, m *member, disk *crashfs.FS, before uint64, offer Manifest) bool {
	t.Helper()
	at := &member{id: m.id, disk: disk, mem: newMem()}
	if err := g.tryStart(at); err != nil {
		t.Fatal(err)
	}
	defer g.stop(at)
	s := at.s.Status()
	if s.Last != before && s.Last != offer.Index {
		t.Fatalf("the log ends at %d, want %d or %d", s.Last, before, offer.Index)
	}
	if s.Last != offer.Index {
		return false
	}
	st := at.s.disk.State.Load()
	if st.ConfIndex != offer.ConfIndex || len(st.Conf.Voters) != len(offer.Conf.Voters) || st.Term < offer.Term {
		t.Fatalf("%+v", st)
	}
	if h, err := at.s.Head([]byte("filler"), []byte("1")); err != nil || h.Revision == 0 {
		t.Fatalf("the index is not brought up to it: %+v, %v", h, err)
	}
	names, err := disk.List("data")
	if err != nil {
		t.Fatal(err)
	}
	segments := 0
	for _, name := range names {
		switch {
		case name == noteName:
			t.Fatal("the note is left")
		case filepath.Ext(name) == ".seg":
			segments++
		}
	}
	if segments != len(offer.Segments)+1 {
		t.Fatalf("%d segments for %d", segments, len(offer.Segments))
	}
	return true
}

func TestManifestRoundTrip(t *testing.T) {
	m := Manifest{
		Cluster: "c", Shard: 3, History: 4, Sender: 5, Index: 9, Term: 7, Conf: replica.Conf{Voters: []uint64{1, 2}, Learners: []uint64{3}}, ConfIndex: 6,
		Segments: []Piece{{First: 1, Last: 4, Bytes: 100, Digest: [32]byte{1}}, {First: 5, Last: 9, Bytes: 200, Generation: 1}},
	}
	b := m.Encode()
	got, err := DecodeManifest(b)
	if err != nil || string(got.Encode()) != string(b) || got.Conf.Learners[0] != 3 || got.Segments[1].Generation != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range b {
		c := append([]byte(nil), b...)
		c[i] ^= 1
		if _, err := DecodeManifest(c); err == nil {
			t.Fatalf("byte %d is not covered", i)
		}
		if _, err := DecodeManifest(b[:i]); err == nil {
			t.Fatalf("%d of %d bytes pass", i, len(b))
		}
	}
	m.Segments[1].First = 6
	if _, err := DecodeManifest(m.Encode()); errs.CodeOf(err) != errs.Corrupt {
		t.Fatalf("a gap: %v", err)
	}
}
