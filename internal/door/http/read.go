package http

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/limits"
)

const (
	// defaultPage is how many events a page has when nobody says.
	defaultPage = 100
	// pageBytes ends a page early, so that its memory is bounded by it and one event.
	pageBytes = 4 * limits.MiB
	// patience is how long a page is searched for: a filter that matches little may read much.
	patience = 5 * time.Second
)

// reading is a request to read, checked.
type reading struct {
	spec  event.ReadSpec
	shard uint32
	shape shape
	as    envelope
}

func (d *Door) readStream(w http.ResponseWriter, c *call) error {
	if err := checkStream(c); err != nil {
		return err
	}
	spec := event.ReadSpec{Scope: event.ScopeStream, Topic: []byte(c.path[0]), Key: []byte(c.path[1])}
	return d.read(w, c, reading{spec: spec}, "from", "direction", "type", "tag", "where", "limit", "follow", "stale", "envelope")
}

func (d *Door) readTopic(w http.ResponseWriter, c *call) error {
	if err := event.CheckTopic(c.path[0]); err != nil {
		return err
	}
	spec := event.ReadSpec{Scope: event.ScopeTopic, Topic: []byte(c.path[0])}
	return d.read(w, c, reading{spec: spec}, "from", "direction", "type", "tag", "where", "key_prefix", "limit", "follow", "stale", "envelope", "order")
}

func (d *Door) readShard(w http.ResponseWriter, c *call) error {
	n, err := strconv.ParseUint(c.path[0], 10, 32)
	if err != nil {
		return refuse("shard", "%.80q is no shard's number", c.path[0])
	}
	return d.read(w, c, reading{spec: event.ReadSpec{Scope: event.ScopeAll}, shard: uint32(n)}, "from", "direction", "type", "tag", "where", "key_prefix", "limit", "follow", "stale", "envelope", "order")
}

func checkStream(c *call) error {
	if err := event.CheckTopic(c.path[0]); err != nil {
		return err
	}
	return event.CheckKey(c.path[1], c.gate.Limits())
}

func (d *Door) read(w http.ResponseWriter, c *call, r reading, allowed ...string) error {
	q, err := parseQuery(c.Request, allowed...)
	if err != nil {
		return err
	}
	if err := r.parse(c, q); err != nil {
		return err
	}
	if r.shape == shapeLines || r.shape == shapeStream {
		return d.goOn(w, c, &r)
	}
	return d.page(w, c, &r)
}

// parse says the request in the gateway's words.
func (r *reading) parse(c *call, q query) (err error) {
	if r.shape, err = negotiate(c.Header); err != nil {
		return err
	}
	if err := r.direction(q); err != nil {
		return err
	}
	if err := r.envelope(q); err != nil {
		return err
	}
	if err := r.order(q); err != nil {
		return err
	}
	if err := r.from(c, q); err != nil {
		return err
	}
	if r.shape == shapePage || r.shape == shapeBatch {
		r.spec.Limit, err = q.page(defaultPage)
	} else {
		r.spec.Limit, err = q.limit(0)
	}
	if err != nil {
		return err
	}
	return r.filter(c, q)
}

func (r *reading) direction(q query) (err error) {
	switch v := q.text("direction"); v {
	case "", "forwards":
	case "backwards":
		r.spec.Backwards = true
	default:
		return refuse("direction", "direction is %.40q; it is forwards or backwards", v)
	}
	if r.spec.Follow, err = q.boolean("follow", r.shape == shapeStream && !r.spec.Backwards); err != nil {
		return err
	}
	if r.spec.Stale, err = q.boolean("stale", false); err != nil {
		return err
	}
	switch {
	case r.spec.Follow && r.spec.Backwards:
		return refuse("follow", "a read that goes backwards cannot follow: drop one of the two")
	case r.spec.Follow && r.shape != shapeLines && r.shape != shapeStream:
		return refuse("follow", "a page cannot follow: ask for %s or %s in Accept", typeStream, typeLines)
	}
	return nil
}

