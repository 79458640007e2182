// Package conformance holds a handler against the protocol, whatever language it is written in.
//
// It plays the server: a handler attaches to it (service gesta.v1.Runtime), gets the frames of a script, and its results are
// compared with those of the script. The scripts that come with it are about the kind "account" that docs/how-to/test-a-handler.md
// describes; the examples in Go, Python and TypeScript serve it. Scripts for other kinds are read with [Parse].
//
// A script is lines of text:
//
//	# …           a comment
//	> FRAME       sends a ServerFrame in JSON
//	< RESULT      the Result of its task_id has come, or comes, and is like this
//	credit N      the handler has granted, or grants, N credits in all beside those of its hello; not more
//	drain         asks the handler to finish: it says goodbye, or ends its side
//	end           breaks the connection: the handler attaches again
//
// In JSON, names are as in the .proto files. What is at "data" is the JSON that the bytes are; other bytes are given in base64 as
// {"base64": "…"}. A result is like the expected one when what is there is the same: members that are not named are free, lists
// have the same length, and "*" stands for anything but nothing. A script that ends without drain or end ends as with end.
package conformance
