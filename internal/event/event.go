// Package event holds the words the floors above share: a commit as it is asked of a shard, a starting point, a read, and
// the records a commit leaves in the log.
//
// What it promises. DecodeAppendRequest is the one gate for what enters the log: a *Commit that came out of it is within the
// limits, has valid names, no stream and no id twice, and carries each event in its canonical encoding (the deterministic
// protobuf encoding of gesta.v1.Event), so that equal events are equal bytes on every replica and in every comparison.
// ParsePoint is the one reading of the starting point grammar. The records' formats are fixed here (records.go) and only ever
// get newer versions beside the old.
//
// What it does not know: disk, network, time, consensus, who the caller is, and whether a stream is in the state that is
// expected of it.
//
// Every decoder may be given any bytes: it fails with a code (invalid, too_large or unsupported for what a caller sent,
// corrupt for what the log holds), never by a panic, and never allocates more than a small multiple of its input.
package event
