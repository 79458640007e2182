// Package http is the door for HTTP and JSON: appends, reads, lists, cursors, status, and health, readiness, version and metrics. The API
// is openapi.yaml, beside this file; a test holds every route, every parameter and every answer that the tests get against it.
//
// It promises:
//   - Errors are RFC 9457 problem documents with a code of the error table, mapped once, in problem.go; they name the field as it
//     stands in the request, whatever form the request had.
//   - What is not known (a field, a parameter, a member) is refused, never passed over.
//   - JSON data reaches the log as the bytes that were posted, and readers as the bytes the log has.
//   - A key is any text: paths are cut before they are decoded, and never cleaned.
//   - Server-sent events carry their position as id. Who comes back with the last one gets every later event once, in order.
//   - An answer that goes on and has to stop says so: server-sent events by an event, lines by a last line and a broken answer, so
//     that what is cut off never looks whole. Close ends what follows; other requests finish.
//   - Memory is bounded: a body by the limits, a connection by its bytes in flight, a page by 4 MiB and one event, a reader who
//     waits by its connection. Slow peers are bounded in time by Settings.
//
// It knows nothing of other doors, of how the gateway does its work, or of metrics more than the handler it is given.
//
// # From a body to a commit
//
// Package event is the one place that checks requests to append, and it reads the wire encoding of gesta.v1.AppendRequest. So
// every form of a body (own JSON, CloudEvents structured, batch or binary) is written into that encoding, field by field where it
// lies in the body, without being decoded into Go values first; the errors that come back name protobuf's fields and are renamed.
// CloudEvents go by way of package cloudevents, which import and export use too.
package http
