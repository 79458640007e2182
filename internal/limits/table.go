package limits

import "time"

// field makes a row's Get and Set from the way to the field.
func field[T ~int | ~int64](r Row, at func(*Limits) *T) Row {
	r.Get = func(l *Limits) int64 { return int64(*at(l)) }
	r.Set = func(l *Limits, v int64) { *at(l) = T(v) }
	return r
}

// Table gives every limit, in the order of the documentation.
func Table() []Row {
	return append(append(messageRows(), storeRows()...), windowRows()...)
}

// messageRows bound what one request may hold.
func messageRows() []Row {
	return []Row{
		field(Row{Name: "event_bytes", What: "one event: payload, metadata and all", Unit: Bytes, Default: 1 * MiB, Min: 1 * KiB, Max: 16 * MiB,
			Reason: "an event is held whole in memory by everyone it passes; larger things belong beside the log"},
			func(l *Limits) *int { return &l.EventBytes }),
		field(Row{Name: "commit_bytes", What: "one commit", Unit: Bytes, Default: 4 * MiB, Min: 4 * KiB, Max: 64 * MiB,
			Reason: "a commit is one Raft entry, written and sent whole; while it travels nothing else of its shard does"},
			func(l *Limits) *int { return &l.CommitBytes }),
		field(Row{Name: "commit_events", What: "events in a commit", Unit: Count, Default: 4096, Min: 1, Max: 65536,
			Reason: "judging a commit holds up the shard for every event in it"},
			func(l *Limits) *int { return &l.CommitEvents }),
		field(Row{Name: "commit_streams", What: "streams in a commit", Unit: Count, Default: 256, Min: 1, Max: 4096,
			Reason: "each stream's head may cost a read before the commit is judged"},
			func(l *Limits) *int { return &l.CommitStreams }),
		field(Row{Name: "commit_actions", What: "actions in a commit", Unit: Count, Default: 256, Min: 1, Max: 4096,
			Reason: "each action becomes a delivery of its own"},
			func(l *Limits) *int { return &l.CommitActions }),
		field(Row{Name: "entry_bytes", What: "commits gathered in one Raft entry", Unit: Bytes, Default: 1 * MiB, Min: 4 * KiB, Max: 64 * MiB,
			Reason: "beyond it a larger batch no longer pays for the latency it adds; a single commit may exceed it"},
			func(l *Limits) *int { return &l.EntryBytes }),
		field(Row{Name: "key_bytes", What: "a key", Unit: Bytes, Default: 1 * KiB, Min: 64, Max: 4 * KiB,
			Reason: "keys are stored in full with every event and in the index"},
			func(l *Limits) *int { return &l.KeyBytes }),
		field(Row{Name: "topic_bytes", What: "a topic's name", Unit: Bytes, Default: 128, Min: 16, Max: 128,
			Reason: "names are stored with every event and shown in tables"},
			func(l *Limits) *int { return &l.TopicBytes }),
		field(Row{Name: "id_bytes", What: "an event's or command's id", Unit: Bytes, Default: 256, Min: 36, Max: 1 * KiB,
			Reason: "room for a UUID or a URN; ids are compared on every append"},
			func(l *Limits) *int { return &l.IDBytes }),
		field(Row{Name: "type_bytes", What: "an event's type", Unit: Bytes, Default: 256, Min: 16, Max: 1 * KiB,
			Reason: "room for a reverse domain name; types are compared on every filtered read"},
			func(l *Limits) *int { return &l.TypeBytes }),
		field(Row{Name: "metadata_entries", What: "metadata entries of an event", Unit: Count, Default: 64, Min: 4, Max: 1024,
			Reason: "metadata is a map, sorted on every encoding"},
			func(l *Limits) *int { return &l.MetadataEntries }),
		field(Row{Name: "metadata_bytes", What: "names and values of an event's metadata together", Unit: Bytes, Default: 16 * KiB, Min: 1 * KiB, Max: 256 * KiB,
			Reason: "metadata is for routing and tracing; content belongs in the payload"},
			func(l *Limits) *int { return &l.MetadataBytes }),
		field(Row{Name: "tags", What: "tags of an event", Unit: Count, Default: 32, Min: 1, Max: 256,
			Reason: "every tag is an index entry"},
			func(l *Limits) *int { return &l.Tags }),
		field(Row{Name: "tag_bytes", What: "a tag", Unit: Bytes, Default: 256, Min: 16, Max: 1 * KiB,
			Reason: "tags are index keys"},
			func(l *Limits) *int { return &l.TagBytes }),
		field(Row{Name: "state_bytes", What: "a carried state", Unit: Bytes, Default: 1 * MiB, Min: 1 * KiB, Max: 16 * MiB,
			Reason: "a state is loaded whole whenever a cold entity wakes"},
			func(l *Limits) *int { return &l.StateBytes }),
		field(Row{Name: "reply_bytes", What: "a reply", Unit: Bytes, Default: 256 * KiB, Min: 1 * KiB, Max: 4 * MiB,
			Reason: "replies are kept in the log for the id window"},
			func(l *Limits) *int { return &l.ReplyBytes }),
	}
}

