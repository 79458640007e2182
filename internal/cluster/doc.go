// Package cluster makes one of many nodes: it finds out which cluster a data folder belongs to, opens the groups that have a replica
// here, keeps each group's members what the meta group says they shall be, and brings appends and reads to the replica that can
// serve them.
//
// There is one mechanism for every change: the meta group's state says what shall be (members, shards and their places), and each
// node compares it, now and then and when it changes, with what is: the leader of a group changes the group's configuration, a
// node opens what it shall hold. Whoever asks for a change writes the wish and is done; a crash in between loses nothing.
//
// # Forming
//
// A folder knows its cluster by three things in its identity: the cluster's id, and the founders, which are the meta group's first
// voters, and its own number. A new folder gets them in one of three ways:
//
//   - Alone: it founds a cluster of one.
//   - Founding together (initial members): every node asks all others who they are. Only when each of them has answered, under the
//     name it was listed with, that its folder is new, the numbers of all are known, and every node computes the same cluster id and
//     the same founders from them. A node that is asked makes its number durable before it answers, so who comes later finds either
//     new folders with the same numbers, or a cluster that names its founders. A folder that is not among those, because it was
//     lost and made anew, does not found: it asks to be taken in, and its name is refused until the lost one is removed.
//   - Joining: it asks any node of the cluster, which has it written to the meta group, and answers with the cluster's id and founders.
//
// # What it does not know
//
// How nodes reach each other (Transport), what callers may do, what an event is.
package cluster
