package gateway

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gesta-db/gesta/internal/clock"
	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/filter"
	"github.com/gesta-db/gesta/internal/limits"
)

// Options is what a gateway is made of.
type Options struct {
	// Shards hold the topics.
	Shards     Shards
	Topics     Topics
	Cursors    Cursors
	Cluster    Cluster    // nil: the server has none
	Authorizer Authorizer // nil: AllowAll
	Limits     *limits.Limits
	Clock      clock.Clock // nil: the system's
	Listener   *Listener   // nil: nobody listens
	Tracer     Tracer      // nil: calls are not traced
	Identity   Identity
	Entities   *EntityOptions // nil: it runs no entities
}

// Identity says which node this is.
type Identity struct {
	NodeID    string
	ClusterID string
	Version   string
	Started   time.Time
}

// Gateway is safe for concurrent use.
type Gateway struct {
	shards   Shards
	topics   Topics
	cursors  Cursors
	cluster  Cluster // nil: none
	auth     Authorizer
	limits   *limits.Limits
	clock    clock.Clock
	listener Listener
	tracer   Tracer
	identity Identity
	language func() *filter.Language // made when it is first used

	entities  *entity.Dispatcher // nil: none
	entityLog *entityLog
	placement Placement
	askNode   Ask
	ids       ids

	// refusal is set while appends are refused (no disk space); draining once the node is about to stop.
	refusal  atomic.Pointer[errs.Error]
	draining atomic.Bool
	disk     atomic.Pointer[Disk]

	names nameLocks
	// order is held for reading while appends pass from the look-up of their topics into the shard's queue, and for writing
	// while a topic's deletion begins.
	order sync.RWMutex
	under *flight // the appends since the last deletion began; order is held

	finish func(*event.Call) // g.finished, made once: a method value is an allocation
}

// New gives a gateway over what o holds.
func New(o Options) *Gateway {
	g := &Gateway{shards: o.Shards, topics: o.Topics, cursors: o.Cursors, cluster: o.Cluster, auth: o.Authorizer, limits: o.Limits, clock: o.Clock, tracer: o.Tracer, identity: o.Identity,
		under: newFlight(nil), language: sync.OnceValue(filter.New)}
	if g.auth == nil {
		g.auth = AllowAll{}
	}
	if g.clock == nil {
		g.clock = clock.System()
	}
	if o.Listener != nil {
		g.listener = *o.Listener
	}
	g.finish = g.finished
	g.openEntities(o.Entities)
	return g
}

// Started is when the node was.
func (g *Gateway) Started() time.Time { return g.identity.Started }

// Limits are the limits the doors hold requests to.
func (g *Gateway) Limits() *limits.Limits { return g.limits }

// Refuse makes every append fail with err until Refuse(nil): nothing of it reaches the log.
func (g *Gateway) Refuse(err *errs.Error) { g.refusal.Store(err) }

// Drain refuses new appends and reads from now on; what is under way goes on.
func (g *Gateway) Drain() { g.draining.Store(true) }

// ErrDraining is what a call gets that comes while the node is stopping.
func ErrDraining() *errs.Error {
	return errs.New(errs.Unavailable, "the node is draining before it stops; try again, or another node").With("reason", "draining")
}

// admit says whether the node takes on new work.
func (g *Gateway) admit() error {
	if g.draining.Load() {
		return ErrDraining()
	}
	return nil
}

func (g *Gateway) admitAppend() error {
	if err := g.refusal.Load(); err != nil {
		return err
	}
	return g.admit()
}
