// Package event holds the words the floors above share: a commit as it is asked of a shard, a starting point, a read, and the
// records a commit leaves in the log.
package event
