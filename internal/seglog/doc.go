// Package seglog is the segment log: the one place where an event is written.
//
// # What it promises
//
// Entries have gapless indexes. Append returns when the entries are on stable storage (one write and one SyncData per batch),
// or with an error that says whether the log may still be written to. What Append has acknowledged is found again by Open, or
// Open fails with errs.Corrupt and names file and offset; the single exception is the one last batch that no mark and no later
// batch follows: when that is damaged, a power cut in the middle of its write and later damage look alike, so it is cut, and the
// cut is always reported. Every byte read is verified against a checksum before it is returned. Reads never wait for the writer.
//
// # What it does not know
//
// Events, streams, terms' meaning, or who else holds a copy. It runs no goroutines and measures time only for its listener.
//
// # What it stores
//
// A folder of segment files, each named after its first index. A segment ends after the entry that fills it: a pure function of
// its first index, its entries' sizes and the segment size recorded in it, so all replicas of a log cut it at the same places.
// DESIGN.md beside this file has the byte tables and the crash argument of each write path.
package seglog
