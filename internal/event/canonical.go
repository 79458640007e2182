package event

import (
	"bytes"
	"hash/maphash"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gesta-db/gesta/internal/limits"
)

// check holds an event against the limits and rules, and sorts its metadata.
func (p *parts) check(lim *limits.Limits, s *seen) (name string, bad *problem) {
	if bad := idProblem(p.id, lim); bad != nil {
		return "id", bad
	}
	if bad := typeProblem(p.typ, lim); bad != nil {
		return "type", bad
	}
	if p.schemaVersion > math.MaxUint32 {
		return "schema_version", invalid("is %d; it must be at most %d", p.schemaVersion, uint32(math.MaxUint32))
	}
	if len(p.data) > lim.EventBytes {
		return "data", over("event_bytes", len(p.data), lim.EventBytes, "bytes")
	}
	if len(p.contentType) > 0 {
		if bad := contentTypeProblem(p.contentType); bad != nil {
			return "content_type", bad
		}
	}
	if bad := sourceProblem(p.source); bad != nil {
		return "source", bad
	}
	if p.timed {
		if bad := p.timeProblem(); bad != nil {
			return "time", bad
		}
	}
	if bad := p.metadataProblem(lim); bad != nil {
		return "metadata", bad
	}
	return p.checkTags(lim, s)
}

// The first and last second a timestamp may have: 0001-01-01T00:00:01Z and 9999-12-31T23:59:59Z. The second before stands for
// no time in the libraries of several languages.
const (
	firstSecond = -62135596799
	lastSecond  = 253402300799
)

func (p *parts) timeProblem() *problem {
	if p.seconds < firstSecond || p.seconds > lastSecond {
		return invalid("is outside of the years 1 to 9999")
	}
	if p.nanos < 0 || p.nanos > 999_999_999 {
		return invalid("has %d nanoseconds; it must be 0 to 999,999,999", p.nanos)
	}
	return nil
}

func (p *parts) metadataProblem(lim *limits.Limits) *problem {
	if len(p.metadata) > lim.MetadataEntries {
		return over("metadata_entries", len(p.metadata), lim.MetadataEntries, "entries")
	}
	if !slices.IsSortedFunc(p.metadata, byName) {
		slices.SortStableFunc(p.metadata, byName)
	}
	size := 0
	for i, m := range p.metadata {
		size += len(m.name) + len(m.value)
		switch {
		case len(m.name) == 0:
			return invalid("has an entry without a name")
		case !utf8.Valid(m.name) || !utf8.Valid(m.value):
			return invalid("entry %.80q is not valid UTF-8", m.name)
		case i > 0 && bytes.Equal(m.name, p.metadata[i-1].name):
			return invalid("has the name %.80q twice", m.name)
		}
	}
	if size > lim.MetadataBytes {
		return over("metadata_bytes", size, lim.MetadataBytes, "bytes")
	}
	return nil
}

func byName(a, b pair) int { return bytes.Compare(a.name, b.name) }

func (p *parts) checkTags(lim *limits.Limits, s *seen) (name string, bad *problem) {
	if len(p.tags) == 0 {
		return "", nil
	}
	if len(p.tags) > lim.Tags {
		return "tags", over("tags", len(p.tags), lim.Tags, "tags")
	}
	for i, tag := range p.tags {
		if len(tag) == 0 {
			return "tags[" + strconv.Itoa(i) + "]", invalid("is empty")
		}
		if bad := textProblem(tag, "tag_bytes", lim.TagBytes); bad != nil {
			return "tags[" + strconv.Itoa(i) + "]", bad
		}
	}
	hash := func(seed maphash.Seed, i int) uint64 { return maphash.Bytes(seed, p.tags[i]) }
	equal := func(i, j int) bool { return bytes.Equal(p.tags[i], p.tags[j]) }
	if _, second, found := s.twins(len(p.tags), hash, equal); found {
		return "tags[" + strconv.Itoa(second) + "]", invalid("%.80q comes twice", p.tags[second])
	}
	return "", nil
}

// append writes the canonical encoding: what eventwire.AppendEvent writes for the same event. Metadata is sorted.
func (p *parts) append(dst []byte) []byte {
	dst = appendBytes(dst, 1, p.id)
	dst = appendBytes(dst, 2, p.typ)
	dst = appendVarint(dst, 3, p.schemaVersion)
	dst = appendBytes(dst, 4, p.contentType)
	dst = appendBytes(dst, 5, p.data)
	if p.timed {
		dst = append(dst, 6<<3|2, byte(sizeVarint(uint64(p.seconds))+sizeVarint(uint64(p.nanos))))
		dst = appendVarint(dst, 1, uint64(p.seconds))
		dst = appendVarint(dst, 2, uint64(p.nanos))
	}
	dst = appendBytes(dst, 7, p.source)
	for _, m := range p.metadata {
		size := 2 + protowire.SizeBytes(len(m.name)) + protowire.SizeBytes(len(m.value))
		dst = protowire.AppendVarint(append(dst, 8<<3|2), uint64(size))
		dst = protowire.AppendBytes(append(dst, 1<<3|2), m.name)
		dst = protowire.AppendBytes(append(dst, 2<<3|2), m.value)
	}
	for _, tag := range p.tags {
		dst = protowire.AppendBytes(append(dst, 9<<3|2), tag)
	}
	return dst
}

// appendBytes leaves an empty field out. Field numbers are below 16, so a tag is one byte.
func appendBytes(dst []byte, number byte, v []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	return protowire.AppendBytes(append(dst, number<<3|2), v)
}

func appendVarint(dst []byte, number byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(append(dst, number<<3), v)
}

func sizeVarint(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}
