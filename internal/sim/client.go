package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

const topic = "sim"

// client does one thing at a time and retries it with the same ids until it knows the outcome, or gives up.
type client struct {
	w        *world
	number   int
	sequence int
	now      *op
	last     *op // a finished append, to be repeated at times
	waiting  bool
	at       *node
	tries    int
}

// op is one logical operation, from its first try to its last answer.
type op struct {
	client   int
	key      string
	read     bool
	expect   event.Expect
	ids      []string
	command  string
	invoked  int64
	returned int64
	at       uint64 // the node that it was tried at last
	done     bool
	acked    bool
	repeated bool
	conflict bool
	open     bool   // an attempt ended without a word: it may have been written
	refused  bool   // given up after every attempt was told that nothing was written
	actual   uint64 // a conflict's, or a read's revision
	outcome  event.StreamOutcome
	commit   *event.Commit
}

func newClient(w *world, number int) *client { return &client{w: w, number: number} }

// moment orders invocations and returns: the world's own count of steps would do, time alone may stand still.
func (w *world) moment() int64 {
	w.clock++
	return w.clock
}

func (c *client) act() error {
	if c.waiting {
		return nil
	}
	if c.now == nil {
		c.begin()
	}
	return c.try()
}

// finish drives what is begun to its end, and begins nothing new.
func (c *client) finish() error {
	if c.now == nil || c.waiting {
		return nil
	}
	return c.try()
}

func (c *client) begin() {
	rng := c.w.rng
	o := &op{client: c.number, key: fmt.Sprint("k", rng.IntN(5)), invoked: c.w.moment()}
	c.tries = 0
	c.now = o
	c.w.history = append(c.w.history, o)
	if rng.IntN(8) == 0 {
		o.read = true
		return
	}
	if c.last != nil && rng.IntN(10) == 0 {
		// A repeat of something that is long done: it must get the first outcome, or be a new append past the window.
		o.key, o.ids, o.expect, o.command, o.repeated = c.last.key, c.last.ids, c.last.expect, c.last.command, true
		o.commit = c.last.commit
		return
	}
	c.sequence++
	for i := range 1 + rng.IntN(3) {
		o.ids = append(o.ids, fmt.Sprintf("c%d-%d-%d", c.number, c.sequence, i))
	}
	switch rng.IntN(6) {
	case 0:
		o.expect = event.Expect{Kind: event.None}
	case 1:
		o.expect = event.Expect{Kind: event.Exists}
	case 2, 3:
		o.expect = event.Expect{Kind: event.Exact, Revision: c.guess(o.key)}
	}
	if rng.IntN(4) == 0 {
		o.command = fmt.Sprintf("cmd-%d-%d", c.number, c.sequence)
	}
	o.commit = c.build(o)
}

// guess is what some node believes the revision to be: right at times, stale at others.
func (c *client) guess(key string) uint64 {
	for _, n := range c.w.nodes {
		if n.shard != nil {
			h, err := n.shard.Head([]byte(topic), []byte(key))
			if err == nil {
				return h.Revision
			}
		}
	}
	return 0
}

func (c *client) build(o *op) *event.Commit {
	a := event.Append{Topic: []byte(topic), Key: []byte(o.key), Expect: o.expect}
	size := 0
	for _, id := range o.ids {
		e := eventwire.Event{ID: id, Type: "Happened", Data: []byte(`{"n":` + fmt.Sprint(c.w.rng.IntN(1e9)) + `,"pad":"` + strings.Repeat("p", c.w.rng.IntN(350)) + `"}`)}
		b := eventwire.AppendEvent(nil, &e)
		a.Events = append(a.Events, event.Prepared{ID: []byte(id), Type: []byte(e.Type), Bytes: b})
		size += len(b)
	}
	return &event.Commit{Streams: []event.Append{a}, CommandID: []byte(o.command), Bytes: size}
}

func (c *client) try() error {
	n := c.w.nodes[c.w.rng.IntN(len(c.w.nodes))]
	if n.shard == nil {
		return nil
	}
	o := c.now
	o.at = n.id
	c.tries++
	deadline := c.w.now.Add(n.skew + 3*time.Second)
	c.waiting, c.at = true, n
	try := c.tries
	if o.read {
		n.shard.Barrier(deadline, func(err error) {
			if c.now != o || c.tries != try {
				return
			}
			c.waiting = false
			if err == nil {
				h, _ := n.shard.Head([]byte(topic), []byte(o.key))
				o.actual = h.Revision
				c.w.trace("client %d read %s at node %d: %d", c.number, o.key, n.id, o.actual)
				c.end(o)
			}
		})
		return c.w.advance(n)
	}
	call := &event.Call{Commit: o.commit, Deadline: deadline, Done: func(call *event.Call) {
		if c.now == o && c.tries == try {
			c.waiting = false
			c.answered(o, call)
		}
	}}
	if err := n.shard.Submit(call); err != nil {
		c.waiting = false
		return c.w.met(n, err)
	}
	return c.w.advance(n)
}

func (c *client) answered(o *op, call *event.Call) {
	switch errs.CodeOf(call.Err) {
	case "":
		o.acked, o.outcome = true, call.Outcome.Streams[0]
		if call.Outcome.Repeated {
			c.w.stats.Repeated++
		}
		c.w.stats.Acked++
		c.w.trace("client %d appended to %s at node %d: revision %d, offset %d", c.number, o.key, o.at, o.outcome.FirstRevision, o.outcome.FirstOffset)
		c.last = o
		c.end(o)
	case errs.Conflict:
		o.conflict = true
		_, _ = fmt.Sscan(errs.As(call.Err).Details["actual_revision"], &o.actual)
		c.w.stats.Conflicts++
		c.end(o)
	case errs.UnknownOutcome:
		o.open = true
		c.w.stats.Unknown++
	case errs.NoLeader, errs.Busy:
		if !o.open && c.w.rng.IntN(10) == 0 {
			o.refused = true
			c.w.stats.Refused++
			c.end(o)
		}
	case errs.Corrupt: // a look-up met damage; nothing was written, and it is tried again
		if c.at != c.w.bitten {
			c.w.failed = fmt.Errorf("client %d got %w", c.number, call.Err)
		}
	default:
		c.w.failed = fmt.Errorf("client %d got %w", c.number, call.Err)
	}
}

func (c *client) end(o *op) {
	o.done, o.returned = true, c.w.moment()
	c.now = nil
}

// crashed tells a client that the answer it waits for will never come.
func (c *client) crashed(n *node) {
	if c.waiting && c.at == n {
		c.waiting = false
		c.tries++
		c.now.open = true
	}
}
