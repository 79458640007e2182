// Package gatewaytest is for tests: a shard, topics and cursors in memory, which can be held back and made to fail, and the contracts
// that every gateway.Shard, gateway.Topics and gateway.Cursors keeps. The contracts run on what is here and on the real ones.
package gatewaytest
