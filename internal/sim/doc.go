// Package sim runs a whole group of shards in one goroutine from a seed: the real replica, log, index and judging code over
// simulated disks, clocks and a simulated network, with clients that retry.
//
// One seed gives one run, always the same: every choice (which message arrives, is lost or doubled; when a write reaches the disk;
// who crashes in the middle of it, and what the disk then forgets; who is cut off from whom) comes from one generator, and
// nothing runs beside anything else.
//
// What is checked, at the end of each run and in part on the way:
//
//   - nothing acknowledged is lost: every event is where its caller was told, once;
//   - the logs of all members agree entry by entry, and no committed entry ever changes;
//   - offsets have no gaps, nor have the revisions of any stream;
//   - conditions and heads are linearizable (porcupine, stream by stream);
//   - a repeated id gets the first outcome; an answer that wrote nothing left nothing in the log;
//   - the index gives what a plain fold of the log gives.
package sim
