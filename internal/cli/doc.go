// Package cli is the command line: it reads arguments, calls the client (or the node, for serve and demo), and prints.
//
// It promises: data goes to standard output and everything else to standard error; the exit code is the error table's
// (0 done, 130 interrupted); on a terminal a table, one line a row, and with -o json one JSON object a line; bytes of events
// never reach a terminal as control characters; nothing is left out without a word on standard error.
//
// It knows no protocol and no storage. What a command does to the log is a call of the client, as any program could make it.
package cli
