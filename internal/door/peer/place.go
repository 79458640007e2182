package peer

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/api/position"
)

// appendPlace appends a position as the fields of a Place.
func appendPlace(dst []byte, p position.Position) []byte {
	dst = appendNumber(dst, 1<<3, uint64(p.Shard))
	dst = protowire.AppendFixed64(append(dst, tagHistory), p.History)
	return appendNumber(dst, tagOffset, p.Offset)
}

func decodePlace(b []byte, p *position.Position) error {
	return fields(b, func(number protowire.Number, kind protowire.Type, v uint64, _ []byte) error {
		switch {
		case number == 1 && kind == protowire.VarintType && v <= math.MaxUint32:
			p.Shard = uint32(v)
		case number == 2 && kind == protowire.Fixed64Type:
			p.History = v
		case number == 3 && kind == protowire.VarintType:
			p.Offset = v
		default:
			return malformed("a position")
		}
		return nil
	})
}
