//go:build !race

package shard

const (
	modelChecks = "60"
	crashEvery  = 1
)
