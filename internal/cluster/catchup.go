package cluster

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/shard"
	"github.com/gesta-db/gesta/internal/vfs"
)

// catchUpRate bounds, in bytes a second, what this node fetches of segments for all its shards together: below what a disk writes, so that
// appends and heartbeats keep their part of it.
const catchUpRate = 96 << 20

// source is another replica that segments are fetched from.
type source struct {
	t     Transport
	to    uint64
	group uint32
}

// Fetch gives the bytes of a file from an offset on.
func (s source) Fetch(ctx context.Context, file string, from int64, take func([]byte) error) error {
	return s.t.Fetch(ctx, s.to, s.group, file, from, take)
}

// installed tells a leader how a replica fared with its offer.
type installed struct {
	Shard   uint32 `json:"shard"`
	Replica uint64 `json:"replica"`
	OK      bool   `json:"ok"`
}

// offered hears that the replica here is too far behind for entries. One offer is followed at a time; it comes again.
func (h *Host) offered(number uint32, m shard.Manifest) {
	h.mu.Lock()
	busy := h.fetching[number] || h.context.Err() != nil
	h.fetching[number] = true
	h.mu.Unlock()
	if busy {
		return
	}
	h.running.Go(func() {
		err := h.catchUp(number, m)
		if err != nil {
			h.o.Logger.Warn("catching up by segments failed; it is tried again", "shard", number, "error", err)
		}
		h.mu.Lock()
		h.fetching[number] = false
		h.mu.Unlock()
		h.tellInstalled(m.Sender, installed{number, h.id.Replica, err == nil})
	})
}

// catchUp fetches what the manifest lists while the replica goes on, and then opens it again with it.
func (h *Host) catchUp(number uint32, m shard.Manifest) error {
	o := h.shardOptions(number)
	h.o.Logger.Info("the replica is far behind; fetching segments", "shard", number, "segments", len(m.Segments), "from", h.name(m.Sender))
	sources := []shard.Source{source{h.o.Transport, m.Sender, number}}
	for _, id := range h.othersOf(number) {
		if id != m.Sender {
			sources = append(sources, source{h.o.Transport, id, number})
		}
	}
	if err := shard.Fetch(h.context, shard.Fetching{FS: o.FS, Dir: o.Dir, Manifest: m, Sources: sources, Pace: h.pace}); err != nil {
		return err
	}
	if err := h.takeOut(number); err != nil {
		return err
	}
	_, err := shard.Install(o.Config, o.FS, o.Dir, o.Voters, m)
	sh, _ := h.meta.Shard(number)
	if e := h.openShard(sh); e != nil {
		return e
	}
	if err == nil {
		h.o.Logger.Info("caught up by segments", "shard", number, "index", m.Index)
	}
	return err
}

// othersOf are the other replicas of a shard.
func (h *Host) othersOf(number uint32) []uint64 {
	s, _ := h.meta.Shard(number)
	return slices.DeleteFunc(slices.Clone(s.Replicas), func(id uint64) bool { return id == h.id.Replica })
}

func (h *Host) tellInstalled(leader uint64, in installed) {
	body, err := json.Marshal(in)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(h.context, askTimeout)
	defer cancel()
	if _, err := h.o.Transport.Call(ctx, leader, methodInstalled, body); err != nil {
		h.o.Logger.Debug("the leader was not told of the segments; it offers them again", "error", err)
	}
}

func (h *Host) answerInstalled(_ context.Context, body []byte) (any, error) {
	in, err := decode[installed](body)
	if s := h.local(in.Shard); err == nil && s != nil {
		s.ReportSnapshot(in.Replica, in.OK)
	}
	return struct{}{}, err
}

// SnapshotLost tells that an offer did not reach a replica.
func (h *Host) SnapshotLost(group uint32, to uint64) {
	if group == metaGroup {
		if m, err := h.ready(); err == nil {
			m.ReportSnapshot(to, false)
		}
		return
	}
	if s := h.local(group); s != nil {
		s.ReportSnapshot(to, false)
	}
}

// File is a sealed segment of a shard here, for a peer that fetches it.
type File struct {
	vfs.File
	Bytes int64
	// Digest names its content.
	Digest [32]byte
}

// OpenFile opens a sealed segment, or the index table beside one, by its file's name.
func (h *Host) OpenFile(number uint32, name string) (*File, error) {
	s := h.local(number)
	if s == nil {
		return nil, errs.New(errs.Unavailable, "node %s has no replica of shard %d", h.o.Self.Node, number)
	}
	o := h.o.Shard(number)
	for _, seg := range s.Segments() {
		if !seg.Sealed || name != seg.Name && name != filepath.Base(shard.IndexFile("", seg.First)) {
			continue
		}
		f, err := shard.OpenSegment(o.FS, o.Dir, number, name)
		if err != nil {
			return nil, err
		}
		size, err := f.Size()
		return &File{File: f, Bytes: size, Digest: seg.Digest}, err
	}
	return nil, errs.New(errs.NotFound, "shard %d has no sealed segment %s on node %s", number, name, h.o.Self.Node)
}
