package peer

import (
	"context"
	"errors"
	"io"
	"log"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// member is one replica of a group in memory, stepped by a goroutine, over a node's transport.
type member struct {
	*node
	id     uint64
	raft   *raft.RawNode
	store  *raft.MemoryStorage
	in     chan []*raftpb.Message
	ask    chan []byte
	stop   chan struct{}
	wg     sync.WaitGroup
	once   sync.Once
	leads  atomic.Bool
	term   atomic.Uint64
	stored atomic.Int64 // entries with data that were committed
}

func startMember(t *testing.T, known *book, id uint64, peers []uint64) *member {
	t.Helper()
	m := &member{id: id, store: raft.NewMemoryStorage(), in: make(chan []*raftpb.Message, 1024), ask: make(chan []byte, 64), stop: make(chan struct{})}
	if err := m.store.ApplySnapshot(&raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{ConfState: &raftpb.ConfState{Voters: peers}, Index: new(uint64(1)), Term: new(uint64(1))}}); err != nil {
		t.Fatal(err)
	}
	var err error
	m.raft, err = raft.NewRawNode(&raft.Config{ID: id, ElectionTick: 10, HeartbeatTick: 2, Storage: m.store, Applied: 1, MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 256,
		CheckQuorum: true, PreVote: true, DisableProposalForwarding: true, Logger: &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)}})
	if err != nil {
		t.Fatal(err)
	}
	m.node = start(t, known, id, "")
	m.h.deliver = func(_ uint32, ms []*raftpb.Message) {
		select {
		case m.in <- ms:
		case <-m.stop:
		}
	}
	m.wg.Go(m.run)
	t.Cleanup(m.end)
	return m
}

func (m *member) end() {
	m.once.Do(func() { close(m.stop) })
	m.wg.Wait()
}

func (m *member) run() {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	told := map[uint64]int{}
	for {
		select {
		case <-m.stop:
			return
		case <-tick.C:
			m.raft.Tick()
			for _, to := range []uint64{1, 2, 3} { // what the transport told since
				if n := m.told(1, to, false); n > told[to] {
					told[to] = n
					m.raft.ReportUnreachable(to)
				}
			}
		case ms := <-m.in:
			for _, one := range ms {
				_ = m.raft.Step(one)
			}
		case b := <-m.ask:
			_ = m.raft.Propose(b)
		}
		m.ready()
	}
}

func (m *member) ready() {
	for m.raft.HasReady() {
		rd := m.raft.Ready()
		_ = m.store.Append(rd.Entries)
		if rd.HardState != nil {
			_ = m.store.SetHardState(rd.HardState)
			m.term.Store(rd.HardState.GetTerm())
		}
		if rd.SoftState != nil {
			m.leads.Store(rd.SoftState.RaftState == raft.StateLeader)
		}
		m.Send(1, rd.Messages)
		for _, e := range rd.CommittedEntries {
			if len(e.GetData()) > 0 {
				m.stored.Add(1)
			}
		}
		m.raft.Advance(rd)
	}
}

// A group keeps its leader and its term while a file is fetched from the leader as fast as it goes and large entries are proposed,
// finds another when the leader is gone, and goes on.
func TestAGroupLivesBesideBulk(t *testing.T) {
	t.Parallel()
	known := newBook()
	ids := []uint64{1, 2, 3}
	members := map[uint64]*member{}
	for _, id := range ids {
		members[id] = startMember(t, known, id, ids)
	}
	leader := func() (l *member) {
		eventually(t, "a leader", func() bool {
			for _, m := range members {
				if m.leads.Load() {
					l = m
				}
			}
			return l != nil
		})
		return l
	}
	old := leader()
	old.file("1/seg", 8<<20)
	ctx, enough := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for id, m := range members {
		if id != old.id {
			wg.Go(func() { m.fetchWhile(ctx, t, old.id) })
		}
	}
	const many, size = 150, 128 << 10
	term := old.term.Load()
	for i := range many {
		old.ask <- make([]byte, size)
		if i%50 == 49 {
			eventually(t, "committed everywhere", func() bool {
				for _, m := range members {
					if m.stored.Load() < int64(i+1) {
						return false
					}
				}
				return true
			})
		}
	}
	if now := old.term.Load(); now != term || !old.leads.Load() {
		t.Errorf("term %d became %d beside bulk", term, now)
	}
	enough()
	wg.Wait()
	old.end()
	old.kill(t)
	delete(members, old.id)
	next := leader()
	next.ask <- []byte("more")
	eventually(t, "it goes on", func() bool { return next.stored.Load() == many+1 })
}

func (m *member) fetchWhile(ctx context.Context, t *testing.T, from uint64) {
	for ctx.Err() == nil {
		f, err := m.Fetch(ctx, from, 1, "seg", Resume{})
		for err == nil {
			_, err = f.Next()
		}
		if f != nil {
			f.Close()
		}
		if !errors.Is(err, io.EOF) && ctx.Err() == nil {
			t.Error(err)
			return
		}
	}
}
