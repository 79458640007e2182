package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gesta-db/gesta/client"
)

const topic = "hostile"

const (
	writers = 9
	keys    = 5
	// pace is a writer's rest between two operations: enough of them to meet every moment, few enough for two cores.
	pace = 4 * time.Millisecond
	// patient is how long a writer waits for one answer; a hasty one gives up much earlier, to leave outcomes open.
	patient = 10 * time.Second
	hasty   = 60 * time.Millisecond
	// attempts is how often a writer that was left without an outcome asks again, with the same ids.
	attempts = 3
)

// part is what an operation does to one stream.
type part struct {
	key    string
	expect client.Expect
	ids    []string
}

type outcome string

const (
	open     outcome = "open"     // it may have been written
	acked    outcome = "acked"    //
	conflict outcome = "conflict" // certainly not written, because the condition did not hold
	refused  outcome = "refused"  // certainly not written
)

// op is one operation of one writer, from its first attempt to its last answer.
type op struct {
	writer            int
	read              bool
	parts             []part
	invoked, returned time.Duration // since the round began
	outcome           outcome
	results           []client.StreamResult
	key               string // the stream that a conflict is about, or that was read
	actual            uint64 // its revision
	tries             int
	err               error
}

// watcher follows the shard all the while.
type watcher struct {
	name  string
	facts []fact
	wrong error
	again int // how often its reader ended and was made anew
}

// fact is an event as a reader got it.
type fact struct {
	offset, revision uint64
	key, id          string
}

// round is a time under load, with one thing that happens in it.
type round struct {
	t      *testing.T
	c      *cluster
	number int64
	begun  time.Time
	first  uint64 // offset of the event that begins the round
	last   uint64 // of the one that ends it
	all    *client.Client

	mu       sync.Mutex
	history  []*op
	heads    map[string]uint64 // what somebody saw of the streams' revisions
	acks     []time.Duration   // when answers came
	patients []*op             // of writers that know every node and wait: what an application sees

	counted  atomic.Int64 // acks
	writing  sync.WaitGroup
	stop     chan struct{}
	watching sync.WaitGroup
	watchers []*watcher
	unwatch  context.CancelFunc
	told     string // what the round measured
}

var rounds atomic.Int64

// begin starts writers and watchers.
func (c *cluster) begin(t *testing.T) *round {
	t.Helper()
	r := &round{t: t, c: c, number: rounds.Add(1), heads: map[string]uint64{}, stop: make(chan struct{})}
	r.all = dial(t, c.addrs(0)...)
	r.first = r.mark("begin")
	r.begun = time.Now()
	for number := range writers {
		cl, wait := r.all, patient
		switch {
		case number%3 == 1: // knows one node only
			cl = dial(t, c.nodes[number/3].addr())
		case number%3 == 2: // begins with another node
			cl = dial(t, c.addrs(number/3)...)
		}
		if number == writers-2 {
			wait = hasty
		}
		r.writing.Go(func() { r.write(number, cl, wait) })
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.unwatch = cancel
	t.Cleanup(cancel)
	for _, n := range c.nodes {
		r.watch(ctx, n.name, dial(t, n.addr()))
	}
	r.watch(ctx, "any node", dial(t, c.addrs(1)...))
	r.until(200, "before anything happens")
	return r
}

// mark appends one event that all can find, and gives its offset.
func (r *round) mark(what string) uint64 {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), ready)
	defer cancel()
	res, err := r.all.Append(ctx, client.Append{Topic: topic, Key: "marks", Events: []client.Event{{ID: r.id(what), Type: "Marked"}}})
	if err != nil {
		r.t.Fatalf("mark %s: %v", what, err)
	}
	return res.Streams[0].FirstOffset
}

func (r *round) id(rest string) string { return fmt.Sprintf("r%d-%s", r.number, rest) }

