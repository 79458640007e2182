package sim

import (
	"fmt"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/meta"
)

// cursors is how many cursors the clerks move.
const cursors = 3

// clerk changes the meta group's state from one node at a time, as meta.Meta does for its callers: where that node does not lead, the
// change goes to the node that does, as a call whose answer may be lost.
type clerk struct {
	c       *council
	number  int
	count   int
	now     *move
	at      *seat
	pending *meta.Pending
	asked   bool // a call is under way
	applied uint64
	wait    bool
	tries   int
}

// move is one change of a cursor.
type move struct {
	clerk, cursor     int
	position          string
	expect            *string
	invoked, returned int64
	acked, conflict   bool
	nothing           bool // it was never proposed, or refused every time
	actual            string
}

// ask is a change on its way to another node, its stay there, or its answer on the way back.
type ask struct {
	clerk   *clerk
	move    *move
	try     int
	to      *seat
	payload []byte
	at      *meta.Stepped // that it was proposed at
	pending *meta.Pending
	index   uint64
	err     error
	back    bool
}

func (k *clerk) act() error {
	switch {
	case k.now == nil:
		return k.begin()
	case k.pending != nil:
		return k.poll()
	case k.wait:
		k.seen()
	}
	return nil
}

func (k *clerk) begin() error {
	at := k.c.seats[k.c.rng.IntN(len(k.c.seats))]
	if at.meta == nil || k.c.calm {
		return nil
	}
	k.count++
	m := &move{clerk: k.number, cursor: k.c.rng.IntN(cursors), position: fmt.Sprintf("p%d-%d", k.number, k.count), invoked: k.c.next()}
	if k.c.rng.IntN(3) > 0 {
		was, _ := at.meta.Cursor(m.name())
		m.expect = &was.Position
	}
	k.now, k.at, k.tries = m, at, 0
	k.c.history = append(k.c.history, m)
	return k.try()
}

func (m *move) name() string { return fmt.Sprint("c", m.cursor) }

func (c *council) next() int64 {
	c.moment++
	return c.moment
}

func (k *clerk) try() error {
	payload, err := meta.CursorCommand(k.now.name(), k.now.position, k.now.expect)
	if err != nil {
		return err
	}
	k.tries++
	k.pending = k.at.meta.Propose(payload)
	return k.c.advance(k.at)
}

// poll looks whether the change is decided here, and sends it on when another node leads.
func (k *clerk) poll() error {
	index, err, decided := k.pending.Outcome()
	if !decided {
		return nil
	}
	k.pending = nil
	leader := k.at.meta.Status().Leader
	if errs.CodeOf(err) == errs.NoLeader && leader != 0 && leader != k.at.id {
		payload, err := meta.CursorCommand(k.now.name(), k.now.position, k.now.expect)
		if err != nil {
			return err
		}
		k.c.stats.Forwarded++
		k.asked = true
		k.c.asks = append(k.c.asks, &ask{clerk: k, move: k.now, try: k.tries, to: k.c.seats[leader-1], payload: payload})
		return nil
	}
	return k.told(index, err)
}

// carry moves a random call one step: to the leader, or its answer back. Either may be lost, and then the caller's outcome is unknown.
func (c *council) carry() error {
	if len(c.asks) == 0 {
		return nil
	}
	i := c.rng.IntN(len(c.asks))
	a := c.asks[i]
	lost := !c.calm && c.rng.IntN(20) == 0
	switch {
	case !a.back && a.pending == nil: // on its way there
		if lost || a.to.meta == nil || c.cut[[2]uint64{a.clerk.at.id, a.to.id}] {
			a.err, a.back = errs.New(errs.UnknownOutcome, "the call is lost"), true
			return nil
		}
		a.at, a.pending = a.to.meta, a.to.meta.Propose(a.payload)
		return c.advance(a.to)
	case !a.back:
		index, err, decided := a.pending.Outcome()
		if decided {
			a.index, a.err, a.back = index, err, true
		}
		if !decided && a.to.meta != a.at || decided && lost {
			c.stats.AnswersLost++
			a.err, a.back = errs.New(errs.UnknownOutcome, "the answer is lost"), true
		}
		return nil
	}
	c.asks = append(c.asks[:i], c.asks[i+1:]...)
	k := a.clerk
	if k.now != a.move || k.tries != a.try || !k.asked {
		return nil
	}
	k.asked = false
	return k.told(a.index, a.err)
}

// told takes an outcome: a change that was not proposed is tried again, or given up.
func (k *clerk) told(index uint64, err error) error {
	switch errs.CodeOf(err) {
	case "":
		k.applied, k.wait = index, true
		k.seen()
		return nil
	case errs.Conflict:
		k.now.conflict, k.now.actual = true, errs.As(err).Details["actual_position"]
		k.c.stats.Refused++
	case errs.UnknownOutcome:
		k.c.stats.Unknown++
	case errs.NoLeader:
		if k.tries < 5 && k.at.meta != nil {
			return k.try()
		}
		k.now.nothing = true
	default:
		return fmt.Errorf("clerk %d got %w", k.number, err)
	}
	k.end()
	return nil
}

// seen ends a change that was made once the node that it was asked of has applied it, so that who asked sees it.
func (k *clerk) seen() {
	if k.at.meta == nil || k.at.meta.Status().Applied < k.applied {
		return
	}
	k.now.acked = true
	k.c.stats.Acked++
	k.end()
}

func (k *clerk) end() {
	k.now.returned = k.c.next()
	k.c.trace("clerk %d at node %d: %+v", k.number, k.at.id, *k.now)
	k.now, k.wait, k.pending, k.asked = nil, false, nil, false
}

// crashed tells a clerk that its node is gone: what it has not heard it never will.
func (k *clerk) crashed(s *seat) {
	if k.now != nil && k.at == s {
		k.c.stats.Unknown++
		k.end()
	}
}
