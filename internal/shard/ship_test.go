package shard

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/vfs"
)

// cluster is three running shards in folders of the machine's disk, that send to each other but for one that may be deaf.
type cluster struct {
	t      *testing.T
	dir    string
	mu     sync.Mutex
	shards map[uint64]*Shard
	deaf   atomic.Uint64
	offers chan Manifest
}

func (c *cluster) send(ms []*pb.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range ms {
		if to := c.shards[m.GetTo()]; to != nil && m.GetTo() != c.deaf.Load() && m.GetFrom() != c.deaf.Load() {
			to.Deliver([]*pb.Message{m})
		}
	}
}

func (c *cluster) options(id uint64) Options {
	o := newRig(c.t).o
	o.Replica, o.Voters, o.Send, o.tune, o.Behind = id, []uint64{1, 2, 3}, c.send, nil, 1
	o.FS, o.Clock = vfs.OS(), clock.System()
	o.Dir, o.IndexDir = c.folder(id), filepath.Join(c.dir, fmt.Sprint(id), "index")
	o.Offered = func(m Manifest) {
		select {
		case c.offers <- m:
		default:
		}
	}
	return o
}

func (c *cluster) folder(id uint64) string { return filepath.Join(c.dir, fmt.Sprint(id), "shard") }

func (c *cluster) open(id uint64) {
	c.t.Helper()
	s, err := Open(c.options(id))
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shards[id] = s
}

func (c *cluster) close(id uint64) {
	c.mu.Lock()
	s := c.shards[id]
	delete(c.shards, id)
	c.mu.Unlock()
	if err := s.Close(); err != nil {
		c.t.Error(err)
	}
}

// leader waits until one of those that hear leads.
func (c *cluster) leader() *Shard {
	c.t.Helper()
	end, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		for id, s := range c.shards {
			if id != c.deaf.Load() && s.Status().Serving {
				return s
			}
		}
		select {
		case <-end:
			c.t.Fatal("nobody leads")
		case <-tick.C:
		}
	}
}

// Fetch reads a folder of the machine's disk.
type folderSource string

func (d folderSource) Fetch(_ context.Context, name string, from int64, take func([]byte) error) error {
	f, err := OpenSegment(vfs.OS(), string(d), 1, name)
	if err != nil {
		return err
	}
	f.Close()
	b, err := os.ReadFile(filepath.Join(string(d), name))
	if err != nil {
		return err
	}
	return take(b[from:])
}

// TestRunningShardsShip leaves one of three running shards behind, and has it do what its host does on an offer.
func TestRunningShardsShip(t *testing.T) {
	c := &cluster{t: t, dir: t.TempDir(), shards: map[uint64]*Shard{}, offers: make(chan Manifest, 1)}
	for id := uint64(1); id <= 3; id++ {
		c.open(id)
	}
	defer func() {
		for id := uint64(1); id <= 3; id++ {
			c.close(id)
		}
	}()
	slow := uint64(1)
	if c.leader() == c.shards[slow] {
		slow = 2
	}
	c.deaf.Store(slow)
	sealed := func(s *Shard) int { return len(s.Pieces()) }
	n := 0
	add := func() {
		t.Helper()
		n++
		ctx, done := context.WithTimeout(t.Context(), 20*time.Second)
		defer done()
		if _, err := c.leader().Append(ctx, one("a", "k", event.Expect{}, fmt.Sprint("id-", n))); err != nil {
			t.Fatal(err)
		}
	}
	for sealed(c.leader()) < 6 {
		add()
	}
	c.deaf.Store(0)
	m := <-c.offers
	f := Fetching{FS: vfs.OS(), Dir: c.folder(slow), Manifest: m, Sources: []Source{folderSource(c.folder(m.Sender))}, Pace: Budget(100 << 20)}
	if err := Fetch(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	c.close(slow)
	done, err := Install(c.options(slow).Config, vfs.OS(), c.folder(slow), []uint64{1, 2, 3}, m)
	if err != nil || !done {
		t.Fatal(done, err)
	}
	for _, p := range m.Segments {
		mine, err := os.ReadFile(IndexFile(c.folder(slow), p.First))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := os.ReadFile(IndexFile(c.folder(m.Sender), p.First))
		if err != nil || string(mine) != string(theirs) {
			t.Fatalf("the index table of %d did not come along: %v", p.First, err)
		}
	}
	c.open(slow)
	c.leader().ReportSnapshot(slow, true)
	add()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	h, _, err := c.shards[slow].Head(ctx, []byte("a"), []byte("k"))
	if err != nil || h.Revision != uint64(n) {
		t.Fatalf("revision %d, want %d, %v", h.Revision, n, err)
	}
}
