package replica

import (
	"crypto/rand"
	"encoding/binary"
)

// confirms numbers the questions "who leads?" of one open replica. The nonce keeps an answer that was on its way while the replica was
// restarted from posing as the answer to a newer question of the same number.
type confirms struct{ nonce [8]byte }

func newConfirms() (c confirms) {
	_, _ = rand.Read(c.nonce[:]) // never fails: it ends the program rather
	return c
}

func (c *confirms) context(n uint64) []byte {
	return binary.LittleEndian.AppendUint64(c.nonce[:len(c.nonce):len(c.nonce)], n)
}

// number gives the question that a context belongs to; false for one of another life.
func (c *confirms) number(b []byte) (uint64, bool) {
	if len(b) != 16 || [8]byte(b[:8]) != c.nonce {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[8:]), true
}

// Confirm asks who leads; Machine.Confirmed answers n when a leader has answered that it still is one, and what was committed then. A
// follower's question goes to the leader that it knows, and may be lost on the way: ask again with another number.
func (r *Replica) Confirm(n uint64) {
	r.node.ReadIndex(r.confirms.context(n))
}
