package bench

import "math/rand/v2"

// naming makes the ids of one run: unique, in no order, and cheap. An id is 26 characters: 13 for the counter, scrambled by a
// permutation, and 13 that bind it to the run. It can be read back, so that a verification needs no list of ids.
type naming struct{ key, bind uint64 }

const (
	idSize   = 26
	half     = idSize / 2
	alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	// workerShift leaves 2^40 events for each worker.
	workerShift = 40
)

func newNaming() naming { return naming{rand.Uint64(), rand.Uint64()} }

// prefix tells the run's stream keys from those of others.
func (n naming) prefix() string {
	var b [half]byte
	spell(b[:], scramble(n.bind))
	return string(b[:6])
}

func (n naming) append(dst []byte, worker int, seq uint64) []byte {
	x := scramble((uint64(worker)<<workerShift | seq) ^ n.key)
	var b [idSize]byte
	spell(b[:half], x)
	spell(b[half:], scramble(x^n.bind))
	return append(dst, b[:]...)
}

// read returns the worker and the number of an id of this run.
func (n naming) read(id string) (worker int, seq uint64, ok bool) {
	if len(id) != idSize {
		return 0, 0, false
	}
	x, ok := unspell(id[:half])
	if !ok {
		return 0, 0, false
	}
	if y, ok := unspell(id[half:]); !ok || y != scramble(x^n.bind) {
		return 0, 0, false
	}
	v := unscramble(x) ^ n.key
	return int(v >> workerShift), v & (1<<workerShift - 1), true
}

// scramble is a permutation of the numbers (the finalizer of SplitMix64); unscramble is its inverse.
func scramble(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func unscramble(x uint64) uint64 {
	x = (x ^ x>>31 ^ x>>62) * 0x319642b2d24d8ec3
	x = (x ^ x>>27 ^ x>>54) * 0x96de1b173f119089
	return x ^ x>>30 ^ x>>60
}

// spell writes 64 bits as 13 characters, the lowest first.
func spell(dst []byte, x uint64) {
	for i := range dst {
		dst[i] = alphabet[x&31]
		x >>= 5
	}
}

func unspell(s string) (x uint64, ok bool) {
	for i := len(s) - 1; i >= 0; i-- {
		v := letters[s[i]]
		if v == 0 {
			return 0, false
		}
		x = x<<5 | uint64(v-1)
	}
	return x, true
}

// letters is each character's place in the alphabet, from 1.
var letters = func() (t [256]byte) {
	for i := range alphabet {
		t[alphabet[i]] = byte(i + 1)
	}
	return t
}()
