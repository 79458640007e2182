package index

import "encoding/binary"

// Kinds of keys within a segment. They only ever grow in number: a kind's meaning never changes.
const (
	kindMark    = 0x01 // what the segment holds, once
	kindTopic   = 0x10 // topic → its number and counts here
	kindTerm    = 0x18 // last hash of a block → the block: types and tags
	kindStream  = 0x20 // last stream of a block → the block
	kindState   = 0x28 // stream, revision → where the state is that a commit carries for it
	kindPosting = 0x30 // stream number, first revision → postings of a long stream
	kindRun     = 0x40 // number of a topic or term, first offset → runs of offsets
	kindOffset  = 0x50 // first offset → where the events' records are
	kindID      = 0x60 // hash bucket → ids
	kindFilter  = 0x70 // piece → part of the filter over the segment's streams
	kindEnd     = 0xff
)

// Every key begins with its segment and kind, so that the tables of two segments never overlap: what was ingested is never
// compacted, and dropping or replacing a segment is dropping or replacing a file.
const keyHead = 9

func appendKey(dst []byte, segment uint64, kind byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, segment), kind)
}

// appendStreamKey orders streams by the length of the topic, topic, and key: within a topic by key.
func appendStreamKey(dst []byte, segment uint64, topic, key []byte) []byte {
	dst = append(appendKey(dst, segment, kindStream), byte(len(topic)))
	return append(append(dst, topic...), key...)
}

func appendTopicKey(dst []byte, segment uint64, topic []byte) []byte {
	return append(appendKey(dst, segment, kindTopic), topic...)
}

func appendNumbered(dst []byte, segment uint64, kind byte, number uint32, at uint64) []byte {
	dst = binary.BigEndian.AppendUint32(appendKey(dst, segment, kind), number)
	return binary.BigEndian.AppendUint64(dst, at)
}

func appendOffsetKey(dst []byte, segment, offset uint64) []byte {
	return binary.BigEndian.AppendUint64(appendKey(dst, segment, kindOffset), offset)
}

func appendShort(dst []byte, segment uint64, kind byte, n uint16) []byte {
	return binary.BigEndian.AppendUint16(appendKey(dst, segment, kind), n)
}

// tail64 reads the number that a key ends with.
func tail64(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

// head64 reads the segment that a key begins with.
func head64(key []byte) uint64 { return binary.BigEndian.Uint64(key) }
