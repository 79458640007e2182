package cluster

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/shard"
)

// routeAgain is how long appends rest that found no leader before they look for one again.
const routeAgain = 10 * time.Millisecond

// Route brings the appends of this node to the leader of one shard, wherever it is, in their order.
//
// An append that ends with no_leader was not written, so it waits for the next leader within its deadline. Its order is kept: from the
// first such end on, everything that comes is parked, and nothing is sent before all that was sent has ended. One that ends with
// unknown_outcome may have been written; it is sent again too, because its events have ids, and the log answers a repeat with the first
// outcome.
type Route struct {
	h      *Host
	number uint32

	mu       sync.Mutex
	sequence uint64
	flying   int
	parked   []*passage
	waiting  bool   // a timer runs that sends what is parked
	asked    uint64 // who was last handed something; 0: nobody, or the replica here
}

// passage is a call on its way.
type passage struct {
	route    *Route
	call     *event.Call
	done     func(*event.Call)
	user     any
	sequence uint64
	again    bool // it may have been written before
}

// Route gives the way to a shard.
func (h *Host) Route(number uint32) *Route {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.routes[number]
	if !ok {
		r = &Route{h: h, number: number}
		h.routes[number] = r
	}
	return r
}

// ways are all routes that were asked for.
func (h *Host) ways() []*Route {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Collect(maps.Values(h.routes))
}

// Submit takes on calls in their order.
func (r *Route) Submit(calls []*event.Call) {
	if s := r.h.local(r.number); s != nil && r.h.alone() {
		s.Submit(calls) // nobody else can lead
		return
	}
	r.recall()
	store := make([]passage, len(calls))
	r.mu.Lock()
	for i, c := range calls {
		p := &store[i]
		r.sequence++
		*p = passage{route: r, call: c, done: c.Done, user: c.User, sequence: r.sequence}
		c.Done, c.User = passed, p
	}
	if len(r.parked) > 0 {
		for i := range store {
			r.parked = append(r.parked, &store[i])
		}
		r.mu.Unlock()
		return
	}
	r.flying += len(calls)
	r.mu.Unlock()
	r.send(calls)
}

// alone tells that the cluster has one node: what leads, leads here.
func (h *Host) alone() bool { return h.meta.Size() <= 1 }

// send hands calls to the leader. Without one that is known, they come back with no_leader.
func (r *Route) send(calls []*event.Call) {
	local, leader := r.leader()
	switch {
	case local != nil && (leader == 0 || leader == r.h.id.Replica):
		local.Submit(calls)
	case leader != 0:
		r.mu.Lock()
		r.asked = leader
		r.mu.Unlock()
		r.h.o.Transport.Submit(leader, r.number, calls)
	default:
		for _, c := range calls {
			c.Err = errs.New(errs.NoLeader, "the leader of shard %d is not known here; nothing was written: try again", r.number)
			c.Done(c)
		}
	}
}

// recall takes back what was sent to a leader that was followed by another one since. It may be out of reach, and all that comes later
// would wait for its answers.
func (r *Route) recall() {
	_, leader := r.leader()
	r.mu.Lock()
	asked := r.asked
	stale := leader != 0 && asked != 0 && leader != asked
	if stale {
		r.asked = 0
	}
	r.mu.Unlock()
	if stale {
		r.h.o.Transport.Recall(asked, r.number)
	}
}

// recallEvery is how often leaders are looked at for what was sent to the one before: a fraction of an election.
const recallEvery = 50 * time.Millisecond

// recallAll looks after the routes on its own: what else a host does now and then may wait for a leader.
func (h *Host) recallAll() {
	tick := time.NewTicker(recallEvery)
	defer tick.Stop()
	for {
		select {
		case <-h.context.Done():
			return
		case <-tick.C:
		}
		for _, r := range h.ways() {
			r.recall()
		}
	}
}

// Leader is who leads the shard, as far as is known here.
func (r *Route) Leader() (uint64, bool) {
	_, leader := r.leader()
	return leader, leader != 0
}

