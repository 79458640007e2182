package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/meta"
	"github.com/gesta-db/gesta/internal/shard"
)

// Host is one node's part of a cluster.
type Host struct {
	o    Options
	meta *meta.Meta

	mu     sync.RWMutex
	id     Identity
	known  map[uint64]string // addresses of replicas, as far as the meta group does not tell
	shards map[uint32]*hosted
	routes map[uint32]*Route
	opened bool // the meta group is
	own    Health
	heard  map[uint64]heard

	lineages map[uint32]*shard.Lineage
	fetching map[uint32]bool // shards whose replicas here catch up by segments
	pace     shard.Pace

	stopping atomic.Bool
	low      atomic.Pointer[errs.Error]
	serving  atomic.Pointer[map[string][]uint64] // by kind, the nodes that have a handler for it

	nudged  chan struct{}
	stop    context.CancelFunc
	context context.Context
	running sync.WaitGroup
	once    sync.Once
}

// New makes a host that answers its peers from now on; Open makes it one of them.
func New(o Options) *Host {
	h := &Host{o: o, id: o.Identity, known: map[uint64]string{}, shards: map[uint32]*hosted{}, fetching: map[uint32]bool{}, lineages: map[uint32]*shard.Lineage{}, pace: shard.Budget(catchUpRate), routes: map[uint32]*Route{}, heard: map[uint64]heard{}, nudged: make(chan struct{}, 1)}
	h.serving.Store(&map[string][]uint64{})
	h.context, h.stop = context.WithCancel(context.Background())
	return h
}

// Open forms or finds the cluster, and opens what this node holds of it. A founder of a cluster of one returns when its groups serve;
// any other may return before there is a leader.
func (h *Host) Open(ctx context.Context) error {
	if err := h.form(ctx); err != nil {
		return err
	}
	id := h.identity()
	h.o.Transport.SetCluster(id.Cluster)
	founders := id.Founders
	if len(founders) == 0 {
		founders = []uint64{id.Replica} // a folder from before there were clusters
	}
	var err error
	h.meta, err = meta.Open(meta.Options{
		FS: h.o.FS, Dir: h.o.Dir("meta"), Replica: id.Replica, Voters: founders, Topics: h.o.Limits.Topics, Clock: h.o.Clock,
		Logger: h.o.Logger.With("group", "meta"), Send: h.sender(metaGroup), Forward: h.proposeAt, Changed: h.nudge,
	})
	if err != nil {
		return err
	}
	if level := h.meta.Feature(); level > Feature {
		err := errs.New(errs.Unsupported, "the cluster uses feature level %d, and this version of gesta knows %d: run the version that was here before, or a newer one", level, Feature)
		return errors.Join(err, h.meta.Close())
	}
	h.mu.Lock()
	h.opened = true
	h.mu.Unlock()
	if err := h.openShards(); err != nil {
		return err
	}
	if h.o.Recovered != nil {
		if err := h.recover(ctx); err != nil {
			return fmt.Errorf("end the forced recovery: %w", err)
		}
	}
	h.running.Go(h.run)
	h.running.Go(h.recallAll)
	return nil
}

func (h *Host) identity() Identity {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.id
}

// Identity is what the folder knows of itself and its cluster.
func (h *Host) Identity() Identity { return h.identity() }

// Meta is the meta group; nil before Open.
func (h *Host) Meta() *meta.Meta { return h.meta }

// ready gives the meta group once the node belongs to a cluster.
func (h *Host) ready() (*meta.Meta, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if !h.opened {
		return nil, errs.New(errs.Unavailable, "node %s does not belong to a cluster yet: try again later", h.o.Self.Node)
	}
	return h.meta, nil
}

func (h *Host) sender(group uint32) func([]*pb.Message) {
	return func(ms []*pb.Message) { h.o.Transport.Send(group, ms) }
}

