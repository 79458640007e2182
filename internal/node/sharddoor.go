package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/cluster"
	"github.com/gesta-db/gesta/internal/door/peer"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/shard"
)

// shardDoors gives the gateway the shards of the cluster.
type shardDoors struct {
	host  *cluster.Host
	peers *peers   // nil: there are none
	known sync.Map // of *shardDoor, by number: they are asked for with every append
}

// Shard gives one.
func (d *shardDoors) Shard(number uint32) (gateway.Shard, bool) {
	s, ok := d.door(number)
	return s, ok
}

func (d *shardDoors) log(number uint32) (gateway.EntityLog, bool) {
	s, ok := d.door(number)
	return s, ok
}

func (d *shardDoors) door(number uint32) (*shardDoor, bool) {
	if s, ok := d.known.Load(number); ok {
		return s.(*shardDoor), true
	}
	if _, ok := d.host.Meta().Shard(number); !ok && number != gateway.FirstShard {
		return nil, false
	}
	s, _ := d.known.LoadOrStore(number, &shardDoor{Route: d.host.Route(number), host: d.host, peers: d.peers})
	return s.(*shardDoor), true
}

// Numbers lists the shards: the first is there before the cluster has said so.
func (d *shardDoors) Numbers() []uint32 {
	all := d.host.Meta().Shards()
	if len(all) == 0 {
		return []uint32{gateway.FirstShard}
	}
	numbers := make([]uint32, len(all))
	for i := range all {
		numbers[i] = all[i].Number
	}
	return numbers
}

func (d *shardDoors) each(f func(*shardDoor)) {
	for _, number := range d.Numbers() {
		if s, ok := d.door(number); ok {
			f(s)
		}
	}
}

// values are those of the shards' gauges.
func (d *shardDoors) values() map[uint32][]float64 {
	all := map[uint32][]float64{}
	d.each(func(s *shardDoor) { all[s.Number()] = shardValues(s.Status(), s.queued()) })
	return all
}

// index tells how the indexes' caches do, in all.
func (d *shardDoors) index() (sum index.Metrics) {
	d.each(func(s *shardDoor) {
		if l := s.Local(); l != nil {
			addIndex(&sum, l.Index())
		}
	})
	return sum
}

func addIndex(sum *index.Metrics, m index.Metrics) {
	sum.HeadsBytes += m.HeadsBytes
	sum.HeadHits += m.HeadHits
	sum.HeadMisses += m.HeadMisses
	sum.BlockCacheBytes += m.BlockCacheBytes
	sum.BlockHits += m.BlockHits
	sum.BlockMisses += m.BlockMisses
}

// shardDoor gives the gateway a shard in its words: appends go to the leader wherever it is, the rest is served from the replica here.
type shardDoor struct {
	*cluster.Route
	host  *cluster.Host
	peers *peers // nil: there are none
}

// local is the replica here.
func (s shardDoor) local() (*shard.Shard, error) {
	if l := s.Local(); l != nil {
		return l, nil
	}
	return nil, errs.New(errs.NoLeader, "shard %d has no replica on this node: try again, or another node", s.Number())
}

// asked answers questions about the shard: its replica here, or the leader's node.
func (s shardDoor) asked() (peer.LocalShard, error) {
	l, err := s.local()
	if err == nil {
		return l, nil
	}
	if s.peers == nil {
		return nil, err
	}
	return s.peers.transport.RemoteShard(s.Number(), s.Leader), nil
}

// Head tells where a stream ends.
func (s shardDoor) Head(ctx context.Context, topic, key []byte) (event.Head, position.Position, error) {
	l, err := s.asked()
	if err != nil {
		return event.Head{}, position.Position{}, err
	}
	return l.Head(ctx, topic, key)
}

// Streams lists a topic's streams.
func (s shardDoor) Streams(topic, prefix, after []byte, hasAfter bool, limit int) ([]event.StreamHead, bool, error) {
	l, err := s.asked()
	if err != nil {
		return nil, false, err
	}
	return l.Streams(topic, prefix, after, hasAfter, limit)
}

// TopicEvents counts a topic's events.
func (s shardDoor) TopicEvents(topic []byte) (uint64, error) {
	l, err := s.asked()
	if err != nil {
		return 0, err
	}
	return l.TopicEvents(topic)
}

// Counts counts events over time.
func (s shardDoor) Counts(ctx context.Context, topic []byte, from, to time.Time, buckets int) ([]uint64, error) {
	l, err := s.asked()
	if err != nil {
		return nil, err
	}
	return l.Counts(ctx, topic, from, to, buckets)
}

// queued is how many bytes of appends have no outcome yet.
func (s shardDoor) queued() int64 {
	if l := s.Local(); l != nil {
		return l.Status().Queued
	}
	return 0
}

// Ready tells whether the shard is served.
func (s shardDoor) Ready() (bool, []string) {
	if l := s.Local(); l != nil {
		return l.Ready()
	}
	if _, ok := s.Leader(); ok {
		return true, nil
	}
	return false, []string{fmt.Sprintf("shard %d has no replica here, and nobody is known to lead it", s.Number())}
}

// Status is the shard's, with names for replicas.
func (s shardDoor) Status() gateway.ShardStatus {
	l := s.Local()
	if l == nil {
		leader, _ := s.Leader()
		return gateway.ShardStatus{Shard: s.Number(), Role: "none", Leader: s.host.Name(leader)}
	}
	st := l.Status()
	return gateway.ShardStatus{
		Shard: s.Number(), History: st.History, Role: st.Role.String(), Leader: s.host.Name(st.Leader), Term: st.Term,
		LastIndex: st.Last, CommitIndex: st.Commit, AppliedIndex: st.Applied, LastOffset: st.LastOffset,
		Segments: uint64(st.Segments), UnsealedSegments: uint64(st.UnsealedSegments), LogBytes: uint64(st.LogBytes), IndexBytes: uint64(st.IndexBytes),
	}
}
