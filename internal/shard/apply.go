package shard

import (
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/seglog"
)

// Apply folds a committed entry: into the index, the tail and the outcomes of those who wait.
func (c *Core) Apply(e replica.Entry) {
	if c.out.Fatal != nil {
		return
	}
	if seg := c.log.SegmentOf(e.Index); seg != c.segment {
		c.segment = seg
		c.ix.Begin(seg)
	}
	if e.Type == seglog.TypeRecords && len(e.Data) > 0 {
		if err := c.fold(e); err != nil {
			c.out.Fatal = err
			return
		}
	}
	c.decide(e)
	if s := c.rep.Status(); s.Role == replica.Leader && e.Term == s.Term {
		c.confirmBy(e.Index)
		c.serve()
	}
}

// serve begins to judge once an entry of this leader's own term is applied: before that, entries of earlier terms may still
// come, and what would be judged without them would be wrong.
func (c *Core) serve() {
	if c.serving {
		return
	}
	if c.settings.History == 0 {
		if len(c.flights) == 0 && !c.proposedSettings() {
			c.begin()
		}
		return
	}
	c.serving = true
	c.proposed.reset(c.lastOffset, c.lastTime)
	c.proposed.lastIndex = c.rep.Status().Applied
}

// proposedSettings tells whether this term's entry with the settings is on its way: it is the only one before serving.
func (c *Core) proposedSettings() bool { return c.rep.Next() > c.rep.Status().Applied+1 }

// fold checks an entry against the promises of who judged it, and indexes its events.
func (c *Core) fold(e replica.Entry) error {
	f := Fold{Shard: c.cfg.Number, LastOffset: c.lastOffset, LastTime: c.lastTime}
	if err := f.Entry(e); err != nil {
		return err
	}
	if f.Settings != nil {
		c.settings = *f.Settings
	}
	f.index(c.ix)
	c.tail.add(e, c.lastOffset+1, f.LastOffset)
	c.tail.watch.tell(f.Events)
	c.lastOffset, c.lastTime = f.LastOffset, f.LastTime
	return nil
}

// decide releases the calls whose entry is now decided: written as proposed, or lost to another leader's entry. Terms never fall along
// a log, so what was proposed in an earlier term than that of a committed entry, and did not come before it, is lost as well: a
// leader that lost its place and has it again may have proposed at the same index twice.
func (c *Core) decide(e replica.Entry) {
	kept := c.flights[:0]
	for _, f := range c.flights {
		switch {
		case f.index == e.Index && f.term == e.Term:
			c.proposed.applied(f)
			c.finish(f, nil)
		case f.index <= e.Index || f.term < e.Term:
			c.finish(f, errs.New(errs.NoLeader, "leadership moved before the append was replicated; nothing was written: try again"))
		default:
			kept = append(kept, f)
		}
	}
	clear(c.flights[len(kept):])
	c.flights = kept
}

func (c *Core) finish(f *flight, err error) {
	for _, t := range f.tasks {
		if err != nil {
			t.call.Outcome, t.call.Err = event.Outcome{}, err
		}
		c.out.Done = append(c.out.Done, t)
	}
}
