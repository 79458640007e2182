package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
)

// partsReader reads the shards of a topic at once, each by a goroutine of its own that waits for the batch to be taken before it reads
// on: so the memory is that of one batch for each, and a slow shard does not hold up the others.
//
// Every batch is of one shard and tells where the read is in all of them. So that the first can, nothing is given before each shard has
// told where it begins.
type partsReader struct {
	spec  event.ReadSpec
	parts []*part // in the order of their shards' numbers
	stop  context.CancelFunc
	tasks sync.WaitGroup
	got   chan *part // what has come; never full

	begun  bool
	ready  []*part // that have a batch, in the order in which it came
	taken  *part   // whose batch the caller has
	left   uint64  // events until the limit
	over   bool
	others position.List
}

// part is the read of one shard.
type part struct {
	shard  uint32
	log    Shard
	reader event.Reader
	next   chan struct{} // asks for a batch

	batch event.Batch
	err   error

	at       position.Position // up to where it was given
	live     bool
	done     bool
	pending  bool              // batch holds what was not given yet
	recorded int64             // time of the batch's first event
	reached  position.Position // the batch's end
}

// readAll begins a read of several shards.
func (g *Gateway) readAll(ctx context.Context, shards []uint32, spec event.ReadSpec) (event.Reader, error) {
	ctx, stop := context.WithCancel(ctx)
	r := &partsReader{spec: spec, stop: stop, left: spec.Limit, got: make(chan *part, len(shards))}
	for _, number := range shards {
		s, err := g.shard(number)
		if err != nil {
			stop()
			return nil, err
		}
		r.parts = append(r.parts, &part{shard: number, log: s, next: make(chan struct{}, 1)})
	}
	slices.SortFunc(r.parts, func(a, b *part) int { return cmp.Compare(a.shard, b.shard) })
	if err := r.open(ctx); err != nil {
		r.Close()
		return nil, err
	}
	for _, p := range r.parts {
		r.tasks.Go(func() { p.run(ctx, r.got) })
		p.next <- struct{}{}
	}
	return r, nil
}

// open begins the reads, all at once: each asks its shard's leader how far the log is.
func (r *partsReader) open(ctx context.Context) error {
	where := &shared{Predicate: r.spec.Where}
	failed := make([]error, len(r.parts))
	var opening sync.WaitGroup
	for i, p := range r.parts {
		spec := r.spec
		// What follows tells where it is when it has caught up; a read that does not is ended there.
		spec.Follow = !spec.Backwards
		if spec.From.Kind == event.AtPosition {
			spec.From.Position, _ = r.spec.From.Place().In(p.shard)
			spec.From.Others = nil
		}
		if spec.Where != nil {
			spec.Where = &awaited{Predicate: where, ctx: ctx}
		}
		opening.Go(func() { p.reader, failed[i] = p.log.Read(ctx, spec) })
	}
	opening.Wait()
	return errors.Join(failed...)
}

// run reads on whenever it is asked to.
func (p *part) run(ctx context.Context, got chan<- *part) {
	for first := true; ; first = false {
		select {
		case <-p.next:
		case <-ctx.Done():
			return
		}
		p.batch, p.err = p.reader.Next(ctx)
		if first {
			p.begin(ctx)
		}
		got <- p
		if p.err != nil {
			return
		}
	}
}

// begin finds out where the read begins: in front of its first event, or where it came without any.
func (p *part) begin(ctx context.Context) {
	switch {
	case errors.Is(p.err, io.EOF): // backwards, and there was nothing
		_, at, err := p.log.Head(ctx, nil, nil)
		if p.at = at; err != nil {
			p.err = err
		}
		p.at.Offset = 0
		return
	case p.err != nil:
		return
	}
	if p.at = p.batch.Position; len(p.batch.Events) == 0 {
		return
	}
	v, err := viewed(p.batch.Events[0])
	if p.err = err; err != nil {
		return
	}
	if p.at.Offset = v.Offset; p.batch.Position.Offset >= v.Offset { // forwards
		p.at.Offset--
	}
}

func viewed(recorded []byte) (v eventwire.View, err error) {
	if err := eventwire.ViewRecorded(recorded, &v); err != nil {
		return v, errs.New(errs.Corrupt, "a recorded event cannot be read: %w", err)
	}
	return v, nil
}

// Next gives the next batch of any shard, or, by recorded time, of the shard whose turn it is.
func (r *partsReader) Next(ctx context.Context) (event.Batch, error) {
	r.letGo()
	for !r.over {
		p, err := r.turn(ctx)
		if err != nil {
			return event.Batch{}, err
		}
		if p == nil {
			r.over = true
			break
		}
		if b, ok, err := r.give(p); ok || err != nil {
			return b, err
		}
		r.letGo()
	}
	return event.Batch{}, io.EOF
}

// letGo lets the shard read on whose batch has been used.
func (r *partsReader) letGo() {
	if p := r.taken; p != nil && !p.pending && !p.done && !r.over {
		p.next <- struct{}{}
	}
	r.taken = nil
}

