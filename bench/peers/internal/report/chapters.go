package report

// The sections beside the figures of a single node.
const (
	Growth   = "growth"
	Filters  = "filters"
	Cluster  = "cluster"
	Entities = "entities"
)

// chapters are the sections in the order in which they are shown, each with its bars.
var chapters = []chapter{
	{Growth, "Growth", `Single-event commits of 256 bytes go to 2,000,000 streams, chosen uniformly, until the log has 20,000,000. ` +
		`The rate over the last five seconds is compared with that over the five seconds from the 100,000th event on, and, since a disk changes its pace within minutes, ` +
		`the grown server also appends in turn with one that has 100,000 events, in rounds. RssAnon is the largest of all samples, each second. ` +
		`Ready is the time from the start of the process until ` + "`/ready`" + ` says so; the files are in the page cache. ` +
		`The index is the folder ` + "`index/`" + ` and the tables beside the segments, each file counted once.`, []row{
		{what: "events", work: "events in the log", unit: "events"},
		{what: "rate", work: "append rate over the whole growth", unit: "events/s"},
		{what: "first", work: "append rate from the 100,000th event on", unit: "events/s"},
		{what: "last", work: "append rate at the end", unit: "events/s", over: "first", than: "the rate at 100 thousand", bar: limit{least: 0.85}},
		{what: "grown", work: "append rate, grown, in turn with a small one", unit: "events/s", over: "small", than: "the small one's", bar: limit{least: 0.85}},
		{what: "anon", work: "RssAnon while growing, the most", unit: "MiB", bar: limit{most: 512}},
		{what: "ready clean", work: "ready after a clean stop", unit: "s", bar: limit{most: 1}},
		{what: "ready killed", work: "ready after kill -9 while appending", unit: "s", bar: limit{most: 5}},
		{what: "log", work: "log", unit: "MiB"},
		{what: "index", work: "index, ids included", unit: "MiB", over: "log", than: "the log", bar: limit{most: 0.1}},
		{what: "ready no index", work: "ready after the folder index/ was deleted", unit: "s", bar: limit{most: 60}},
		{what: "ready no tables", work: "ready after the tables beside the segments were deleted too", unit: "s", bar: limit{most: 60}},
		{what: "progress lines", work: "progress lines in the log meanwhile", unit: "lines", bar: limit{least: 1}},
		{what: "anon ready", work: "RssAnon when ready again", unit: "MiB"},
	}},
	{Filters, "Filters, one topic of many, and idle followers", `1,000,000 events of 256 bytes are dealt to 1,000 topics in turn; one in 1,000 has the type that is looked for, another one the tag. ` +
		`A round reads the whole shard, then each part; ratios are formed within the round, page cache warm. Followers are streams of server-sent events, each on a connection of its own.`, []row{
		{what: "all", work: "everything", unit: "ms"},
		{what: "type", work: "1 in 1,000 by type", unit: "ms"},
		{what: "type faster", work: "… as fast as everything", unit: "×", bar: limit{least: 100}},
		{what: "tag", work: "1 in 1,000 by tag", unit: "ms"},
		{what: "tag faster", work: "… as fast as everything", unit: "×", bar: limit{least: 100}},
		{what: "topic", work: "one topic among 999 others", unit: "ms"},
		{what: "topic cost", work: "… cost of a byte, by that of the whole shard", unit: "×", bar: limit{most: 3}},
		{what: "sse memory", work: "1,000 idle followers: resident memory they add", unit: "MiB", bar: limit{most: 100}},
		{what: "sse cpu", work: "1,000 idle followers: processor", unit: "% of a core", bar: limit{most: 2}},
		{what: "sse deliver", work: "one event to all 1,000", unit: "ms"},
	}},
	{Cluster, "Three nodes", `Three nodes on the one machine and disk, so each event is written three times on it; beside them etcd with three members, and one node of Gesta alone, in turn, in rounds. ` +
		`An acknowledged event is synced (fdatasync) on a majority. Clients know all three addresses. Failover is the longest time without an acknowledgement to 16 callers ` +
		`when the leader is killed (kill -9); what was acknowledged is looked for in the log afterwards. ` +
		`A new node joins two that hold the log; its rate is that of the log's bytes until it votes with all of them, beside plain writes to a file on the same disk just before.`, []row{
		{what: "gesta 64", work: "single appends, 64 callers", unit: "events/s", over: "etcd 64", than: "etcd's with 3 nodes", bar: limit{least: 3}},
		{what: "etcd 64", work: "etcd, 3 nodes, 64 callers", unit: "events/s"},
		{what: "gesta 256", work: "single appends, 256 callers", unit: "events/s", over: "single 256", than: "one node's", bar: limit{least: 0.3}},
		{what: "gesta 256 p99", work: "… p99", unit: "ms"},
		{what: "single 256", work: "one node, 256 callers", unit: "events/s"},
		{what: "etcd 256", work: "etcd, 3 nodes, 256 callers", unit: "events/s"},
		{what: "partitions 8", work: "a topic of 8 partitions, 256 callers", unit: "events/s", over: "partitions 1", than: "one of 1", bar: limit{least: 0.6}},
		{what: "failover", work: "failover after kill -9 of the leader", unit: "s", bar: limit{median: 1, most: 2}},
		{what: "catch-up", work: "a new node catching up", unit: "MiB/s", over: "plain write", than: "the disk's plain writes", bar: limit{least: 0.3}},
		{what: "plain write", work: "plain writes to a file, synced at the end", unit: "MiB/s"},
		{what: "log caught up", work: "log that it caught up", unit: "MiB"},
		{what: "appends meanwhile", work: "appends while it catches up, 64 callers", unit: "events/s", over: "appends before", than: "before", bar: limit{least: 0.6}},
		{what: "appends before", work: "appends before", unit: "events/s"},
	}},
	{Entities, "Entities", `Commands to entities through a handler that is attached by one stream, beside plain appends of the same run; server, handler and callers share the machine. ` +
		`Each command causes one event of 256 bytes, durable before the answer.`, []row{
		{what: "attach", work: "commands through Attach, 256 callers, 10,000 entities, hot", unit: "/s", over: "appends", than: "plain appends", bar: limit{least: 0.5}},
		{what: "attach p99", work: "… p99", unit: "ms"},
		{what: "appends", work: "plain appends of the same run", unit: "events/s"},
		{what: "in process", work: "commands in process", unit: "/s", over: "in process appends", than: "plain appends", bar: limit{least: 0.75}},
		{what: "one entity", work: "one entity, 64 callers", unit: "/s", bar: limit{least: 5000}},
		{what: "cold p50", work: "cold load, 10,000 events, carried state every 100: p50", unit: "ms"},
		{what: "cold p99", work: "cold load: p99", unit: "ms", bar: limit{most: 5}},
		{what: "touched", work: "entities touched once", unit: "entities"},
		{what: "touched over", work: "RssAnon then, beyond the cache's budget of 256 MiB", unit: "MiB", bar: limit{most: 256}},
	}},
}