// openShards opens the replicas that this node shall hold and does not yet.
func (h *Host) openShards() error {
	for _, s := range h.meta.Shards() {
		if slices.Contains(s.Replicas, h.id.Replica) && h.local(s.Number) == nil && !h.isFetching(s.Number) {
			if err := h.openShard(s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *Host) isFetching(number uint32) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.fetching[number]
}

func (h *Host) openShard(s meta.Shard) error {
	if err := h.host(s.Number); err != nil {
		return err
	}
	h.o.Logger.Info("shard opened", "shard", s.Number, "replicas", len(s.Replicas))
	return nil
}

// closeShards closes replicas that have moved elsewhere, once their group knows. Their folders stay: should they come back, they are
// what they were and not replicas that forgot their votes.
func (h *Host) closeShards() {
	for number, s := range h.locals() {
		sh, known := h.meta.Shard(number)
		st := s.Status()
		if !known || slices.Contains(sh.Replicas, h.id.Replica) || slices.Contains(st.Conf.Voters, h.id.Replica) || slices.Contains(st.Conf.Learners, h.id.Replica) {
			continue
		}
		h.o.Logger.Info("the shard's replica has moved to another node; its folder stays here until it is deleted by hand", "shard", number)
		if err := h.takeOut(number); err != nil {
			h.o.Logger.Error("shard not closed well", "shard", number, "error", err)
		}
	}
}

func (h *Host) local(number uint32) *shard.Shard {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if s := h.shards[number]; s != nil {
		return s.Shard
	}
	return nil
}

func (h *Host) locals() map[uint32]*shard.Shard {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := make(map[uint32]*shard.Shard, len(h.shards))
	for number, s := range h.shards {
		all[number] = s.Shard
	}
	return all
}

// Deliver takes messages for a group here; without one they are lost.
func (h *Host) Deliver(group uint32, ms []*pb.Message) {
	if group == metaGroup {
		if m, err := h.ready(); err == nil {
			m.Deliver(ms)
		}
		return
	}
	if s := h.local(group); s != nil {
		s.Deliver(ms)
	}
}

// Unreachable tells that messages to a replica may be lost.
func (h *Host) Unreachable(group uint32, to uint64) {
	if group == metaGroup {
		if m, err := h.ready(); err == nil {
			m.Unreachable(to)
		}
		return
	}
	if s := h.local(group); s != nil {
		s.Unreachable(to)
	}
}

// learn remembers where a replica listens.
func (h *Host) learn(replica uint64, addr string) {
	if addr == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known[replica] = addr
}

// Addr tells where a replica's node listens.
func (h *Host) Addr(replica uint64) (string, bool) {
	if m, err := h.ready(); err == nil {
		if o, ok := m.Member(replica); ok {
			return o.Peer, true
		}
		if _, gone := m.Gone(replica); gone {
			return "", false
		}
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	addr, ok := h.known[replica]
	return addr, ok
}

// Serving waits until a shard has a replica here that answers, or ctx ends.
func (h *Host) Serving(ctx context.Context, number uint32) error {
	tick := time.NewTicker(lookEvery / 20)
	defer tick.Stop()
	for h.local(number) == nil {
		select {
		case <-ctx.Done():
			return errs.New(errs.Unavailable, "shard %d was not opened: %w", number, ctx.Err())
		case <-tick.C:
		}
	}
	return h.local(number).Barrier(ctx)
}

func (h *Host) nudge() {
	select {
	case h.nudged <- struct{}{}:
	default:
	}
}

// Close stops this node's part. Leadership is handed over before, by Drain.
func (h *Host) Close() error {
	var err error
	h.once.Do(func() {
		h.stop()
		h.running.Wait()
		for number, s := range h.locals() {
			if e := s.Close(); e != nil {
				err = errors.Join(err, fmt.Errorf("close shard %d: %w", number, e))
			}
		}
		if h.meta != nil {
			err = errors.Join(err, h.meta.Close())
		}
	})
	return err
}

// Drain hands the leadership of every group here to others, and returns when none is led here, or ctx ends.
func (h *Host) Drain(ctx context.Context) error {
	h.stopping.Store(true)
	if h.meta == nil || h.alone() {
		return nil
	}
	// The others must know first: the leader that is wanted would get the leadership back.
	h.complain("tell the cluster of the stop", h.registerWithin(ctx))
	tick := time.NewTicker(lookEvery / 10)
	defer tick.Stop()
	for {
		led := 0
		for _, g := range h.groups() {
			next := h.heir(&g)
			if next != 0 || g.leads() && g.Members == nil { // it leads since a moment, and does not know yet how the others are
				led++
			}
			if next != 0 {
				_ = g.control.Transfer(next)
			}
		}
		if led == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
