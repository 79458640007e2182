// Package replica is one member of a Raft group whose log is a segment log: the entries of Raft are the entries of the log,
// and there is no second copy.
//
// # What it promises
//
// An entry is acknowledged to the group only after it is on stable storage here (Write, then Wrote). Committed entries are
// applied once per open, in order, without gaps. Proposals are never forwarded: Propose either gives the entry the index
// Next() in the current term, or leaves nothing behind.
//
// # What it does not know
//
// Time (Tick is told), the network (messages are values it returns and takes), the disk's schedule (a Write is a value that the
// owner stores when and where it likes, in order), and what is in the entries.
//
// # What is stored where
//
// Entries and the commit index go into the log. Term, vote, configuration and doubt go into the file hardstate, written twice,
// and only when one of them changes; it is written before the entries that came with it, so the log never holds an entry of a
// term that the hard state has not seen. The commit index is not written for its own sake: it rides in the next batch, and at
// open it is the highest one found, clamped to the last index. Losing a newer one costs a repeat of the commit, never an entry.
//
// # The doubt rule
//
// When the log is opened and its one unmarked last batch is damaged, that batch is cut (see seglog). It may never have been
// acknowledged (a torn write at a power cut), or it may have been (damage afterwards); the two look alike. Among several voters,
// a replica that cut therefore keeps the highest index and term that the batch may have held as its doubt, durably. While its last
// index is below its doubt it neither grants a vote to a log that is older than it, in Raft's order of term and index, nor asks for real votes, except when every other voter
// has announced its log since the restart (pre-votes carry it) and the candidate's log is at least as new as all of them: then
// nobody has what was lost. Nor does it listen to a leader that already led before the restart: that one may count the cut
// entries as stored here, and Raft never counts down. It asks it to hand over to another voter; failing that, its silence costs
// the leader its quorum. A leader of a later term counts anew. When it has caught up, Raft's own rule protects again and the doubt is void.
package replica
