package peer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/errs"
)

// inOrder fails unless the numbers of a class ascend.
func inOrder(t *testing.T, ms []*raftpb.Message, class Class, number func(*raftpb.Message) uint64) (n int) {
	t.Helper()
	last := uint64(0)
	for _, m := range ms {
		if classOf(m) != class {
			continue
		}
		if number(m) <= last {
			t.Fatalf("message %d of class %v after %d", number(m), class, last)
		}
		last = number(m)
		n++
	}
	return n
}

func TestMessagesArriveInOrder(t *testing.T) {
	t.Parallel()
	known := newBook()
	nodes := []*node{start(t, known, 1, ""), start(t, known, 2, ""), start(t, known, 3, "")}
	nodes[0].connectTo(t, 2, 3)
	const each, groups = 300, 5
	for i := uint64(1); i <= each; i++ {
		for g := uint32(0); g < groups; g++ {
			second, third := app(1, 2, i, int(i)), app(1, 3, i, 0)
			third.Entries = second.Entries // as Raft does
			nodes[0].Send(g, []*raftpb.Message{second, beat(1, 2, i), third, beat(1, 3, i)})
		}
	}
	for _, n := range nodes[1:] {
		for g := uint32(0); g < groups; g++ {
			eventually(t, "all messages", func() bool { return n.count(g) == 2*each })
			n.h.mu.Lock()
			apps := inOrder(t, n.h.got[g], Log, (*raftpb.Message).GetIndex)
			beats := inOrder(t, n.h.got[g], Control, (*raftpb.Message).GetCommit)
			size := len(n.h.got[g][slices.IndexFunc(n.h.got[g], func(m *raftpb.Message) bool { return m.GetIndex() == 7 })].GetEntries()[0].GetData())
			n.h.mu.Unlock()
			if apps != each || beats != each || size != 7 {
				t.Fatalf("%d entries and %d heartbeats, want %d each; entry 7 has %d bytes", apps, beats, each, size)
			}
		}
	}
	if n := nodes[0].told(0, 2, false); n != 0 {
		t.Errorf("unreachable %d times", n)
	}
}

// What is sent before the connection stands is sent when it does.
func TestFirstMessagesWaitForTheConnection(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	a.Send(1, []*raftpb.Message{beat(1, 2, 1), app(1, 2, 1, 1)})
	eventually(t, "both", func() bool { return b.count(1) == 2 })
}

// ahead is a clock that is wrong.
type ahead struct{ by time.Duration }

func (c ahead) Now() time.Time { return time.Now().Add(c.by) }

func TestPeersTellHealthAndTime(t *testing.T) {
	t.Parallel()
	known := newBook()
	heard := make(chan string, 16)
	a := start(t, known, 1, "", func(o *Options) {
		o.Heard = func(from uint64, health []byte, _ time.Time) {
			select {
			case heard <- fmt.Sprint(from, " ", string(health)):
			default:
			}
		}
	})
	b := start(t, known, 2, "", func(o *Options) { o.Clock, o.Self.Version = ahead{time.Hour}, "w" })
	b.h.health = []byte("well")
	a.connectTo(t, 2)
	b.connectTo(t, 1)
	if got := receive(t, heard); got != "2 well" {
		t.Fatal(got)
	}
	eventually(t, "a round trip", func() bool { return a.peer(2).RoundTrip > 0 })
	s := a.peer(2)
	if s.Node != "n2" || s.Version != "w" || s.Feature != 3 || string(s.Health) != "well" || s.HealthAt.IsZero() || s.LastHeard.IsZero() || s.Addr != b.addr || s.Reason != "" {
		t.Errorf("%+v", s)
	}
	if off := s.ClockOffset - time.Hour; off.Abs() > s.RoundTrip {
		t.Errorf("the clock is said to be %v ahead, in a round trip of %v", s.ClockOffset, s.RoundTrip)
	}
}

func TestEstimateFollowsAMovedClock(t *testing.T) {
	var e estimate
	for range 20 {
		e.add(10*time.Millisecond, time.Second)
	}
	e.add(time.Millisecond, time.Second+4*time.Millisecond)
	if took, ahead := e.best(); took != time.Millisecond || ahead != time.Second+4*time.Millisecond {
		t.Errorf("the best is %v with %v", took, ahead)
	}
	e.add(50*time.Millisecond, -time.Second)
	if took, ahead := e.best(); took != 50*time.Millisecond || ahead != -time.Second {
		t.Errorf("after the clock was moved: %v with %v", took, ahead)
	}
}

