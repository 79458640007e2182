package node

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/index"
)

// gaugeSources is what the gauges are read from, each time somebody asks.
type gaugeSources struct {
	version     string
	ready       func() bool
	shards      func() map[uint32][]float64 // by number, as shardValues gives them
	topics      func() int
	disk        func() gateway.Disk
	connections func() int
	streams     func() int
	index       func() index.Metrics
	entities    func() entity.Stats
}

func (m *metrics) gauges(s gaugeSources) {
	m.group([]metricDoc{{Name: "gesta_build_info", Help: "Always 1; what runs is in the labels."}},
		prometheus.Labels{"version": s.version, "go": runtime.Version()}, func() []float64 { return []float64{1} })
	m.gaugeFunc("gesta_ready", "1 when the node serves everything, as /ready says.", func() float64 { return truth(s.ready()) })
	m.gaugeFunc("gesta_topics", "Topics there are.", func() float64 { return float64(s.topics()) })
	m.gaugeFunc("gesta_grpc_connections", "Open gRPC connections.", func() float64 { return float64(s.connections()) })
	m.gaugeFunc("gesta_grpc_streams", "Append streams and reads under way by gRPC.", func() float64 { return float64(s.streams()) })
	m.group([]metricDoc{
		{Name: "gesta_entities", Help: "Entities in memory."},
		{Name: "gesta_entity_bytes", Help: "What they are taken to cost, held to the limit entity_cache_bytes when idle."},
		{Name: "gesta_commands_waiting", Help: "Commands without an outcome yet."},
		{Name: "gesta_entities_in_hand", Help: "Entities that a handler decides about, or that are being read for one."},
	}, nil, func() []float64 {
		e := s.entities()
		return []float64{float64(e.Entities), float64(e.Bytes), float64(e.Pending), float64(e.InHand)}
	})
	m.group([]metricDoc{
		{Name: "gesta_disk_free_bytes", Help: "Bytes free on the data folder's volume, at the last look."},
		{Name: "gesta_disk_floor_bytes", Help: "The floor below which appends are refused."},
	}, nil, func() []float64 {
		d := s.disk()
		return []float64{float64(d.Free), float64(d.Floor)}
	})
	m.gaugeFunc("gesta_index_heads_bytes", "Bytes of the cache of streams' heads.", func() float64 { return float64(s.index().HeadsBytes) })
	m.gaugeFunc("gesta_index_block_cache_bytes", "Bytes of the cache of the index's blocks.", func() float64 { return float64(s.index().BlockCacheBytes) })
	m.counterFunc("gesta_index_head_hits_total", "Heads of streams that were found in their cache.", func() float64 { return float64(s.index().HeadHits) })
	m.counterFunc("gesta_index_head_misses_total", "Heads of streams that had to be looked up in the index.", func() float64 { return float64(s.index().HeadMisses) })
	m.counterFunc("gesta_index_block_hits_total", "Blocks of the index that were found in their cache.", func() float64 { return float64(s.index().BlockHits) })
	m.counterFunc("gesta_index_block_misses_total", "Blocks of the index that had to be read.", func() float64 { return float64(s.index().BlockMisses) })
	m.shardGroup(shardGauges, s.shards)
}

// shardGauges and shardValues stand in the same order.
var shardGauges = []metricDoc{
	{Name: "gesta_shard_leader", Help: "1 when this node leads the shard."},
	{Name: "gesta_shard_term", Help: "Raft term."},
	{Name: "gesta_shard_last_index", Help: "Newest Raft entry stored here."},
	{Name: "gesta_shard_commit_index", Help: "Newest Raft entry known to be committed."},
	{Name: "gesta_shard_applied_index", Help: "Newest Raft entry in the index; it lags behind the commit index by what readers cannot see yet."},
	{Name: "gesta_shard_index_lag_entries", Help: "Committed Raft entries that are not in the index yet."},
	{Name: "gesta_shard_last_offset", Help: "Offset of the newest event that can be read."},
	{Name: "gesta_shard_segments", Help: "Segments of the log."},
	{Name: "gesta_shard_unsealed_segments", Help: "Segments that are not sealed: the active one, and full ones whose index is still being built."},
	{Name: "gesta_shard_log_bytes", Help: "Bytes of the log's segment files."},
	{Name: "gesta_shard_index_bytes", Help: "Bytes of the index on disk."},
	{Name: "gesta_shard_queued_bytes", Help: "Bytes of appends that wait for their outcome."},
}

func shardValues(s gateway.ShardStatus, queued int64) []float64 {
	lag := max(s.CommitIndex, s.AppliedIndex) - s.AppliedIndex
	values := []float64{truth(s.Role == "leader")}
	for _, n := range []uint64{s.Term, s.LastIndex, s.CommitIndex, s.AppliedIndex, lag, s.LastOffset, s.Segments, s.UnsealedSegments, s.LogBytes, s.IndexBytes} {
		values = append(values, float64(n))
	}
	return append(values, float64(queued))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
