// Package position is the token that names a place in the log: it is handed to readers, kept by them, and given back to
// continue. To them it is opaque.
//
// A token is base64url without padding over
//
//	byte     what
//	0        version: 1
//	1        how many shards follow: 1 (later versions may write more)
//	…        shard, uvarint
//	+8       history, little endian
//	…        offset, uvarint
//	last 4   CRC32C of all before it, little endian
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
	// ErrVersion: the token is whole, but of a version, or over a number of shards, that this release does not read.
	ErrVersion = errors.New("a position of a newer version: upgrade to read it")
)

const (
	version   = 1
	checkSize = 4
	// maxSize is a token's bytes before base64: version, count, two uvarints, history, check.
	maxSize  = 2 + binary.MaxVarintLen32 + 8 + binary.MaxVarintLen64 + checkSize
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
	b = binary.AppendUvarint(b, uint64(p.Shard))
	b = binary.LittleEndian.AppendUint64(b, p.History)
	b = binary.AppendUvarint(b, p.Offset)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return encoding.AppendEncode(dst, b)
}

// Parse reads a token. The error wraps ErrMalformed or ErrVersion.
func Parse(token string) (Position, error) {
	var room [maxSize + 2]byte
	if len(token) > maxToken {
		return Position{}, refuse(token)
	}
	n, err := encoding.Decode(room[:], []byte(token))
	if err != nil || n < 2+checkSize {
		return Position{}, refuse(token)
	}
	b, check := room[:n-checkSize], binary.LittleEndian.Uint32(room[n-checkSize:n])
	if crc32.Checksum(b, castagnoli) != check {
		return Position{}, refuse(token)
	}
	if b[0] != version || b[1] != 1 {
		return Position{}, fmt.Errorf("%w (version %d, %d shards)", ErrVersion, b[0], b[1])
	}
	p, ok := parseBody(b[2:])
	if !ok || p.String() != token {
		return Position{}, refuse(token)
	}
	return p, nil
}

func parseBody(b []byte) (p Position, ok bool) {
	shard, n := binary.Uvarint(b)
	if n <= 0 || shard > math.MaxUint32 || len(b) < n+8 {
		return p, false
	}
	p.Shard = uint32(shard)
	p.History = binary.LittleEndian.Uint64(b[n:])
	offset, m := binary.Uvarint(b[n+8:])
	p.Offset = offset
	return p, m > 0 && n+8+m == len(b)
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