// leader finds who leads: the replica here knows, or else another node that says so.
func (r *Route) leader() (local *shard.Shard, leader uint64) {
	if local = r.h.local(r.number); local != nil && local.Running() {
		return local, local.Leader()
	}
	return nil, r.h.leaderElsewhere(r.number)
}

// passed is the Done of every call that was sent.
func passed(c *event.Call) {
	p := c.User.(*passage)
	r := p.route
	wait := false
	switch errs.CodeOf(c.Err) {
	case errs.NoLeader:
		wait = true
	case errs.UnknownOutcome:
		wait, p.again = true, true
	}
	if wait && (c.Deadline.IsZero() || r.h.o.Clock.Now().Before(c.Deadline)) && r.h.context.Err() == nil {
		r.park(p)
		return
	}
	r.mu.Lock()
	r.flying--
	send := r.due()
	r.mu.Unlock()
	r.later(send)
	p.end()
}

// end gives the call back as it came. Who asked once is not told that it was repeated on the way.
func (p *passage) end() {
	c := p.call
	if p.again && c.Err == nil {
		c.Outcome.Repeated = false
	}
	if p.again && c.Err != nil && !judged(c.Err) {
		c.Err = errs.New(errs.UnknownOutcome, "shard %d could not be asked again what became of the append; it may have been written: retry with the same ids (%w)", p.route.number, c.Err)
	}
	c.Done, c.User = p.done, p.user
	c.Done(c)
}

// judged tells that an append was held against the ids of the log, and so was not written before either. Any other refusal, a full queue
// or disk among them, speaks of the last try alone.
func judged(err error) bool {
	code := errs.CodeOf(err)
	return code == errs.Conflict || code == errs.Invalid
}

func (r *Route) park(p *passage) {
	r.mu.Lock()
	r.flying--
	r.parked = append(r.parked, p)
	send := r.due()
	r.mu.Unlock()
	r.later(send)
}

// due tells whether what is parked may be sent after a rest: when all that was sent has ended. r.mu is held.
func (r *Route) due() bool {
	if r.flying > 0 || len(r.parked) == 0 || r.waiting {
		return false
	}
	r.waiting = true
	return true
}

func (r *Route) later(send bool) {
	if send {
		time.AfterFunc(routeAgain, r.resend)
	}
}

func (r *Route) resend() {
	r.mu.Lock()
	r.waiting = false
	ps := r.parked
	r.parked = nil
	slices.SortFunc(ps, func(a, b *passage) int { return cmp.Compare(a.sequence, b.sequence) })
	calls := make([]*event.Call, len(ps))
	for i, p := range ps {
		calls[i] = p.call
		p.call.Err, p.call.Outcome = nil, event.Outcome{}
	}
	r.flying += len(calls)
	r.mu.Unlock()
	r.send(calls)
}

// Number is the shard's.
func (r *Route) Number() uint32 { return r.number }

// Local is the shard's replica here; nil for none.
func (r *Route) Local() *shard.Shard { return r.h.local(r.number) }

// Read reads from the replica here, or from the leader where there is none.
func (r *Route) Read(ctx context.Context, spec event.ReadSpec) (event.Reader, error) {
	local, leader := r.leader()
	if local != nil {
		return local.Read(ctx, spec)
	}
	if leader == 0 {
		return nil, errs.New(errs.NoLeader, "the leader of shard %d is not known here: try again", r.number)
	}
	return r.h.o.Transport.Read(ctx, leader, r.number, spec)
}

// leaderElsewhere finds the leader of a shard without a replica here by what the other nodes last said of themselves.
func (h *Host) leaderElsewhere(number uint32) uint64 {
	best, term := uint64(0), uint64(0)
	for _, n := range h.Nodes() {
		for _, s := range n.Health.Shards {
			if s.Shard == number && s.Role == replica.Leader.String() && s.Term >= term {
				best, term = n.Member.Replica, s.Term
			}
		}
	}
	return best
}
