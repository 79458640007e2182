//go:build race

package shard

// Under the race detector everything takes several times as long: it looks at fewer runs of the same kind.
const (
	modelChecks = "20"
	crashEvery  = 7
)
