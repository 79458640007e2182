// Package peer carries everything that the nodes of a cluster say to each other: Raft's messages, questions, commits for a
// shard's leader, reads of shards that are elsewhere, and files. DESIGN.md holds the protocol, the limits and what happens when
// something fails.
//
// What it promises. Send never blocks, and messages of one class to one peer arrive in their order or not at all. Bulk never
// delays a heartbeat: control messages, entries, calls and files have a connection each. Every queue has a bound. A commit that
// was handed to Submit has exactly one outcome, and a true one: what may have reached the leader and was not answered is
// unknown_outcome. A node speaks only with the cluster, the incarnation and the versions it means to.
//
// What it does not know: who is a member, who leads, what is in a message, a call or a file, and whether a caller may do what
// it asks. The host tells (Handler, Resolver, Options.Admit).
package peer
