package index

// Metrics is what the index holds and takes now.
type Metrics struct {
	// Segments are ingested; Tables are in memory.
	Segments, Tables int
	// ActiveEvents and ActiveStreams are in memory.
	ActiveEvents, ActiveStreams uint64
	// DiskBytes is what the ingested tables take.
	DiskBytes int64
	// HeadsBytes, FilterBytes, IDWindowBytes and BlockCacheBytes are memory in use.
	HeadsBytes, FilterBytes, IDWindowBytes, BlockCacheBytes int64
	// HeadHits and HeadMisses count look-ups of SealedHead since the start.
	HeadHits, HeadMisses uint64
	// BlockHits and BlockMisses count blocks of tables that were looked for in the block cache since the start.
	BlockHits, BlockMisses uint64
}

// Metrics reads all counters.
func (ix *Index) Metrics() Metrics {
	v := ix.view.Load()
	blocks := ix.cache.Metrics()
	m := Metrics{
		Segments: len(v.sealed), Tables: len(v.active), DiskBytes: ix.Bytes(),
		FilterBytes: ix.filterBytes(), IDWindowBytes: ix.ids.bytes(), BlockCacheBytes: blocks.Size,
		BlockHits: uint64(blocks.Hits), BlockMisses: uint64(blocks.Misses),
	}
	ix.heads.measure(&m)
	for _, t := range v.active {
		locked := t.rlock()
		m.ActiveEvents += uint64(t.rows.len())
		m.ActiveStreams += uint64(t.streams.len())
		t.runlock(locked)
	}
	return m
}

// Bytes is what the ingested tables take on disk.
func (ix *Index) Bytes() int64 { return int64(ix.db.Metrics().Total().TablesSize) }
