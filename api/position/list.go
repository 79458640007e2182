package position

import (
	"cmp"
	"math"
	"slices"
)

// List is a place in several shards at once: one position in each, in ascending order of the shards' numbers, no shard twice. It has at
// most MaxShards. One of a single shard has the same token as its position.
type List []Position

// MaxShards is how many shards a token can name.
const MaxShards = math.MaxUint8

const maxListToken = ((2+MaxShards*placeSize+checkSize)*8 + 5) / 6

// String gives the token; an empty list has none.
func (l List) String() string {
	if len(l) == 0 {
		return ""
	}
	return string(l.Append(nil))
}

// Append appends the token to dst; nothing for an empty list.
func (l List) Append(dst []byte) []byte {
	if len(l) == 0 {
		return dst
	}
	return l[0].AppendAmong(dst, l[1:])
}

// AppendAmong appends the token of a place in the position's shard and in those of others, which is a List without that shard. It
// allocates nothing when there are no others, as Append does.
func (p Position) AppendAmong(dst []byte, others List) []byte {
	if len(others) == 0 {
		return p.Append(dst)
	}
	b := append(make([]byte, 0, 2+(1+len(others))*placeSize+checkSize), version, byte(1+len(others)))
	placed := false
	for _, o := range others {
		if !placed && p.Shard < o.Shard {
			b, placed = p.appendPlace(b), true
		}
		b = o.appendPlace(b)
	}
	if !placed {
		b = p.appendPlace(b)
	}
	return seal(dst, b)
}

// ParseList reads a token of any number of shards. The error wraps ErrMalformed or ErrVersion.
func ParseList(token string) (List, error) {
	if len(token) > maxListToken {
		return nil, refuse(token)
	}
	raw, err := encoding.DecodeString(token)
	if err != nil {
		return nil, refuse(token)
	}
	b, err := open(token, raw)
	if err != nil {
		return nil, err
	}
	n, b := int(b[1]), b[2:]
	l := make(List, 0, min(n, len(b)))
	for range n {
		p, rest, ok := parsePlace(b)
		if !ok || len(l) > 0 && p.Shard <= l[len(l)-1].Shard {
			return nil, refuse(token)
		}
		l, b = append(l, p), rest
	}
	if n == 0 || len(b) > 0 {
		return nil, refuse(token)
	}
	return l, nil
}

// In gives the place in a shard.
func (l List) In(shard uint32) (Position, bool) {
	i, ok := slices.BinarySearchFunc(l, shard, func(p Position, shard uint32) int { return cmp.Compare(p.Shard, shard) })
	if !ok {
		return Position{}, false
	}
	return l[i], true
}
