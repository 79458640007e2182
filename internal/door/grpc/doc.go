// Package grpc is the door for gRPC: the services Log, Topics and Node of api/gesta/v1, with health and reflection.
//
// It promises:
//   - Every failure carries google.rpc.ErrorInfo with a code of the error table, mapped once, in status.go.
//   - An append stream answers every call it accepted exactly once, in any order, before it ends; what it did not accept has
//     not reached the log. Calls reach the gateway in the order in which they came.
//   - A connection has no more than the limit's bytes in flight: past it a unary append is busy, and a stream is not read.
//   - The bytes of an event in a read's frame are the bytes the gateway's reader gave, copied once into the frame.
//   - Drain lets what is under way finish, and ends streams that would not end by themselves with unavailable and the detail
//     reason = draining.
//
// The hot paths (Append, AppendStream, Read) take and give wire bytes by a codec of their own and know the few fields of a
// frame by number; the rest uses the generated code. It knows nothing of other doors, or of how the gateway does its work.
//
// # Frames on the hot path
//
//	AppendStreamRequest   1 calls: AppendCall{1 call_id, 2 request, 3 timeout{1 seconds, 2 nanos}}
//	AppendStreamResponse  1 replies: AppendReply{1 call_id, 2 response, 3 error{1 code, 2 message, 3 details}}
//	AppendResponse        1 streams{1 first_revision, 2 last_revision, 3 first_offset, 4 last_offset}, 2 position, 3 repeated,
//	                      4 created_topics
//	ReadResponse          1 events, 2 position, 3 live, 4 resolved_offset, 5 shard, 6 history
//
// Tests hold these against the generated code.
package grpc
