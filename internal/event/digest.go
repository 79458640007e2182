package event

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// Digest names a commit's content: streams in order, each with topic, key and its events' canonical bytes (ids included).
// Expectations and traceparents are left out: a repeat may expect something else, and is another call, and is still the same
// commit. Two commits with one digest are the same. It is stored with a command's id, so what it is computed over never changes.
// A commit with a Request has that for its digest.
func (c *Commit) Digest() (digest [32]byte) {
	if c.Request != nil {
		return *c.Request
	}
	w := digester{sha256.New()}
	w.Write([]byte("gesta commit 1\n"))
	w.number(len(c.Streams))
	for i := range c.Streams {
		s := &c.Streams[i]
		w.part(s.Topic)
		w.part(s.Key)
		w.number(len(s.Events))
		for j := range s.Events {
			before, _, after := content(s.Events[j].Bytes)
			w.number(len(before) + len(after))
			w.Write(before)
			w.Write(after)
		}
	}
	w.Sum(digest[:0])
	return digest
}

// RequestDigest names a command's content, for Commit.Request. It is stored, so what it is computed over never changes.
func RequestDigest(command string, p *Payload) (digest [32]byte) {
	b := append(make([]byte, 0, 1024), "gesta command 1\n"...) // on the stack, mostly
	for _, part := range []string{command, p.ContentType, p.Type} {
		b = append(binary.LittleEndian.AppendUint64(b, uint64(len(part))), part...)
	}
	b = append(binary.LittleEndian.AppendUint64(b, uint64(len(p.Data))), p.Data...)
	return sha256.Sum256(b)
}

// digester writes parts with their lengths, so that no two lists of parts are the same bytes.
type digester struct{ hash.Hash }

func (d digester) number(n int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	d.Write(b[:])
}

func (d digester) part(b []byte) {
	d.number(len(b))
	d.Write(b)
}
