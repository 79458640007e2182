package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/cluster"
	"github.com/gesta-db/gesta/internal/discovery"
	"github.com/gesta-db/gesta/internal/door/peer"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/meta"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/shard"
)

// engine is what stands behind the gateway: this node's part of the cluster, and the way to the others.
type engine struct {
	host  *cluster.Host
	peers *peers // nil: the node stays alone
}

// openEngine makes the host and lets peers speak to it. It does not open the host: that may take other nodes.
func openEngine(f *folder, c *Config, l listeners, m *metrics, log *slog.Logger, version string, removed func(error)) (*engine, error) {
	self, err := c.member(f, l, version)
	if err != nil {
		return nil, err
	}
	forming, err := c.forming(discover)
	if err != nil {
		return nil, err
	}
	e := &engine{}
	o := cluster.Options{
		FS: f.fs, Dir: f.path, Self: self, Forming: forming, Factor: int(c.Cluster.Replication), Limits: &c.Limits, Transport: cluster.Alone{},
		Identity: cluster.Identity{Node: f.identity.NodeID, Replica: f.identity.Incarnation, Cluster: f.identity.ClusterID, Founders: f.identity.Founders},
		Keep:     f.belong, Clock: clock.System(), Logger: log, Removed: removed,
		Shard: func(number uint32) shard.Options { return shardOptions(f, c, m, log, number) },
	}
	recovering, err := f.recovering()
	if err != nil {
		return nil, fmt.Errorf("forced recovery: %w", err)
	}
	if recovering {
		o.Recovered = f.recovered
	}
	if l.peer != nil {
		if e.peers, err = newPeers(c, f, log, version); err != nil {
			return nil, err
		}
		o.Transport = wire{e.peers.transport}
	}
	e.host = cluster.New(o)
	return e, nil
}

// ask is the way to another node's entities; nil when there are no other nodes.
func (e *engine) ask() gateway.Ask {
	if e.peers == nil {
		return nil
	}
	return e.peers.transport.Call
}

// discover makes a way to find nodes of what the setting says.
func discover(setting string) (func(context.Context) ([]string, error), error) {
	finder, err := discovery.Parse(setting)
	if err != nil {
		return nil, refuse("discover", "is no way to find nodes: %w", err)
	}
	return finder.Seeds, nil
}

// member describes this node to the others.
func (c *Config) member(f *folder, l listeners, version string) (meta.Member, error) {
	m := meta.Member{
		Node: f.identity.NodeID, Replica: f.identity.Incarnation, Zone: c.Cluster.Zone, Version: version, Feature: cluster.Feature,
		GRPC: advertised(c.Cluster.Advertise, l.grpc), HTTP: advertised(c.Cluster.HTTPAdvertise, l.http), Peer: advertised(c.Cluster.PeerAdvertise, l.peer),
	}
	if l.peer == nil {
		return m, nil
	}
	return m, checkAdvertised("peer_advertise", m.Peer)
}

func shardOptions(f *folder, c *Config, m *metrics, log *slog.Logger, number uint32) shard.Options {
	log = log.With("group", "shard", "shard", number)
	name := fmt.Sprintf("%04d", number)
	return shard.Options{
		Config: shard.Config{
			Number: number, Cluster: f.who().ClusterID, Replica: f.identity.Incarnation, Limits: c.Limits,
			NewHistory: newHistory, Logger: log, Listener: shardListener(log, m),
		},
		FS: f.fs, Dir: f.path("shards", name), IndexDir: f.path("index", name), Clock: clock.System(),
		LogListener: m.logListener(), IndexListener: indexListener(m.indexListener(), log),
	}
}

// newHistory draws a history's number; 0 means none.
func newHistory() uint64 {
	var b [8]byte
	for binary.LittleEndian.Uint64(b[:]) == 0 {
		mustRead(b[:])
	}
	return binary.LittleEndian.Uint64(b[:])
}

// shardListener tells people what they should know of a shard's doings.
func shardListener(log *slog.Logger, m *metrics) *shard.Listener {
	told, damage := time.Now(), &damageLog{log: log, count: m.damage}
	return &shard.Listener{
		Damaged: damage.found,
		Loading: func(done, of int, since time.Duration) {
			if since > time.Second && (time.Since(told) > time.Second || done == of) {
				told = time.Now()
				log.Info("loading the index", "segments", done, "of", of, "took", since.Round(time.Millisecond).String())
			}
		},
		Cut: func(c seglog.Cut) {
			log.Warn("the last write before the stop is damaged and was cut: a write that a crash tore was not acknowledged; one that the disk damaged since may have been",
				"file", c.File, "offset", c.Offset, "bytes", c.Bytes, "highest_index", c.HighestIndex, "reason", c.Reason)
		},
		Stopped: func(err error) {
			log.Error("the shard stopped: it no longer takes appends; see the error, then restart the node", "error", err)
		},
	}
}

func indexListener(l *index.Listener, log *slog.Logger) *index.Listener {
	count := l.Discarded
	l.Discarded = func(dir string, reason error) {
		count(dir, reason)
		log.Warn("the index was unusable and is built anew from the log; no event is lost", "dir", dir, "reason", reason)
	}
	return l
}

func (e *engine) close(ctx context.Context) error {
	err := e.host.Close()
	if e.peers != nil {
		_ = e.peers.close(ctx) // being cut off is not wrong
	}
	return err
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

// index tells how the index's caches do.
func (s shardDoor) index() index.Metrics {
	if l := s.Local(); l != nil {
		return l.Index()
	}
	return index.Metrics{}
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

// topicsDoor gives the gateway the meta group in its words.
type topicsDoor struct {
	*meta.Meta
}

// Topic looks a name up.
func (t topicsDoor) Topic(name []byte) (gateway.Topic, bool) {
	found, ok := t.Meta.Topic(string(name))
	return topicOf(found), ok
}

// Topics lists topics.
func (t topicsDoor) Topics(prefix, after string, limit int) ([]gateway.Topic, bool) {
	found, more := t.Meta.Topics(prefix, after, limit)
	topics := make([]gateway.Topic, len(found))
	for i, f := range found {
		topics[i] = topicOf(f)
	}
	return topics, more
}

func topicOf(t meta.Topic) gateway.Topic {
	return gateway.Topic{Name: t.Name, Shard: t.Shard, Created: t.Created}
}

// cursorsDoor gives the gateway the named cursors in its words.
type cursorsDoor struct {
	*meta.Meta
}

// Cursor looks a name up.
func (c cursorsDoor) Cursor(name string) (gateway.Cursor, bool) {
	found, ok := c.Meta.Cursor(name)
	return gateway.Cursor(found), ok
}

// Cursors lists them in the order of their names.
func (c cursorsDoor) Cursors(prefix, after string, limit int) ([]gateway.Cursor, bool) {
	found, more := c.Meta.Cursors(prefix, after, limit)
	list := make([]gateway.Cursor, len(found))
	for i, f := range found {
		list[i] = gateway.Cursor(f)
	}
	return list, more
}

// SetCursor makes or moves one.
func (c cursorsDoor) SetCursor(ctx context.Context, name, position string, expect *string) (gateway.Cursor, error) {
	set, err := c.Meta.SetCursor(ctx, name, position, expect)
	return gateway.Cursor(set), err
}
