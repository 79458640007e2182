//go:build !race

package inspect

const flips = 40
