// Package position is the token that names a place in the log: it is handed to readers, kept by them, and given back to
// continue. To them it is opaque.
//
// A token is base64url without padding over
//
//	byte     what
//	0        version: 1
//	1        how many shards follow, 1 to 255; for each, in ascending order of their numbers:
//	…          shard, uvarint
//	+8         history, little endian
//	…          offset, uvarint
//	last 4   CRC32C of all before it, little endian
//
// Most are of one shard: a Position. That of a topic which is spread over several is a List.
//
// It promises that String and Parse are each other's inverse, that a position has exactly one token, and that a token with
// any one character changed, lost or added is refused. It does not know whether the place exists: the log says so, and
// refuses a token whose history is not its own.
package position

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
)

// Position is the place just after one event: reading from it continues with the next one; offset 0 is before the first.
type Position struct {
	Shard uint32
	// History tells apart what a shard's log was before and after a forced recovery or a restore.
	History uint64
	Offset  uint64
}

// The errors of Parse.
var (
	// ErrMalformed: the text is no token, or was changed on the way.
	ErrMalformed = errors.New("not a position: copy the whole token as it was given")
	// ErrVersion: the token is whole, but of a version that this release does not read.
	ErrVersion = errors.New("a position of a newer version: upgrade to read it")
	// ErrSeveral: the token is that of a place in several shards, and one of one shard was asked for.
	ErrSeveral = errors.New("a position in several shards, where one in one shard is needed")
)

const (
	version   = 1
	checkSize = 4
	// placeSize is the most bytes of one shard's part before base64: two uvarints and the history.
	placeSize = binary.MaxVarintLen32 + 8 + binary.MaxVarintLen64
	// maxSize is the most bytes before base64 of a token of one shard: version, count, place, check.
	maxSize  = 2 + placeSize + checkSize
	maxToken = (maxSize*8 + 5) / 6
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	encoding   = base64.RawURLEncoding.Strict()
)

// String gives the token. The zero position has one too.
func (p Position) String() string { return string(p.Append(make([]byte, 0, maxToken+maxSize))) }

// Append appends the token to dst. It allocates only when dst has no room for 68 bytes: a token has at most 39, and the rest
// is where it is put together.
func (p Position) Append(dst []byte) []byte {
	dst = slices.Grow(dst, maxToken+maxSize)
	scratch := len(dst) + maxToken // behind the longest token, so that encoding never overtakes what it reads
	b := append(dst[scratch:scratch], version, 1)
	return seal(dst, p.appendPlace(b))
}

func (p Position) appendPlace(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(p.Shard))
	b = binary.LittleEndian.AppendUint64(b, p.History)
	return binary.AppendUvarint(b, p.Offset)
}

// seal appends the check to what a token is made of, and its text to dst.
func seal(dst, b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return encoding.AppendEncode(dst, b)
}

// Parse reads a token of one shard. The error wraps ErrMalformed, ErrVersion or ErrSeveral.
func Parse(token string) (Position, error) {
	var room [maxSize + 2]byte
	if len(token) > maxToken {
		return Position{}, severalOr(token)
	}
	n, err := encoding.Decode(room[:], append(make([]byte, 0, maxToken), token...))
	if err != nil {
		return Position{}, refuse(token)
	}
	b, err := open(token, room[:n])
	if err != nil {
		return Position{}, err
	}
	if b[1] != 1 {
		return Position{}, severalOr(token)
	}
	p, rest, ok := parsePlace(b[2:])
	if !ok || len(rest) > 0 {
		return Position{}, refuse(token)
	}
	return p, nil
}

// open checks what a token was made of, and gives all but the check: version, count, places. Decoding passes over line breaks: a token
// with one is another spelling, and refused.
func open(token string, b []byte) ([]byte, error) {
	if len(b) < 2+checkSize || encoding.EncodedLen(len(b)) != len(token) {
		return nil, refuse(token)
	}
	b, check := b[:len(b)-checkSize], binary.LittleEndian.Uint32(b[len(b)-checkSize:])
	switch {
	case crc32.Checksum(b, castagnoli) != check:
		return nil, refuse(token)
	case b[0] != version:
		return nil, fmt.Errorf("%w (version %d)", ErrVersion, b[0])
	}
	return b, nil
}

// parsePlace reads one shard's part. A number that is written longer than it needs is another spelling, and refused.
func parsePlace(b []byte) (p Position, rest []byte, ok bool) {
	shard, n := binary.Uvarint(b)
	if n <= 0 || shard > math.MaxUint32 || len(b) < n+8 {
		return p, nil, false
	}
	p.Shard = uint32(shard)
	p.History = binary.LittleEndian.Uint64(b[n:])
	offset, m := binary.Uvarint(b[n+8:])
	if m <= 0 {
		return p, nil, false
	}
	p.Offset = offset
	return p, b[n+8+m:], shortest(b[:n]) && shortest(b[n+8:n+8+m])
}

// shortest tells whether a uvarint is written with as few bytes as there can be: its last has something to say.
func shortest(b []byte) bool { return len(b) == 1 || b[len(b)-1] != 0 }

// severalOr says of a token that is not of one shard what it is instead.
func severalOr(token string) error {
	l, err := ParseList(token)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w (%d shards)", ErrSeveral, len(l))
}

func refuse(token string) error {
	return fmt.Errorf("%w (got %.60q)", ErrMalformed, token)
}

// Compare tells whether p is before (-1), at (0) or after (+1) q. ok is false when they are not of the same shard and
// history: then neither is before the other.
func (p Position) Compare(q Position) (order int, ok bool) {
	switch {
	case p.Shard != q.Shard || p.History != q.History:
		return 0, false
	case p.Offset < q.Offset:
		return -1, true
	case p.Offset > q.Offset:
		return 1, true
	}
	return 0, true
}