// storeRows bound what a node keeps.
func storeRows() []Row {
	return []Row{
		field(Row{Name: "segment_bytes", What: "a segment file; recorded in each shard's first segment", Unit: Bytes, Default: 64 * MiB, Min: 4 * MiB, Max: 1 * GiB,
			Reason: "the unit of sealing, indexing and shipping; at least 4 × the largest entry, so that little of it is left empty"},
			func(l *Limits) *int64 { return &l.SegmentBytes }),
		field(Row{Name: "uncommitted_bytes", What: "proposed and not yet committed, per shard", Unit: Bytes, Default: 64 * MiB, Min: 1 * MiB, Max: 1 * GiB,
			Reason: "what a leader cut off from its peers may gather in memory before it answers busy"},
			func(l *Limits) *int64 { return &l.UncommittedBytes }),
		field(Row{Name: "in_flight_bytes", What: "received and not yet answered, per connection", Unit: Bytes, Default: 16 * MiB, Min: 64 * KiB, Max: 1 * GiB,
			Reason: "one caller cannot fill the memory; past it the connection is no longer read"},
			func(l *Limits) *int64 { return &l.InFlightBytes }),
		field(Row{Name: "shards", What: "shards of a cluster", Unit: Count, Default: 64, Min: 1, Max: 1024,
			Reason: "each shard is a log with its own syncs and its own memory"},
			func(l *Limits) *int { return &l.Shards }),
		field(Row{Name: "topics", What: "topics of a cluster", Unit: Count, Default: 10_000, Min: 1, Max: 100_000,
			Reason: "topics are held in the memory of every node; what is many is a key"},
			func(l *Limits) *int { return &l.Topics }),
		field(Row{Name: "heads_cache_bytes", What: "cache of the newest revision of streams", Unit: Bytes, Default: 128 * MiB, Min: 64 * KiB, Max: 64 * GiB,
			Reason: "a hit spares an index read before a conditional append"},
			func(l *Limits) *int64 { return &l.HeadsCacheBytes }),
		field(Row{Name: "block_cache_bytes", What: "cache of index blocks", Unit: Bytes, Default: 64 * MiB, Min: 1 * MiB, Max: 64 * GiB,
			Reason: "it lives on the Go heap; the page cache holds the rest"},
			func(l *Limits) *int64 { return &l.BlockCacheBytes }),
		field(Row{Name: "entity_cache_bytes", What: "cache of the events and states of hot entities", Unit: Bytes, Default: 256 * MiB, Min: 1 * MiB, Max: 64 * GiB,
			Reason: "a hit spares loading an entity before a decision"},
			func(l *Limits) *int64 { return &l.EntityCacheBytes }),
	}
}

// windowRows bound how long ids are remembered.
func windowRows() []Row {
	return []Row{
		field(Row{Name: "id_window_events", What: "events back in which a repeated id is recognised", Unit: Count, Default: 10_000_000, Min: 1000, Max: 1_000_000_000,
			Reason: "every id in the window is kept in the index; the nearer of this and id_window ends it"},
			func(l *Limits) *int64 { return &l.IDWindowEvents }),
		field(Row{Name: "id_window", What: "recorded time back in which a repeated id is recognised", Unit: Duration, Default: int64(24 * time.Hour), Min: int64(time.Second), Max: int64(366 * 24 * time.Hour),
			Reason: "longer than a caller retries; the nearer of this and id_window_events ends it"},
			func(l *Limits) *time.Duration { return &l.IDWindow }),
	}
}
