package cluster

import (
	"context"
	"log/slog"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/limits"
	"github.com/gesta-db/gesta/internal/meta"
	"github.com/gesta-db/gesta/internal/shard"
	"github.com/gesta-db/gesta/internal/vfs"
)

// Transport is how nodes speak to each other.
type Transport interface {
	// Send never blocks; what cannot be sent is lost, and Raft repeats it.
	Send(group uint32, ms []*pb.Message)
	// Call asks a member, CallAddr whoever listens at an address.
	Call(ctx context.Context, to uint64, method string, body []byte) ([]byte, error)
	CallAddr(ctx context.Context, addr, method string, body []byte) ([]byte, error)
	// Submit hands commits to a shard's leader; each call ends by its Done.
	Submit(to uint64, shard uint32, calls []*event.Call)
	// Recall ends calls that were handed to a node which no longer leads the shard and has not answered yet.
	Recall(to uint64, shard uint32)
	Read(ctx context.Context, to uint64, shard uint32, spec event.ReadSpec) (event.Reader, error)
	// Fetch reads a file of a group from an offset to its end, piece by piece; an error of take ends it.
	Fetch(ctx context.Context, to uint64, group uint32, name string, from int64, take func([]byte) error) error
	// SetCluster tells which cluster this node belongs to, once it is known; SetPeers who else does, this node not among them.
	SetCluster(id string)
	SetPeers(replicas []uint64)
	// Connected tells whether a member can be reached at the moment.
	Connected(to uint64) bool
}

// Seed is a node that is listed by its name and address.
type Seed struct{ Node, Addr string }

// Forming is how a new folder comes to its cluster; it is not looked at once it has one.
type Forming struct {
	// Initial are the nodes that found the cluster together, this one among them.
	Initial []Seed
	// Join gives addresses of nodes of a cluster to be taken into; nil: none.
	Join func(context.Context) ([]string, error)
}

// Identity is what a folder knows of itself.
type Identity struct {
	Node    string
	Replica uint64
	// Cluster is empty while the folder belongs to none; Founders are the replicas that founded it.
	Cluster  string
	Founders []uint64
}

// Options is what a host is made of.
type Options struct {
	FS  vfs.FS
	Dir func(parts ...string) string
	// Self describes this node to the others.
	Self     meta.Member
	Identity Identity
	// Keep makes the cluster's id and founders durable in the folder's identity, before anything is built on them.
	Keep    func(cluster string, founders []uint64) error
	Forming Forming
	// Factor is how many replicas a shard shall have.
	Factor    int
	Limits    *limits.Limits
	Transport Transport
	// Shard gives the options of a shard's replica here, but for its voters and its way to peers.
	Shard  func(number uint32) shard.Options
	Clock  clock.Clock
	Logger *slog.Logger
	// Recovered is set when the folder was made the only one of its cluster by force: Open ends the recovery, and then calls it.
	Recovered func() error
	// Removed, which may be nil, hears that this node was removed from the cluster: then it can only stop.
	Removed func(error)
}

// lookEvery is how often what shall be is compared with what is, beside each change.
const lookEvery = 200 * time.Millisecond

// metaGroup is the meta group's number among the groups; a shard's is its own.
const metaGroup = 0

// Feature is the highest feature level that this release can follow: what nodes write that an older release could not read raises it,
// and nothing of it is written before every member can.
const Feature = 1

// Alone is the transport of a node that has no peers.
type Alone struct{}

func errAlone() error {
	return errs.New(errs.Unavailable, "this node listens to no peers: start it with --peer-listen")
}

// Send loses everything.
func (Alone) Send(uint32, []*pb.Message) {}

// Call fails.
func (Alone) Call(context.Context, uint64, string, []byte) ([]byte, error) { return nil, errAlone() }

// CallAddr fails.
func (Alone) CallAddr(context.Context, string, string, []byte) ([]byte, error) {
	return nil, errAlone()
}

// Submit ends every call with no_leader.
func (Alone) Submit(_ uint64, number uint32, calls []*event.Call) {
	for _, c := range calls {
		c.Err = errs.New(errs.NoLeader, "shard %d is led by another node, and this one listens to no peers: start it with --peer-listen; nothing was written", number)
		c.Done(c)
	}
}

// Recall has nothing to end.
func (Alone) Recall(uint64, uint32) {}

// Read fails.
func (Alone) Read(context.Context, uint64, uint32, event.ReadSpec) (event.Reader, error) {
	return nil, errAlone()
}

// Fetch fails.
func (Alone) Fetch(context.Context, uint64, uint32, string, int64, func([]byte) error) error {
	return errAlone()
}

// Connected is never so.
func (Alone) Connected(uint64) bool { return false }

// SetCluster has nobody to tell.
func (Alone) SetCluster(string) {}

// SetPeers has nobody to tell.
func (Alone) SetPeers([]uint64) {}
