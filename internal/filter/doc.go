// Package filter says in a few words which events a reader wants: expressions of CEL (the Common Expression Language) over an
// event's envelope and its JSON payload.
//
// # What it promises
//
//   - An expression that cannot mean anything is refused before it is used: with the code invalid, the line and column, and what
//     to do.
//   - An expression costs what its limits allow, whoever wrote it and whatever the events hold: its length and size, the program
//     of a regular expression (which must be written out, not come from an event), the steps of each evaluation, and, as a
//     backstop, its time. What goes beyond is stopped with too_large, and the read with it: an event is never passed over in
//     silence because looking at it was dear.
//   - Only what an expression uses is decoded, and when it comes to it: a payload is parsed when data is looked at.
//   - It changes nothing, and reads nothing but the event: no clock, no network, no other event.
//
// # What an expression sees
//
//	id, type, topic, key, source, content_type   string
//	revision, offset, schema_version             int
//	time                                         timestamp, as the producer says; null when it says nothing
//	recorded                                     timestamp
//	tags                                         list(string)
//	metadata                                     map(string, string)
//	data                                         the payload, when it is JSON; else null
//
// Numbers in data are doubles, as CEL says of JSON; an integer that a double cannot hold exactly is an int, so that long numbers
// are never taken for their neighbours. Numbers of all kinds compare with each other.
//
// # What matches
//
// An event matches when the expression is true. When it fails (a field that is not there, a text compared with a number) it is
// not true, so the event does not match; as everywhere in CEL, || and && do not mind the failure of one side that the other side
// decides. has(data.field) asks whether a field is there.
//
// # Cost
//
// The library counts steps as it goes, but takes several things for one step that are not: the length of a text is found by going
// through it, and two payloads are compared member by member. So the steps of every function are counted here (cost.go): a step
// stands for less than a microsecond of work. An operation is paid for when it is done, and none is much dearer than what was paid for its
// operands, but for regular expressions, which are paid for before.
package filter
