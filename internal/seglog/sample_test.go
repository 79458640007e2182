//go:build !race

package seglog

// See sample_race_test.go.
const sample = 1
