// Package gateway is the one set of use cases that every door calls: authorise, bound, route, do.
//
// It promises:
//   - Calls submitted together, or one after another from one goroutine, reach their shard in that order.
//   - Every submitted call is done exactly once.
//   - A topic that an append names exists before the append is judged: it is created, and reported as created, or the append
//     is refused with not_found when it must not be. A topic is deleted only while no append to it is on its way (DeleteTopic).
//   - What is full, draining, without disk space or forbidden is refused before it reaches the log.
//
// It knows no protocol: it takes and gives the words of package event, and errors with codes. It does not know how a shard
// judges or where it keeps anything: Shard and Topics are what it needs of them, and no more.
package gateway