// order reads how the events of several shards are put together. A page is not lengthened by what comes, so it may be by recorded time;
// what follows may not.
func (r *reading) order(q query) error {
	switch v := q.text("order"); v {
	case "", "shard":
	case "recorded":
		r.spec.Order = event.ByRecorded
	default:
		return refuse("order", "order is %.40q; it is shard or recorded", v)
	}
	if r.spec.Order == event.ByRecorded && r.spec.Follow {
		return refuse("order", "a read in the order of recorded times cannot follow: drop one of the two")
	}
	return nil
}

func (r *reading) envelope(q query) error {
	r.as.lines = r.shape == shapeLines || r.shape == shapeStream
	switch v := q.text("envelope"); {
	case v == "" && !q.has("envelope"):
		r.as.cloud = r.shape == shapeBatch
	case v == "cloudevents":
		r.as.cloud = true
	case v == "gesta" && r.shape != shapeBatch:
	default:
		return refuse("envelope", "envelope is %.40q; it is gesta or cloudevents, and a batch of CloudEvents is of these", v)
	}
	return nil
}

// from reads the starting point. A Last-Event-ID wins: it is what a browser sends when it comes back to the same address.
func (r *reading) from(c *call, q query) (err error) {
	if last := c.Header.Get("Last-Event-ID"); last != "" && r.shape == shapeStream {
		r.spec.From, err = event.ParsePoint("pos:"+last, r.spec.Backwards)
		if err != nil {
			return errs.As(err).With("field", "Last-Event-ID")
		}
		return nil
	}
	if r.spec.From, err = event.ParsePoint(q.text("from"), r.spec.Backwards); err != nil {
		return err
	}
	switch {
	case r.spec.Scope == event.ScopeTopic && r.spec.From.Kind == event.Number:
		return refuse("from", "a topic has no revisions to start at; use start, end, pos:, time: or a stream of the topic")
	case r.spec.Scope != event.ScopeStream && r.spec.From.Kind == event.AtID:
		return refuse("from", "an event is found by its id in a stream only: read /v1/streams/TOPIC/KEY/events")
	}
	return nil
}

// parameterOf is what a part of a filter is called in a query.
var parameterOf = map[string]string{"types": "type", "tags": "tag", "key_prefix": "key_prefix", "where": "where"}

func (r *reading) filter(c *call, q query) error {
	if q.has("where") && q.text("where") == "" {
		return refuse("where", "where is empty; leave it out for all events")
	}
	err := c.gate.Narrow(&r.spec, gateway.Filter{Types: q["type"], KeyPrefix: q.text("key_prefix"), Tags: q["tag"], Where: q.text("where")})
	if err != nil {
		e := errs.As(err)
		return e.With("field", parameterOf[e.Details["field"]])
	}
	return nil
}

// filtered tells whether anything of what is read may be left out.
func (r *reading) filtered() bool {
	return len(r.spec.Types) > 0 || len(r.spec.Tags) > 0 || len(r.spec.KeyPrefix) > 0 || r.spec.Where != nil
}

// pageMaker gathers a page.
type pageMaker struct {
	*reading
	limit uint64
	out   []byte
	n     uint64
	full  bool // there is more than the page holds

	position position.Position
	others   position.List // where the read is in further shards
	placed   bool
	resolved uint64
	last     eventwire.Recorded // its strings are the batch's: only its numbers are used later
}

func (d *Door) page(w http.ResponseWriter, c *call, r *reading) error {
	memory := newScratch()
	defer memory.free()
	p := pageMaker{reading: r, limit: r.spec.Limit, out: memory.out[:0]}
	r.spec.Limit++ // one more tells whether there is a next page
	// At the end a reader that follows tells its position, also when there was nothing.
	r.spec.Follow = !r.spec.Backwards && r.spec.Order == event.ByShard
	ctx, cancel := context.WithTimeout(c.Context(), d.o.Settings.WriteTimeout)
	defer cancel()
	reader, err := c.gate.Read(ctx, c.who, r.shard, r.spec)
	if err != nil {
		return err
	}
	defer reader.Close()
	err = p.gather(ctx, reader)
	if memory.out = p.out; err != nil {
		return err
	}
	memory.in = p.answer(w, c, memory.in[:0])
	return nil
}

// gather reads until the page is full or there is no more, or until a filter has left out so much that the client is told where
// to go on.
func (p *pageMaker) gather(ctx context.Context, reader event.Reader) error {
	for began := time.Now(); !p.full; p.full = p.full || time.Since(began) > patience {
		b, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if p.resolved == 0 {
			p.resolved = b.ResolvedOffset
		}
		if err := p.take(b); err != nil || b.Live {
			return err
		}
	}
	return nil
}

