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
// the leader its quorum; one that is the only voter is told of a newer term. A leader of a later term counts anew. When it has caught up, Raft's own rule protects again and the doubt is void.
//
// The voters are those of the newest configuration that is applied here. The group's own may be newer by one change, since a leader
// proposes the next only when it has applied the one before, says with its entries that that is committed, and an acknowledgement leaves
// here only after it was applied, and saved. New voters therefore come through a joint configuration always: until it is left, what is
// committed is stored by a majority of the voters that are known here, too.
//
// # A replica that is far behind
//
// To Raft the log begins a few segments before the active one (Config.Behind), never above what is sealed, so committed and applied;
// what is before stays readable for readers. A leader offers a replica that is below that a snapshot: the machine's own data
// (Config.Snapshot), with the configuration as of its last entry. The hard state keeps the configurations back to the newest sealed
// segment, so that adding a replica, which is itself an entry behind it, never has to wait for a segment to fill.
//
// Raft never sees the offer here: it would throw the log away at once. It is stepped the empty append of the same entry instead, which
// says the same: that entry is committed. If the log has it, Raft answers so and nothing is missing. Otherwise the offer leaves by
// Output.Offers, and the replica goes on as it is: it votes, and appends what it is sent. Its owner fetches the data, closes the
// replica, does Install, opens it again, and has the leader's ReportSnapshot called. Nothing rests on that call, nor on the offer's
// arriving: a leader that hears nothing for some election timeouts offers again, and the answer tells where the replica is.
//
// Install drops what the log has beyond the place where it parts from the offered one. Let (i, t) be the offered entry, which is
// committed and which the log lacks; the owner asks by Disk.Holds when the replica is closed, for the log may have caught up meanwhile.
// Suppose that an entry above i in this log was committed, now or later, by a leader that counted this replica's acknowledgement. The
// logs of that leader and of all later ones hold it, and hold (i, t) or will; two logs that share an entry are the same up to it;
// so this log would have (i, t). It has not, so no such entry is needed, and an append of the leader would replace it as well. Term
// and vote are kept; the term is raised to t when it is lower, without a vote. A doubt is kept too: it is void when the log reaches
// it, by entries or by what is installed, and until then the rule below holds.
//
// A replica that is not in its configuration never campaigns: it is opened with the group's first configuration, takes entries from 1 or
// an offer, and learns from them who is in the group.
//
// # Damage
//
// Damage in a sealed segment that a peer wants entries of makes the log begin behind it for peers, who are offered a snapshot. Damage in
// what this replica itself must read ends it (Output.Damage).
//
// A last segment that is damaged beyond the one doubtful batch is not opened, or, among several voters and when the options say so
// (seglog.Options.Salvage), cut at the damage. What was cut may have been acknowledged and committed, as in a doubtful batch that rotted;
// there is only more of it, so the doubt rule holds for it as it stands: the doubt is the highest index that the segment can have held, in
// the term of the hard state, which no entry of the log exceeds. The replica catches up as one that never had the entries.
//
// A hard state with no whole copy is not opened: what was voted is not known, and nothing bounds it. Such a replica comes back as another
// one, with an empty folder and a new number, and its group removes the old one.
package replica
