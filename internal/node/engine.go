package node

import (
	"context"
	"encoding/binary"
	"log/slog"
	"strconv"
	"time"

	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/index"
	"github.com/gesta-db/gesta/internal/meta"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/shard"
)

// engine is what stands behind the gateway: the meta group and the shard, each a group of one.
type engine struct {
	meta  *meta.Meta
	shard *shard.Shard
}

func openEngine(f *folder, c *Config, m *metrics, log *slog.Logger) (*engine, error) {
	voters := []uint64{f.identity.Incarnation}
	group, err := meta.Open(meta.Options{
		FS: f.fs, Dir: f.path("meta"), Replica: f.identity.Incarnation, Voters: voters, Topics: c.Limits.Topics, Clock: clock.System(),
		Logger: log.With("group", "meta"),
	})
	if err != nil {
		return nil, err
	}
	s, err := shard.Open(shardOptions(f, c, m, log, voters))
	if err != nil {
		_ = group.Close()
		return nil, err
	}
	return &engine{meta: group, shard: s}, nil
}

func shardOptions(f *folder, c *Config, m *metrics, log *slog.Logger, voters []uint64) shard.Options {
	log = log.With("group", "shard", "shard", gateway.FirstShard)
	return shard.Options{
		Config: shard.Config{
			Number: gateway.FirstShard, Cluster: f.identity.ClusterID, Replica: f.identity.Incarnation, Limits: c.Limits,
			NewHistory: newHistory, Logger: log, Listener: shardListener(log, m),
		},
		FS: f.fs, Dir: f.path("shards", "0001"), IndexDir: f.path("index", "0001"), Voters: voters, Clock: clock.System(),
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

func (e *engine) close() error {
	err := e.shard.Close()
	if metaErr := e.meta.Close(); err == nil {
		err = metaErr
	}
	return err
}

// shardDoor gives the gateway a shard in its words.
type shardDoor struct {
	*shard.Shard
	self   uint64
	nodeID string
}

// Status is the shard's, with names for replicas.
func (s shardDoor) Status() gateway.ShardStatus {
	st := s.Shard.Status()
	return gateway.ShardStatus{
		Shard: gateway.FirstShard, History: st.History, Role: st.Role.String(), Leader: s.nameOf(st.Leader), Term: st.Term,
		LastIndex: st.Last, CommitIndex: st.Commit, AppliedIndex: st.Applied, LastOffset: st.LastOffset,
		Segments: uint64(st.Segments), UnsealedSegments: uint64(st.UnsealedSegments), LogBytes: uint64(st.LogBytes), IndexBytes: uint64(st.IndexBytes),
	}
}

// nameOf names a replica; of others only the number is known.
func (s shardDoor) nameOf(replica uint64) string {
	switch replica {
	case 0:
		return ""
	case s.self:
		return s.nodeID
	}
	return strconv.FormatUint(replica, 16)
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