func (p *pageMaker) take(b event.Batch) (err error) {
	for _, e := range b.Events {
		if p.full = p.n == p.limit || len(p.out) >= pageBytes; p.full {
			return nil
		}
		if p.n > 0 {
			p.out = append(p.out, ',', '\n')
		}
		if p.out, err = p.as.append(p.out, e, &p.last); err != nil {
			return err
		}
		p.n++
		p.place(p.positionOf(b.Position, p.last.Offset), b.Others)
	}
	p.place(b.Position, b.Others)
	return nil
}

// place notes how far the page goes.
func (p *pageMaker) place(at position.Position, others position.List) {
	p.position, p.placed = at, true
	p.others = append(p.others[:0], others...)
}

// appendPosition appends the token of that.
func (p *pageMaker) appendPosition(dst []byte) []byte { return p.position.AppendAmong(dst, p.others) }

// positionOf is where a read continues after the event at offset: the position of the event, or backwards of the one before.
func (r *reading) positionOf(p position.Position, offset uint64) position.Position {
	p.Offset = offset
	if r.spec.Backwards {
		p.Offset--
	}
	return p
}

// answer writes the page with what is around its events, which it puts together in dst.
func (p *pageMaker) answer(w http.ResponseWriter, c *call, dst []byte) []byte {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	next := ""
	if p.full {
		next = with(c.Request, "from", "pos:"+string(p.appendPosition(nil)))
		h.Set("Link", "<"+next+`>; rel="next"`)
	}
	p.headers(h)
	if p.shape == shapeBatch {
		h.Set("Content-Type", typeCloudBatch)
		_, _ = w.Write([]byte{'['})
		_, _ = w.Write(p.out)
		_, _ = io.WriteString(w, "]\n")
		return dst
	}
	h.Set("Content-Type", typeJSON)
	_, _ = io.WriteString(w, `{"events":[`)
	_, _ = w.Write(p.out)
	dst = append(dst, ']')
	if p.placed {
		dst = append(p.appendPosition(append(dst, `,"position":"`...)), '"')
	}
	if p.resolved > 0 {
		dst = strconv.AppendUint(append(dst, `,"resolved_offset":`...), p.resolved, 10)
	}
	if next != "" {
		dst = appendQuoted(append(dst, `,"next":`...), next)
	}
	dst = append(dst, '}', '\n')
	_, _ = w.Write(dst)
	return dst
}

func (p *pageMaker) headers(h http.Header) {
	if p.placed {
		h.Set("Gesta-Position", string(p.appendPosition(nil)))
	}
	if p.resolved > 0 {
		h.Set("Gesta-Resolved-Offset", strconv.FormatUint(p.resolved, 10))
	}
	if revision, ok := p.revision(); ok {
		h.Set("ETag", etag(revision))
	}
}

// revision is the stream's that the page shows whole up to its newest event: what an append made of it may expect.
func (p *pageMaker) revision() (uint64, bool) {
	switch {
	case p.spec.Scope != event.ScopeStream || p.full || p.spec.Backwards || p.filtered():
		return 0, false
	case p.n > 0:
		return p.last.Revision, true
	}
	return 0, p.spec.From.Kind == event.Start
}

// headStream tells where a stream ends. It counts every append that was answered before.
func (d *Door) headStream(w http.ResponseWriter, c *call) error {
	if err := checkStream(c); err != nil {
		return err
	}
	if _, err := parseQuery(c.Request); err != nil {
		return err
	}
	head, at, err := c.gate.Head(c.Context(), c.who, []byte(c.path[0]), []byte(c.path[1]))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", typeJSON)
	h.Set("Cache-Control", "no-store")
	h.Set("ETag", etag(head.Revision))
	h.Set("Gesta-Revision", strconv.FormatUint(head.Revision, 10))
	h.Set("Gesta-Offset", strconv.FormatUint(head.Offset, 10))
	h.Set("Gesta-Position", at.String())
	if head.Time != 0 {
		h.Set("Gesta-Recorded-Time", time.Unix(0, head.Time).UTC().Format(time.RFC3339Nano))
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
