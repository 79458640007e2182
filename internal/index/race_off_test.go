//go:build !race

package index

const underRace = 1
