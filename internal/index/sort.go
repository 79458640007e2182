package index

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// keyed is something to sort: a stream with the first bytes in which it differs from its neighbours, so that few comparisons
// touch a key; or an id's hash with the offset filed under it.
type keyed struct{ key, value uint64 }

// sortedStreams gives the streams by topic, in the order of topics, and key.
func (b *builder) sortedStreams() []uint32 {
	t := b.t
	of := make([][]keyed, len(t.topics))
	for i := range of {
		of[i] = make([]keyed, 0, t.topics[i].streams)
	}
	for i := range t.streams.len() {
		topic := t.streams.at(i).topic
		of[topic] = append(of[topic], keyed{value: uint64(i)})
	}
	sorted := make([]uint32, 0, t.streams.len())
	for _, topic := range b.topics {
		for _, k := range t.sortKeys(of[topic]) {
			sorted = append(sorted, uint32(k.value))
		}
	}
	return sorted
}

func (t *table) sortKeys(keys []keyed) []keyed {
	if len(keys) < 2 {
		return keys
	}
	first := t.key(t.streams.at(uint32(keys[0].value)))
	shared := len(first)
	for _, k := range keys[1:] {
		shared = commonPrefix(first[:shared], t.key(t.streams.at(uint32(k.value))))
	}
	for i := range keys {
		keys[i].key = prefix64(t.key(t.streams.at(uint32(keys[i].value)))[shared:])
	}
	keys = radixSort(keys)
	for at := 0; at < len(keys); {
		end := at + 1
		for end < len(keys) && keys[end].key == keys[at].key {
			end++
		}
		slices.SortFunc(keys[at:end], func(x, y keyed) int {
			return bytes.Compare(t.key(t.streams.at(uint32(x.value))), t.key(t.streams.at(uint32(y.value))))
		})
		at = end
	}
	return keys
}

const (
	digitBits = 11
	digits    = 1 << digitBits
	// fewKeys is below which comparing is faster than counting.
	fewKeys = 1024
)

// radixSort orders by key and keeps the order of equals, in as many passes as there are digits that differ. It returns keys or a list of the same length.
func radixSort(keys []keyed) []keyed {
	if len(keys) < fewKeys {
		slices.SortStableFunc(keys, func(x, y keyed) int { return compare(x.key, y.key) })
		return keys
	}
	var differ uint64
	for _, k := range keys {
		differ |= k.key ^ keys[0].key
	}
	var other []keyed
	for shift := 0; shift < 64; shift += digitBits {
		if differ>>shift&(digits-1) == 0 {
			continue
		}
		if other == nil {
			other = make([]keyed, len(keys))
		}
		var next [digits]uint32
		for _, k := range keys {
			next[k.key>>shift&(digits-1)]++
		}
		at := uint32(0)
		for i, n := range next {
			next[i], at = at, at+n
		}
		for _, k := range keys {
			digit := k.key >> shift & (digits - 1)
			other[next[digit]] = k
			next[digit]++
		}
		keys, other = other, keys
	}
	return keys
}

func prefix64(b []byte) uint64 {
	var p [8]byte
	copy(p[:], b)
	return binary.BigEndian.Uint64(p[:])
}

// ids gives the table's ids, sorted by hash.
func (b *builder) ids() []keyed {
	t := b.t
	all := make([]keyed, 0, t.rows.len()+t.commands.len())
	for i := range t.rows.len() {
		r := t.rows.at(i)
		all = append(all, keyed{r.hash, t.base + uint64(r.offset)})
	}
	for i := range t.commands.len() {
		c := t.commands.at(i)
		all = append(all, keyed{c.hash, c.offset})
	}
	return radixSort(all)
}
