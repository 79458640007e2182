// Package gatewaytest is for tests: a shard and topics in memory, which can be held back and made to fail, and the contracts
// that every gateway.Shard and gateway.Topics keeps. The contracts run on what is here and on the real ones.
package gatewaytest
