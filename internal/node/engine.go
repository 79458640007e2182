package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"

	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/cluster"
	"github.com/gesta-db/gesta/internal/discovery"
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
	doors *shardDoors
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
	e.doors = &shardDoors{host: e.host, peers: e.peers}
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
	return gateway.Topic{Name: t.Name, Shard: t.Shard, Partitions: t.Partitions, Created: t.Created}
}

// EnsureTopic makes one where the layout says.
func (t topicsDoor) EnsureTopic(ctx context.Context, name string, l gateway.Layout) (bool, error) {
	return t.Meta.EnsureTopic(ctx, name, meta.Layout(l))
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
