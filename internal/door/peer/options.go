package peer

import (
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/limits"
)

// Self is who a node is to its peers.
type Self struct {
	// Cluster may be empty until SetCluster.
	Cluster string
	Node    string
	// Incarnation is the node's number in every Raft group, never 0.
	Incarnation uint64
	// Feature is the highest feature level this release can take part in.
	Feature uint32
	// Version is the release, for people.
	Version string
}

// Resolver tells where an incarnation listens, host:port. It is asked before every connection, and must be quick. What it does
// not know is not a member: nothing is sent to it.
type Resolver func(incarnation uint64) (addr string, ok bool)

// Options is what a transport is made of.
type Options struct {
	Self     Self
	Resolver Resolver
	Handler  Handler
	// TLS, which may be nil, holds this node's certificate and whom it trusts (ClientCAs, RootCAs; one serves for both). Both ends
	// must have certificates.
	TLS    *tls.Config
	Limits *limits.Limits
	// Logger may be nil.
	Logger   *slog.Logger
	Listener *Listener
	// Clock tells peers the time; nil: the machine's.
	Clock clock.Clock
	// Level is the feature level in force in the cluster, as this node knows it: a peer that cannot take part is refused. Nil: 0.
	Level func() uint32
	// Admit, which may be nil, refuses a peer that means this incarnation: one that was removed, or one under another's node id.
	Admit func(Peer) error
	// Heard, which may be nil, is given every peer's health as it comes. It must be quick.
	Heard func(from uint64, health []byte, at time.Time)
	// Where makes a condition of its text, for reads that peers ask for; nil: such reads are refused.
	Where func(text string) (event.Predicate, error)
}

// Class is what a connection between two nodes is for: what is in one never waits for what is in another.
type Class uint8

// The classes.
const (
	// Control carries heartbeats, votes, acknowledgements and health.
	Control Class = iota
	// Log carries entries.
	Log
	// Work carries calls, commits and reads.
	Work
	// Bulk carries files.
	Bulk
	classes
)

func (c Class) String() string {
	return [...]string{"control", "log", "work", "bulk"}[c]
}

// Listener hears what a transport does. Every field may be nil; none may block.
type Listener struct {
	// Connected and Lost tell of the streams of messages to a peer; err says why.
	Connected func(to uint64, class Class)
	Lost      func(to uint64, class Class, err error)
	// Sent and Received tell of frames of messages.
	Sent     func(to uint64, class Class, messages, bytes int)
	Received func(from uint64, class Class, messages, bytes int)
	// Dropped tells of messages that were not sent (the queue was full, or there was no connection), Misdirected of such that came
	// and were for another incarnation.
	Dropped     func(to uint64, class Class, messages int)
	Misdirected func(from uint64, messages int)
	// Refused tells of a peer that was turned away: "cluster", "addressee", "node", "protocol", "feature" or "admission".
	Refused func(reason string)
	// RoundTrip tells of each round trip on the control stream.
	RoundTrip func(to uint64, took time.Duration)
	// Called tells of a call to a peer, Answered of one that came in.
	Called   func(method string, took time.Duration, err error)
	Answered func(method string, took time.Duration, err error)
	// Forwarded tells of a commit that was sent to a leader, and how it ended.
	Forwarded func(to uint64, bytes int, err error)
	// Fetched and Served tell of the bytes of files.
	Fetched func(bytes int)
	Served  func(bytes int)
}

// Status is a peer as the transport sees it.
type Status struct {
	Incarnation uint64
	// Node, Feature, Level and Version are as the peer said last; empty before it did.
	Node           string
	Feature, Level uint32
	Version        string
	Addr           string
	// Connected tells whether messages can be sent: the control stream stands.
	Connected bool
	// Since is when Connected last changed; Reason why it is not connected, for people.
	Since  time.Time
	Reason string
	// RoundTrip is the shortest of the newest few round trips, ClockOffset how far the peer's clock was ahead then: right to within
	// half of RoundTrip. Both are 0 before the first.
	RoundTrip, ClockOffset time.Duration
	// QueuedBytes wait to be sent; Dropped messages were not.
	QueuedBytes int64
	Dropped     uint64
	// LastHeard is when anything came from the peer, zero for never.
	LastHeard time.Time
	// Health is the newest that came, at HealthAt; nil for none.
	Health   []byte
	HealthAt time.Time
}