func TestAPeerThatRestartsIsFoundAgain(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	a.connectTo(t, 2)
	a.Send(4, []*raftpb.Message{app(1, 2, 1, 10)})
	a.Send(5, []*raftpb.Message{snap(1, 2)})
	a.Send(6, []*raftpb.Message{beat(1, 2, 1)})
	eventually(t, "the messages", func() bool { return b.count(4) == 1 && b.count(5) == 1 && b.count(6) == 1 })
	b.kill(t)
	eventually(t, "unreachable", func() bool { return a.told(4, 2, false) > 0 && a.told(5, 2, true) > 0 && !a.peer(2).Connected })
	if a.told(6, 2, false) != 0 || a.told(5, 2, false) != 0 {
		t.Error("told of groups that were sent no entries")
	}
	again := start(t, a.book, 2, b.addr)
	eventually(t, "connected", func() bool { return a.peer(2).Connected })
	a.Send(4, []*raftpb.Message{app(1, 2, 2, 10)})
	eventually(t, "the next message", func() bool { return again.count(4) == 1 })
}

// A folder that came back empty is another replica: what is for the lost one does not reach it.
func TestAnotherIncarnationGetsNothing(t *testing.T) {
	t.Parallel()
	var refused sync.Map
	a, b := pair(t)
	b.kill(t)
	c := start(t, newBook(), 22, b.addr, func(o *Options) {
		o.Self.Node, o.Listener = "n2", &Listener{Refused: func(why string) { refused.Store(why, true) }}
	})
	a.Send(1, []*raftpb.Message{beat(1, 2, 1), app(1, 2, 1, 1)})
	eventually(t, "a refusal", func() bool { _, ok := refused.Load("addressee"); return ok })
	eventually(t, "the reason", func() bool { return strings.Contains(a.peer(2).Reason, "incarnation 16") })
	eventually(t, "unreachable", func() bool { return a.told(1, 2, false) > 0 })
	if c.count(1) != 0 {
		t.Error("messages for another incarnation were delivered")
	}
	eventually(t, "several attempts", func() bool { return a.peer(2).Dropped >= 2 })
	if n := c.logs.count("a node was refused"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if n := a.logs.count("cannot be reached"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// What is misdirected inside a frame is left out: addressed to another, from another, or not for travelling.
func TestMisdirectedMessagesAreDropped(t *testing.T) {
	t.Parallel()
	misdirected := make(chan int, 10)
	known := newBook()
	a := start(t, known, 1, "")
	b := start(t, known, 2, "", func(o *Options) {
		o.Listener = &Listener{Misdirected: func(_ uint64, n int) { misdirected <- n }}
	})
	a.connectTo(t, 2)
	hup := beat(1, 2, 1)
	hup.Type = raftpb.MsgHup.Enum()
	foreign := beat(9, 2, 2)
	lane := a.link(2).control
	lane.put(1, beat(1, 7, 1))
	a.Send(1, []*raftpb.Message{foreign, hup, beat(1, 2, 3)})
	eventually(t, "the good one", func() bool { return b.count(1) == 1 })
	n := 0
	for n < 3 {
		n += receive(t, misdirected)
	}
	if b.h.got[1][0].GetCommit() != 3 {
		t.Error("the wrong one was delivered")
	}
}

// A peer that is stopped, or behind a lost route, is noticed without the help of its kernel, in either direction.
func TestSilentPeersAreNoticed(t *testing.T) {
	for _, directions := range [][]int{{there}, {back}, {there, back}} {
		t.Run(fmt.Sprint(directions), func(t *testing.T) {
			t.Parallel()
			a, b := pair(t)
			wire := startProxy(t, b.addr)
			a.book.set(2, wire.addr())
			a.connectTo(t, 2)
			a.Send(1, []*raftpb.Message{app(1, 2, 1, 1)})
			eventually(t, "the message", func() bool { return b.count(1) == 1 })
			wire.hold(directions...)
			began := time.Now()
			eventually(t, "noticed", func() bool { return !a.peer(2).Connected && a.told(1, 2, false) > 0 })
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if r := a.peer(2).Reason; r == "" {
				t.Error("no reason is given")
			}
			wire.let()
			eventually(t, "connected again", func() bool { return a.peer(2).Connected })
			a.Send(1, []*raftpb.Message{app(1, 2, 2, 1)})
			eventually(t, "the next message", func() bool { return b.count(1) == 2 })
		})
	}
}

// A receiver that does not take entries in stops neither the sender nor the heartbeats, and costs a bounded queue.
func TestAPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	dropped := make(chan Class, 1000)
	known := newBook()
	a := start(t, known, 1, "", func(o *Options) {
		o.Listener = &Listener{Dropped: func(_ uint64, class Class, _ int) { dropped <- class }}
	})
	b := start(t, known, 2, "")
	stuck := make(chan struct{})
	b.h.deliver = func(_ uint32, ms []*raftpb.Message) {
		if classOf(ms[0]) == Log {
			<-stuck
		}
	}
	a.connectTo(t, 2)
	const limit = 2 << 20
	a.link(2).log.limit = limit
	const size, many = 64 << 10, 200
	for i := uint64(1); i <= many; i++ {
		a.Send(1, []*raftpb.Message{app(1, 2, i, size)})
		if q := a.peer(2).QueuedBytes; q > limit {
			t.Fatalf("%d bytes are queued", q)
		}
	}
	a.Send(2, []*raftpb.Message{beat(1, 2, 9)})
	eventually(t, "the heartbeat", func() bool { return b.count(2) == 1 })
	if class := receive(t, dropped); class != Log {
		t.Error("dropped", class)
	}
	eventually(t, "unreachable", func() bool { return a.told(1, 2, false) > 0 })
	lost := int(a.peer(2).Dropped)
	if lost < many/2 || lost >= many {
		t.Errorf("%d of %d were dropped", lost, many)
	}
	close(stuck)
	eventually(t, "the rest", func() bool { return b.count(1) == many-lost })
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	inOrder(t, b.h.got[1], Log, (*raftpb.Message).GetIndex)
}

func TestMessagesForNobodyAreDropped(t *testing.T) {
	t.Parallel()
	a := start(t, newBook(), 1, "")
	a.Send(3, []*raftpb.Message{app(1, 77, 1, 1), beat(1, 77, 1), snap(1, 77)})
	eventually(t, "unreachable", func() bool { return a.told(3, 77, false) == 1 && a.told(3, 77, true) == 1 })
	if len(a.Peers()) != 0 {
		t.Error("a stranger is listed")
	}
}

// A connection that is cut over and over loses messages, and never reorders those that come.
func TestOrderOverReconnections(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	wire := startProxy(t, b.addr)
	a.book.set(2, wire.addr())
	a.connectTo(t, 2)
	number := uint64(0)
	for range 5 {
		from := b.count(1)
		eventually(t, "messages come", func() bool {
			number++
			a.Send(1, []*raftpb.Message{app(1, 2, number, 10), beat(1, 2, number)})
			return b.count(1) > from+20
		})
		wire.cut()
	}
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	inOrder(t, b.h.got[1], Log, (*raftpb.Message).GetIndex)
	inOrder(t, b.h.got[1], Control, (*raftpb.Message).GetCommit)
}

func TestPeersCanMove(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	a.connectTo(t, 2)
	b.kill(t)
	moved := start(t, a.book, 2, "")
	eventually(t, "a message", func() bool {
		a.Send(1, []*raftpb.Message{beat(1, 2, 1)})
		return moved.count(1) > 0
	})
}

func TestPeersThatAreNotWantedAreLetGo(t *testing.T) {
	t.Parallel()
	known := newBook()
	a := start(t, known, 1, "")
	start(t, known, 2, "")
	c := start(t, known, 3, "")
	a.connectTo(t, 2, 3)
	a.SetPeers([]uint64{1, 3})
	if s := a.peer(2); s.Incarnation != 0 {
		t.Errorf("still there: %+v", s)
	}
	a.Send(1, []*raftpb.Message{beat(1, 3, 1)})
	eventually(t, "the message", func() bool { return c.count(1) == 1 })
	known.remove(3) // a member that was removed
	a.link(3).control.cutNow(errSilent)
	eventually(t, "retired", func() bool { return len(a.Peers()) == 0 })
	known.remove(2)
	if _, err := a.Call(within(t), 2, "x", nil); errs.CodeOf(err) != errs.Unavailable {
		t.Error(err)
	}
}