// until waits for so many more acknowledged operations.
func (r *round) until(more int64, when string) {
	r.t.Helper()
	goal, tick := r.counted.Load()+more, time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(ready)
	for r.counted.Load() < goal {
		select {
		case <-tick.C:
		case <-end:
			r.t.Fatalf("%s: not %d more appends within %v", when, more, ready)
		}
	}
}

// knowsAll tells that a writer knows every node and waits for its answers.
func knowsAll(number int) bool { return number%3 != 1 && number != writers-2 }

func (r *round) write(number int, c *client.Client, wait time.Duration) {
	rng := rand.New(rand.NewPCG(uint64(r.number), uint64(number)))
	rest := time.NewTicker(pace)
	defer rest.Stop()
	for sequence := 0; ; sequence++ {
		select {
		case <-r.stop:
			return
		case <-rest.C:
		}
		o := r.invent(rng, number, sequence)
		o.invoked = time.Since(r.begun)
		r.perform(c, o, wait)
		o.returned = time.Since(r.begun)
		r.note(o)
	}
}

func (r *round) note(o *op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, o)
	if knowsAll(o.writer) {
		r.patients = append(r.patients, o)
	}
	if o.outcome == conflict || o.read && o.outcome == acked {
		r.heads[o.key] = o.actual
	}
	if o.outcome != acked || o.read {
		return
	}
	for i, p := range o.parts {
		r.heads[p.key] = o.results[i].LastRevision
	}
	r.acks = append(r.acks, o.returned)
	r.counted.Add(1)
}

// invent draws what a writer does next.
func (r *round) invent(rng *rand.Rand, writer, sequence int) *op {
	o := &op{writer: writer, outcome: open}
	if rng.IntN(10) == 0 {
		o.read, o.key = true, r.id(fmt.Sprint("k", rng.IntN(keys)))
		return o
	}
	first := rng.IntN(keys)
	for i := range 1 + rng.IntN(8)/6 { // one of four is about two streams
		p := part{key: r.id(fmt.Sprint("k", (first+i)%keys))}
		for e := range 1 + rng.IntN(3) {
			p.ids = append(p.ids, r.id(fmt.Sprintf("w%d-%d-%d-%d", writer, sequence, i, e)))
		}
		switch rng.IntN(8) {
		case 0:
			p.expect = client.Exists()
		case 1:
			p.expect = client.None()
		case 2, 3, 4:
			r.mu.Lock()
			p.expect = client.Revision(r.heads[p.key])
			r.mu.Unlock()
		}
		o.parts = append(o.parts, p)
	}
	return o
}

// perform does an operation, asking again with the same ids when it is left open.
func (r *round) perform(c *client.Client, o *op, wait time.Duration) {
	if o.read {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		h, err := c.Head(ctx, topic, o.key)
		if client.CodeOf(err) == client.CodeNotFound {
			err = nil // no event yet
		}
		if o.err = err; err == nil {
			o.outcome, o.actual = acked, h.Revision
		}
		return
	}
	commit := make([]client.Append, len(o.parts))
	for i, p := range o.parts {
		commit[i] = client.Append{Topic: topic, Key: p.key, Expect: p.expect}
		for _, id := range p.ids {
			commit[i].Events = append(commit[i].Events, client.Event{ID: id, Type: "Happened", Data: []byte(`{"id":"` + id + `"}`)})
		}
	}
	for unsure := false; ; unsure = true {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		res, err := c.Commit(ctx, commit)
		cancel()
		o.tries++
		o.judge(res, err)
		if o.outcome == refused && unsure {
			o.outcome = open
		}
		if o.outcome != open || o.tries == attempts || client.CodeOf(err) != client.CodeUnknownOutcome {
			return
		}
	}
}

// judge notes an answer.
func (o *op) judge(res client.Result, err error) {
	o.err = err
	switch client.CodeOf(err) {
	case "":
		o.outcome, o.results = acked, res.Streams
	case client.CodeConflict:
		var e *client.Error
		errors.As(err, &e)
		o.outcome, o.key = conflict, e.Details["key"]
		if o.actual, err = strconv.ParseUint(e.Details["actual_revision"], 10, 64); err != nil {
			o.outcome = open
		}
	case client.CodeNoLeader, client.CodeUnavailable, client.CodeBusy, client.CodeNoSpace:
		o.outcome = refused
	default:
		o.outcome = open
	}
}

