package peer

import (
	"context"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/event"
)

// Handler is what a host does with what comes in. Its methods are called by many goroutines at once.
type Handler interface {
	// Deliver takes messages for a group, in the order in which the peer sent those of their class. It must not block for long:
	// what comes after waits.
	Deliver(group uint32, ms []*raftpb.Message)
	// Unreachable tells that entries for the replica may be lost: they were dropped, or the connection broke. It is told at most
	// every 50 ms for a group and a peer.
	Unreachable(group uint32, to uint64)
	// Health is what all peers are told of this node, once a second. It must be quick and at most 64 KiB.
	Health() []byte
	// Call answers a question. An error keeps its code, message and details on its way back.
	Call(ctx context.Context, from Peer, method string, body []byte) ([]byte, error)
	// Submit hands commits to this node's own replica of the shard, in their order, and returns when all are queued or done. It
	// must never forward them: when this node does not lead, each ends with no_leader, and the detail "leader" when it is known.
	// The calls belong to the handler until their Done; their User is not its own.
	Submit(from Peer, shard uint32, calls []*event.Call)
	// Read begins a read of this node's replica of the shard. The reader is closed by the caller.
	Read(ctx context.Context, from Peer, shard uint32, spec event.ReadSpec) (event.Reader, error)
	// Open opens a file of a group to be fetched.
	Open(ctx context.Context, group uint32, name string) (Source, error)
}

// SnapshotHandler is what a Handler may be besides: it hears that a MsgSnap was dropped, or sent on a connection that then broke,
// so that it can tell Raft (ReportSnapshot with failure), which else waits for ever.
type SnapshotHandler interface {
	SnapshotLost(group uint32, to uint64)
}

// Source is a file that is being fetched. It does not change while it is open.
type Source interface {
	Size() int64
	// Identity tells this content from any other under the same name: at most 256 bytes.
	Identity() []byte
	// ReadAt is used by one goroutine.
	ReadAt(p []byte, offset int64) (n int, err error)
	Close() error
}

// Peer is the other end of what came in.
type Peer struct {
	// Cluster is empty while the peer belongs to none.
	Cluster     string
	Node        string
	Incarnation uint64
	// Addressed is true when the caller meant this incarnation, and not whoever answers at an address.
	Addressed bool
	// Feature is the highest feature level the peer can take part in, Level the one it holds to be in force.
	Feature, Level uint32
	// Version is the peer's release, for people.
	Version string
	// Addr is where the connection comes from.
	Addr string
	// Name is what the certificate proves; empty without TLS.
	Name string
	// Caller is for whom the peer asks, as it says; empty: for itself.
	Caller string
}
