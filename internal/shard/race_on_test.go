//go:build race

package shard

// Under the race detector everything takes several times as long: it looks at fewer runs of the same kind.
const (
	modelChecks = "10"
	crashEvery  = 7
)
