package index

import "encoding/binary"

// runsPerKey is how many runs of neighbouring offsets of a topic or term share a key.
const runsPerKey = 256

// run is n neighbouring offsets.
type run struct{ first, n uint64 }

func events(runs []run) (n uint64) {
	for _, r := range runs {
		n += r.n
	}
	return n
}

// appendRuns encodes some of a list's runs; the first offset stands in the key, before is how many events the runs before them have.
func appendRuns(dst []byte, before uint64, runs []run) []byte {
	dst = binary.AppendUvarint(dst, before)
	for i, r := range runs {
		if i > 0 {
			dst = binary.AppendUvarint(dst, r.first-runs[i-1].first-runs[i-1].n)
		}
		dst = binary.AppendUvarint(dst, r.n)
	}
	return dst
}

func readRuns(dst []run, first uint64, value []byte) ([]run, error) {
	in := input{b: value}
	in.uvarint()
	for len(in.b) > 0 {
		if len(dst) > 0 {
			first += in.uvarint()
		}
		n := in.uvarint()
		if in.bad || n == 0 {
			return dst, errShort
		}
		dst = append(dst, run{first, n})
		first += n
	}
	if len(dst) == 0 {
		return dst, errShort
	}
	return dst, nil
}

// extend adds an offset to the last run, or begins a new one.
func extend(runs []run, offset uint64) []run {
	if n := len(runs); n > 0 && runs[n-1].first+runs[n-1].n == offset {
		runs[n-1].n++
		return runs
	}
	return append(runs, run{offset, 1})
}
