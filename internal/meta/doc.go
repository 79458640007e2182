// Package meta keeps the cluster's small declared state: topics now, other resources later. It is a Raft group of its own.
//
// # What it promises
//
// A change is answered when it is committed by the group and applied here. Reads are answered from memory, from the newest state
// applied here. The state survives as a snapshot and the log behind it; it is the one thing in a data folder that is not
// a fold of a shard's log, and is backed up with the logs.
//
// # What it does not know
//
// What is in the shards: whether a topic is empty is asked of who calls DeleteTopic.
//
// # Format
//
//	meta/*.seg      the log (see seglog); an entry's record of kind 1 is one command in JSON
//	meta/hardstate  see replica
//	meta/snapshot   magic u32 | format u32 | length u32 | crc32c of all the rest u32 | state in JSON, up to and including its "index"
//
// A snapshot is written to a temporary file, synced and renamed; only then segments wholly below it are removed. A crash in between
// leaves entries that the snapshot already covers: applying begins behind its index.
package meta
