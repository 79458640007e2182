package entity

import (
	"context"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/gesta-db/gesta/internal/errs"
)

// Attached is a handler's way to give what it has.
type Attached struct {
	d *Dispatcher
	a *Attachment
	// Name is what the process is called.
	Name string
}

// Attach lets a handler serve, after its kinds' topics were made and what they hold was compared with what it reads. Errors: exists
// when another service serves a kind; unsupported when the log holds events that it does not read.
func (d *Dispatcher) Attach(ctx context.Context, h *Hello, handler Handler) (*Attached, error) {
	for i := range h.Kinds {
		if err := d.log.Prepare(ctx, h.Kinds[i].Name); err != nil {
			return nil, err
		}
		if err := d.readable(ctx, &h.Kinds[i], h); err != nil {
			return nil, err
		}
	}
	type answer struct {
		a   *Attachment
		err error
	}
	got := make(chan answer, 1)
	ok := d.do(func(c *Core) {
		a, err := c.Attach(h)
		if err == nil {
			a.handler = handler
		}
		got <- answer{a, err}
	})
	if !ok {
		return nil, d.why()
	}
	select {
	case r := <-got:
		if r.err != nil {
			return nil, r.err
		}
		return &Attached{d: d, a: r.a, Name: r.a.name}, nil
	case <-d.ctx.Done():
		return nil, errs.New(errs.Unavailable, "the node stops: attach again, or to another node").With("reason", "draining")
	}
}

// Results gives results to the dispatcher, which keeps them.
func (h *Attached) Results(rs []*Result, credit int) {
	h.d.do(func(c *Core) {
		for _, r := range rs {
			c.Result(h.a, r)
		}
		if credit > 0 {
			c.Grant(h.a, credit)
		}
	})
}

// Sent tells that everything given to Handler.Send went out.
func (h *Attached) Sent() { h.d.do(func(c *Core) { c.Sent(h.a) }) }

// Drain takes no more tasks: a frame that says so comes behind the last one.
func (h *Attached) Drain(reason string) {
	h.d.do(func(c *Core) { c.Drain(h.a, reason) })
}

// Detach ends it: what the handler had in hand goes to others.
func (h *Attached) Detach(reason string) {
	h.d.do(func(c *Core) { c.Detach(h.a, reason) })
}

// versions keeps which events each kind's topic holds.
type versions struct {
	mu    sync.Mutex
	kinds map[string]*held
}

// held is what one topic holds. Its lock is held while the topic is read.
type held struct {
	mu   sync.Mutex
	seen map[version]bool
	upTo string // the position up to which the topic was read
}

type version struct {
	typ     string
	version uint32
}

func (v *versions) of(kind string) *held {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.kinds == nil {
		v.kinds = map[string]*held{}
	}
	h := v.kinds[kind]
	if h == nil {
		h = &held{seen: map[version]bool{}}
		v.kinds[kind] = h
	}
	return h
}

// readable refuses a handler that cannot read what its kind's topic holds, and says what.
func (d *Dispatcher) readable(ctx context.Context, k *KindConfig, h *Hello) error {
	if k.Events == nil {
		return nil
	}
	held := d.seen.of(k.Name)
	held.mu.Lock()
	defer held.mu.Unlock()
	upTo, err := d.log.Versions(ctx, k.Name, held.upTo, func(typ []byte, v uint32) {
		if !held.seen[version{string(typ), v}] { // without allocating
			held.seen[version{string(typ), v}] = true
		}
	})
	if held.upTo = upTo; err != nil {
		return err
	}
	var missing []string
	for v := range held.seen {
		if !k.reads(v.typ, v.version) {
			missing = append(missing, v.typ+" version "+strconv.FormatUint(uint64(v.version), 10))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	sort.Strings(missing)
	list := strings.Join(missing[:min(len(missing), 32)], ", ")
	return errs.New(errs.Unsupported, "the log of kind %s holds events that build %q of %s does not read: %s; declare their versions and let fold handle them, or run the build that does", k.Name, h.Build, h.Service, list).
		With("kind", k.Name).With("unreadable", list)
}

// DrainWhenIdle asks every handler to finish and go as soon as nothing waits for one.
func (c *Core) DrainWhenIdle(reason string) {
	c.leaving = reason
	c.leave()
}

func (c *Core) leave() {
	if c.leaving == "" || c.pending.first != nil || len(c.folds) > 0 {
		return
	}
	for _, a := range slices.Clone(c.atts) {
		c.Drain(a, c.leaving)
	}
}

// Halt answers everything that waits: with why where nothing was decided, else that nobody knows.
func (c *Core) Halt(why error) {
	for cmd := c.pending.first; cmd != nil; cmd = cmd.after {
		err := why
		if cmd.phase == settled && cmd.write != nil || cmd.phase == inTask {
			err = errs.New(errs.UnknownOutcome, "the node stopped while the command was being executed; it may have been written: retry with the same id")
		}
		for _, call := range append(slices.Clip(cmd.twins), cmd.call) {
			if call != cmd.call || !cmd.told {
				c.answer(call, err)
			}
		}
		cmd.told, cmd.twins = true, nil
	}
	for f := range c.folds {
		c.endFold(f, nil, why)
	}
}
