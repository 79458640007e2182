//go:build race

package seglog

// The exhaustive tests run in one goroutine, where the race detector finds nothing and makes them several times slower: under it
// they take each fifth case. Without it they take every one.
const sample = 5
