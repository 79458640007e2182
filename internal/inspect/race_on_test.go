//go:build race

package inspect

// flips is about how many bytes of a file are harmed, one at a time; the race detector makes each check several times as long.
const flips = 6
