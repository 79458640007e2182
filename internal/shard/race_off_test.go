//go:build !race

package shard

const (
	modelChecks = "100"
	crashEvery  = 1
)
