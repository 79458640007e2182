package index

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// sortKey is a stream with the first bytes in which it differs from its neighbours, so that most comparisons touch no key.
type sortKey struct {
	prefix uint64
	stream uint32
}

// sortedStreams gives the streams by topic, in the order of topics, and key.
func (b *builder) sortedStreams() []uint32 {
	t := b.t
	of := make([][]sortKey, len(t.topics))
	for i := range of {
		of[i] = make([]sortKey, 0, t.topics[i].streams)
	}
	for i := range t.streams.len() {
		topic := t.streams.at(i).topic
		of[topic] = append(of[topic], sortKey{stream: i})
	}
	sorted := make([]uint32, 0, t.streams.len())
	for _, topic := range b.topics {
		t.sortKeys(of[topic])
		for _, k := range of[topic] {
			sorted = append(sorted, k.stream)
		}
	}
	return sorted
}

func (t *table) sortKeys(keys []sortKey) {
	if len(keys) < 2 {
		return
	}
	first := t.key(t.streams.at(keys[0].stream))
	shared := len(first)
	for _, k := range keys[1:] {
		shared = commonPrefix(first[:shared], t.key(t.streams.at(k.stream)))
	}
	for i := range keys {
		keys[i].prefix = prefix64(t.key(t.streams.at(keys[i].stream))[shared:])
	}
	slices.SortFunc(keys, func(x, y sortKey) int {
		if c := compare(x.prefix, y.prefix); c != 0 {
			return c
		}
		return bytes.Compare(t.key(t.streams.at(x.stream)), t.key(t.streams.at(y.stream)))
	})
}

func prefix64(b []byte) uint64 {
	var p [8]byte
	copy(p[:], b)
	return binary.BigEndian.Uint64(p[:])
}

// ids gives the table's ids, sorted by hash and offset.
func (b *builder) ids() []idEntry {
	t := b.t
	all := make([]idEntry, 0, t.rows.len()+t.commands.len())
	for i := range t.rows.len() {
		r := t.rows.at(i)
		all = append(all, idEntry{r.hash, t.base + uint64(r.offset)})
	}
	for i := range t.commands.len() {
		c := t.commands.at(i)
		all = append(all, idEntry{c.hash, c.offset})
	}
	sortIDs(all)
	return all
}

// sortIDs spreads the entries over buckets by their highest bits, which are random, and sorts the small buckets.
func sortIDs(all []idEntry) {
	const spreadBits = 12
	if len(all) < 1<<spreadBits {
		sortFew(all)
		return
	}
	var ends [1<<spreadBits + 1]int
	for _, e := range all {
		ends[e.hash>>(64-spreadBits)+1]++
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	spread := make([]idEntry, len(all))
	next := ends
	for _, e := range all {
		i := e.hash >> (64 - spreadBits)
		spread[next[i]] = e
		next[i]++
	}
	for i := range 1 << spreadBits {
		sortFew(spread[ends[i]:ends[i+1]])
	}
	copy(all, spread)
}

func sortFew(ids []idEntry) {
	slices.SortFunc(ids, func(x, y idEntry) int {
		if c := compare(x.hash, y.hash); c != 0 {
			return c
		}
		return compare(x.offset, y.offset)
	})
}