// turn gives the shard whose batch is next; nil: there are no more.
func (r *partsReader) turn(ctx context.Context) (*part, error) {
	if r.spec.Order == event.ByRecorded || !r.begun {
		if err := r.waitAll(ctx); err != nil {
			return nil, err
		}
	}
	r.begun = true
	if r.spec.Order == event.ByRecorded {
		return r.earliest(), nil
	}
	for len(r.ready) == 0 {
		if !slices.ContainsFunc(r.parts, func(p *part) bool { return !p.done }) {
			return nil, nil
		}
		if err := r.wait(ctx); err != nil {
			return nil, err
		}
	}
	p := r.ready[0]
	r.ready = slices.Delete(r.ready, 0, 1)
	return p, nil
}

// waitAll waits until every shard has a batch, or no more.
func (r *partsReader) waitAll(ctx context.Context) error {
	for slices.ContainsFunc(r.parts, func(p *part) bool { return !p.pending && !p.done }) {
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// wait takes in what comes next.
func (r *partsReader) wait(ctx context.Context) error {
	select {
	case p := <-r.got:
		return r.came(p)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// came notes what a shard has given.
func (r *partsReader) came(p *part) error {
	switch {
	case errors.Is(p.err, io.EOF):
		p.done = true
		return nil
	case p.err != nil:
		return p.err
	}
	p.reached = p.batch.Position
	if err := p.look(); err != nil {
		return err
	}
	if p.pending = true; r.spec.Order == event.ByShard {
		r.ready = append(r.ready, p)
	}
	return nil
}

// look notes when the batch's first event was recorded.
func (p *part) look() error {
	if len(p.batch.Events) == 0 {
		return nil
	}
	v, err := viewed(p.batch.Events[0])
	p.recorded = v.Recorded
	return err
}

// earliest gives the shard whose next event was recorded first (backwards: last). What came without events goes before: it tells how far
// a filter has left everything out.
func (r *partsReader) earliest() (best *part) {
	for _, p := range r.parts {
		switch {
		case !p.pending:
		case len(p.batch.Events) == 0:
			return p
		case best == nil || r.before(p, best):
			best = p
		}
	}
	return best
}

// before tells whether the next event of a comes before that of b.
func (r *partsReader) before(a, b *part) bool {
	order := cmp.Or(cmp.Compare(a.recorded, b.recorded), cmp.Compare(a.shard, b.shard))
	if r.spec.Backwards {
		return order > 0
	}
	return order < 0
}

// give makes the caller's batch of a shard's; ok is false when there is nothing to tell.
func (r *partsReader) give(p *part) (b event.Batch, ok bool, err error) {
	r.taken = p
	b, p.pending = p.batch, false
	if r.spec.Order == event.ByRecorded {
		if b.Events, err = r.run(p); err != nil {
			return b, false, err
		}
	}
	if r.spec.Limit > 0 && uint64(len(b.Events)) >= r.left {
		b.Events, r.over = b.Events[:r.left], true
		p.pending = len(b.Events) < len(p.batch.Events)
	}
	if r.left -= min(r.left, uint64(len(b.Events))); p.pending {
		if p.at, err = r.after(b.Events[len(b.Events)-1], p.reached); err != nil {
			return b, false, err
		}
		p.batch.Events, p.batch.ResolvedOffset = p.batch.Events[len(b.Events):], 0
		if err := p.look(); err != nil {
			return b, false, err
		}
	} else {
		p.at = p.reached
	}
	if b.Live {
		p.live, p.done = true, !r.spec.Follow
	}
	// What is live is so once, with the last shard to catch up.
	b.Live = b.Live && r.spec.Follow && !slices.ContainsFunc(r.parts, func(p *part) bool { return !p.live })
	b.Position, b.Others = p.at, r.elsewhere(p)
	return b, len(b.Events) > 0 || b.Live || !p.batch.Live, nil
}

// run gives the events of a shard that come before those of all others.
func (r *partsReader) run(p *part) ([][]byte, error) {
	var rival *part
	for _, o := range r.parts {
		if o != p && o.pending && (rival == nil || r.before(o, rival)) {
			rival = o
		}
	}
	events := p.batch.Events
	if rival == nil || len(events) == 0 {
		return events, nil
	}
	next := part{shard: p.shard}
	for i, e := range events {
		v, err := viewed(e)
		if err != nil {
			return nil, err
		}
		if next.recorded = v.Recorded; !r.before(&next, rival) {
			p.pending = true
			return events[:i], nil
		}
	}
	return events, nil
}

// after is the position behind an event (backwards: at which it is not read again).
func (r *partsReader) after(recorded []byte, at position.Position) (position.Position, error) {
	v, err := viewed(recorded)
	if at.Offset = v.Offset; r.spec.Backwards {
		at.Offset--
	}
	return at, err
}

// elsewhere is where the read is in all shards but one.
func (r *partsReader) elsewhere(but *part) position.List {
	r.others = r.others[:0]
	for _, p := range r.parts {
		if p != but {
			r.others = append(r.others, p.at)
		}
	}
	return r.others
}

// Close ends the reads.
func (r *partsReader) Close() {
	r.stop()
	r.tasks.Wait()
	for _, p := range r.parts {
		if p.reader != nil {
			p.reader.Close()
		}
	}
}

// shared lets the goroutines of several shards use one condition, one after another.
type shared struct {
	event.Predicate
	mu sync.Mutex
}

// Match looks at an event.
func (s *shared) Match(recorded []byte, v *eventwire.View) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Predicate.Match(recorded, v)
}

// String is the condition's text, for a read that goes on at another node; empty when it has none.
func (s *shared) String() string {
	if t, ok := s.Predicate.(fmt.Stringer); ok {
		return t.String()
	}
	return ""
}
