// Package partition tells in which of a topic's partitions a key lies. Who knows a topic's shards can find the shard of a stream by it,
// in any language:
//
//	shard = partitions[XXH64(key, seed 0) mod len(partitions)]
//
// The key's bytes are those of its UTF-8 text, the hash is taken as an unsigned number of 64 bits, and the partitions stand in the order
// in which the topic tells them. It promises never to give another answer: what is stored could not be found any more.
package partition

import "github.com/cespare/xxhash/v2"

// Of gives the place of a key's partition among n, from 0; n is at least 1.
func Of(key []byte, n int) int {
	if n == 1 {
		return 0
	}
	return int(xxhash.Sum64(key) % uint64(n))
}
