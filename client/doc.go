// Package client talks to a Gesta server: it appends events to streams, reads them back, manages topics, and sends commands to
// entities. With [Entity] and [Client.Serve] a program is also what decides about them.
//
//	c, err := client.New(client.Options{Addrs: []string{"127.0.0.1:7070"}})
//	…
//	res, err := c.Append(ctx, client.Append{
//		Topic: "orders", Key: "42", Expect: client.Revision(3),
//		Events: []client.Event{{Type: "OrderPaid", Data: []byte(`{"amount":12}`)}},
//	})
//
// A Client is safe for concurrent use and meant to be shared: the appends of many goroutines ride one batched stream, which is
// what makes them fast. It connects on first use.
//
// # Outcomes
//
// Every error is an [*Error] with a [Code] of the server's error table. A call is retried only where the table allows it
// (no_leader, busy, unavailable, unknown_outcome and broken connections), with the same event ids, until its context ends or,
// when that has no deadline, for Options.Timeout. An event without an id gets a random one before it is first sent, so that a
// retry never writes it twice. The answer is success, a failure that wrote nothing, or [CodeUnknownOutcome]: it may have been
// written, and sending it again with the same ids is safe.
//
// A client that has never reached a server does not wait for one: the first call fails at once when every address refuses.
//
// # Order
//
// Appends that wait for each other's results are ordered by that. Appends started with [Client.Start] without waiting keep, for
// each stream, the order in which they were started, across retries and reconnects: while an earlier one is being retried, later
// ones on the same stream wait behind it, and a conflict that only arose because it was missing is asked again. If the server
// refuses an earlier one for a passing reason but has, or may have, accepted a later one, the earlier one is not slipped in
// behind it: it fails with its reason and the detail overtaken=true. One thing a client cannot see: a server that refuses an
// append, accepts a later one of the same stream, and loses the connection before either answer arrives. Appends whose order
// must hold even then carry the revision that they expect; those can never be reordered. Calls on different streams are not
// ordered, and neither are concurrent calls of different goroutines.
//
// # Entities
//
// An [Entity] is two pure functions over types of its user's, and what the server is to know about them. [Client.Serve] attaches
// it: commands come batched over one stream, with what the process lacks of the state, and decisions go back. Nothing that is
// decided is performed: events, reply and "no" are data until the server has stored them. [Client.Execute] is the other side.
// Package entitytest tests entities without a server, package conformance tests handlers in any language.
package client
