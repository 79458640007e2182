// Package node builds, opens, runs and closes one Gesta server. It is the only place that knows everybody: it reads the
// configuration, locks the data folder, opens the meta group, the index and the shard, puts the gateway before them and the
// doors before the gateway, and picks the metrics from what the packages report through their listeners.
//
// It promises:
//   - A configuration that is wrong is refused before anything is touched, in a sentence that names the setting.
//   - One process per data folder; a folder of a newer format, or that is not a data folder, is refused untouched.
//   - Nothing is served beyond loopback without TLS unless insecure is set.
//   - Close drains: new work is refused, what is under way finishes within the drain timeout, readers that follow are told,
//     then the log is closed with a durable mark. A second signal stops at once, which is no worse than a crash.
//   - Below the disk floor appends are refused with no_space, reads go on; above it appends go on by themselves.
//
// It does not know how events are judged, stored or encoded.
//
// # The data folder
//
//	node.yaml   format version, node id, incarnation, cluster id, and a check of those lines
//	lock        held by the process that runs
//	shards/     the truth
//	meta/       the meta group
//	index/      derived
//
// node.yaml is written once, to a temporary name, synced, renamed, and the folder synced, before anything else is created in
// the folder: a crash before the rename leaves a folder without anything of worth, which the next start takes as new; after
// it the identity never changes.
package node
