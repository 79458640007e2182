// Package inspect reads a data folder that no node has open, and tells everything that is wrong with it.
//
// It reads every byte of every log, holds each entry against its checksums and each event against the promises (offsets and
// revisions without gaps, terms and recorded times that never fall), and compares the index with the log. It changes nothing,
// knows no network, and goes on after damage to find the rest.
package inspect