// foreign is an error that no writer should ever see, whatever happens to the cluster.
func (o *op) foreign() bool {
	switch client.CodeOf(o.err) {
	case "", client.CodeConflict, client.CodeUnknownOutcome, client.CodeNoLeader, client.CodeUnavailable, client.CodeBusy, client.CodeNoSpace:
		return false
	}
	return true
}

// watch follows the shard from the round's first event on, for ever again from where it was.
func (r *round) watch(ctx context.Context, name string, c *client.Client) {
	w := &watcher{name: name}
	r.watchers = append(r.watchers, w)
	from := r.first
	r.watching.Go(func() {
		for ctx.Err() == nil {
			at := from + uint64(len(w.facts))
			reader := c.Read(ctx, client.ShardScope(1), client.ReadOptions{From: strconv.FormatUint(at, 10), Follow: true})
			w.follow(r, reader, from)
			_ = reader.Close()
			if w.wrong != nil {
				return
			}
			w.again++
		}
	})
}

// follow notes what comes until the reader ends.
func (w *watcher) follow(r *round, reader *client.Reader, from uint64) {
	for {
		e, err := reader.Next()
		if err != nil {
			if err != io.EOF && client.CodeOf(err) == client.CodeCorrupt {
				w.wrong = err
			}
			return
		}
		if due := from + uint64(len(w.facts)); e.Offset != due {
			w.wrong = fmt.Errorf("reader of %s got offset %d where %d was due", w.name, e.Offset, due)
			return
		}
		r.mu.Lock()
		w.facts = append(w.facts, factOf(e))
		r.mu.Unlock()
	}
}

func factOf(e *client.Recorded) fact {
	return fact{offset: e.Offset, revision: e.Revision, key: e.Key, id: e.ID}
}

// finish lets the writers end what they do, and the cluster become whole: every node takes an append and tells of it.
func (r *round) finish() {
	r.t.Helper()
	healed := time.Now()
	for _, n := range r.c.nodes {
		ctx, cancel := context.WithTimeout(context.Background(), ready)
		_, err := dial(r.t, n.addr()).Append(ctx, client.Append{Topic: topic, Key: "marks", Events: []client.Event{{ID: r.id("healed-" + n.name), Type: "Healed"}}})
		cancel()
		if took := time.Since(healed); err != nil || took > heal {
			r.t.Errorf("%s took an append %v after everything was well again: %v", n.name, took, err)
		}
	}
	r.told += fmt.Sprintf(" healed in %v;", time.Since(healed).Round(time.Millisecond))
	close(r.stop)
	r.writing.Wait()
	r.last = r.mark("end")
}

// longest is the longest time without an acknowledged append, between two moments of the round.
func (r *round) longest(from, to time.Duration) (gap time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := from
	for _, at := range r.acks {
		if at <= from {
			continue
		}
		if at >= to {
			break
		}
		gap, before = max(gap, at-before), at
	}
	return max(gap, to-before)
}

// slowest is the slowest operation of those of writers that know every node.
func (r *round) slowest() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	worst := &op{}
	for _, o := range r.patients {
		if o.returned-o.invoked > worst.returned-worst.invoked {
			worst = o
		}
	}
	what := "append"
	if worst.read {
		what = "read"
	}
	return fmt.Sprintf("%v (%s %s, %d tries, from %v, writer %d)", (worst.returned - worst.invoked).Round(time.Millisecond), what, worst.outcome, worst.tries, worst.invoked.Round(time.Millisecond), worst.writer)
}

// counts tells how the operations ended.
func (r *round) counts() map[outcome]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := map[outcome]int{}
	for _, o := range r.history {
		n[o.outcome]++
	}
	return maps.Clone(n)
}
