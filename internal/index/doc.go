// Package index finds events: by stream and revision, by topic, by type and tag, by offset, by recorded time and by id; and the
// states that commits carry, by stream and revision. It counts events over time. It is derived from one shard's log and holds nothing
// that the log does not: delete its folder and it is built again.
//
// # What it promises
//
//   - Every event added is found by every way, in the order of the log, whether its segment is still in memory or was
//     ingested, also while it moves from the one to the other: a reader may cross the change at any point.
//   - ActiveHead and ActiveIDs read memory only. SealedHead and SealedIDs may read the disk; an id or a stream that was
//     never seen costs about a microsecond and no disk.
//   - What it keeps in memory has a budget that does not depend on the number of streams or of ingested events; the tables of
//     unsealed segments come on top (see Options).
//   - Ingested tells the truth after any crash: a segment is in whole, or not at all.
//   - Equal segments give equal tables, byte for byte.
//
// # What it does not know
//
// Entries, records and their checksums: a Loc is handed back as it was given. Ids are known by their hash alone, so what
// SealedIDs and ActiveIDs return are candidates, to be compared with the record; so is what Find finds by types and tags. Nothing
// is known of commits, windows in time, leadership or durability: only what is committed and applied is added.
//
// DESIGN.md beside this file has the format in byte tables, the crash argument, and what was measured.
package index
