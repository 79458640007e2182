// Package shard is one log of events: it judges conditions, numbers events, and gives them back in one order.
//
// # What it promises
//
//   - An accepted commit is answered when its entry is committed by the group, never before. Offsets and revisions have no gaps.
//   - A condition is judged against everything committed and everything this leader has itself proposed; what it refuses was
//     true to refuse. See "Answers that write nothing".
//   - A repeated event or command id within the window gets the first outcome; with an exact expected revision, for ever.
//   - Readers see applied entries only, whole commits at a time, in the one order.
//
// # How it is built
//
// Core is the whole of judging, proposing, applying and releasing; it is stepped by one goroutine and takes time, messages and
// stored writes as arguments, so that a simulator can run three of them from a seed. Shard is the runtime around one Core: a
// loop, a goroutine that stores (and writes marks when idle), one that prepares and seals segments, and readers.
//
// The core never reads the disk. What a judgement needs from sealed segments (heads, events with the same id) is looked up in
// Resolve, by the submitting goroutine, before the task is queued; the generation of the index tells whether a segment was
// sealed in between, in which case the look-ups are made again. What is not sealed is in memory and is asked at judging.
//
// # Why judging before logging is safe
//
// The log holds only accepted facts, judged by a leader before they were replicated. This needs: proposals are never forwarded; a
// leader judges only after an entry of its own term is applied, so every entry of earlier terms is in its index; it counts what
// it has proposed (proposed); entries of one term commit in order or not at all; an entry carries the term and the first offset it
// was judged for, and Apply refuses anything else; a change of role or term forgets everything that was judged.
//
// # Answers that write nothing
//
// A conflict, a repeated outcome or a head may rest on entries that are proposed and may still be lost, or be given by a replica
// that no longer leads without knowing. So each waits until what was proposed at its judgement is applied, and until this replica
// is confirmed as the leader by something that happened after the judgement: a later entry of its own that is applied, or a
// ReadIndex round. One confirmation serves all answers that wait for one.
//
// # A replica that is far behind
//
// is offered a Manifest (Options.Offered): the leader's sealed segments. Its host runs Fetch beside the open shard, closes the shard, runs
// Install, opens it again, and calls ReportSnapshot on the leader's shard. Files that come in are verified whole before they get a
// segment's name, are durable before anything depends on them, and are not fetched twice. The crash argument of Install is in
// install.go; why what the log had beyond may go is in package replica.
//
// # An entry
//
//	prelude | [command [reply]] [state] event … event* | [command [reply]] [state] event … event* | …     (* carries EndOfCommit)
//
// Formats are in package event, the framing and checksums of records in package seglog.
package shard
