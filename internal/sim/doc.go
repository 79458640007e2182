// Package sim runs a whole group of shards in one goroutine from a seed: the real replica, log, index and judging code over
// simulated disks, clocks and a simulated network, with clients that retry.
//
// One seed gives one run, always the same: every choice (which message arrives, is lost or doubled; when a write reaches the disk;
// who crashes in the middle of it, and what the disk then forgets; who is cut off from whom) comes from one generator, and
// nothing runs beside anything else.
//
// Nodes fall so far behind that they are offered segments, and fetch and install them over links that break and change bytes. Sealed
// segments rot, and the newest one; in a third of the runs a fourth node joins from an empty folder.
//
// With Config.Members the group's members change all the time, by the decisions that a host makes (package cluster): nodes are added,
// promoted several at once, removed, lost and replaced, and leaders moved, also by what a leader saw a while ago. RunMeta plays the meta
// group in the same way: changes are asked of every node, forwarded to the leader by calls that lose answers, and replicas that are far
// behind take the whole state.
//
// What is checked, at the end of each run and in part on the way:
//
//   - nothing acknowledged is lost: every event is where its caller was told, once;
//   - the logs of all members agree entry by entry, and no committed entry ever changes;
//   - offsets have no gaps, nor have the revisions of any stream;
//   - conditions and heads are linearizable (porcupine, stream by stream);
//   - a repeated id gets the first outcome; an answer that wrote nothing left nothing in the log;
//   - damage is found where there is some and nowhere else, is never served, and none is left at the end;
//   - no term has two leaders, and every replica of the meta group has the same state at the same entry;
//   - the index gives what a plain fold of the log gives.
package sim
