package index

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// The first byte under a hash says what is hashed, so that an event id and a command id never meet by their bytes.
const (
	hashEvent   = 'e'
	hashCommand = 'c'
	hashStream  = 's'
	hashType    = 't'
	hashTag     = 'g'
)

// IDHash is the hash under which an event's id is known, in the scope of its stream.
func IDHash(topic, key, id []byte) uint64 { return hash(hashEvent, topic, key, id) }

// CommandHash is the hash under which a command's id is known, in the scope of its stream.
func CommandHash(topic, key, id []byte) uint64 { return hash(hashCommand, topic, key, id) }

func streamHash(topic, key []byte) uint64 { return hash(hashStream, topic, key, nil) }

// termHash is cheap: every event has a type.
func termHash(kind byte, b []byte) uint64 {
	return (xxhash.Sum64(b) ^ uint64(kind)) * 0x9e3779b97f4a7c15
}

// hash covers the parts with their lengths, so that moving a byte from one part to the next changes it.
func hash(kind byte, a, b, c []byte) uint64 {
	var room [512]byte
	buf := append(room[:0], kind)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(a)))
	buf = append(buf, a...)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(b)))
	buf = append(buf, b...)
	buf = append(buf, c...)
	return xxhash.Sum64(buf)
}
