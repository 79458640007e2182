package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/internal/errs"
)

type readCmd struct {
	remote `embed:""`
	output `embed:""`

	From      string   `xor:"start" placeholder:"POINT" help:"Where to start: start, end, N (a revision, or with --shard an offset), pos:TOKEN, id:EVENTID, time:RFC3339, time:YYYY-MM-DD, -2h."`
	Type      []string `placeholder:"TYPE" help:"Only events of this type; may be given several times."`
	Tag       []string `sep:"none" placeholder:"TAG" help:"Only events with this tag; given several times, with all of them."`
	KeyPrefix string   `placeholder:"TEXT" help:"Only events whose key begins with this."`
	Where     string   `placeholder:"CEL" help:"Only events of which this expression is true, for instance data.total > 100. It sees id, type, topic, key, revision, offset, source, time, recorded, content_type, schema_version, tags, metadata and data."`
	ByTime    bool     `help:"The events of a topic of several partitions in the order of their recorded times, not as they come. Not with --follow."`
	Limit     amount   `xor:"amount" placeholder:"N" help:"At most N events."`
	Tail      uint64   `xor:"amount,start,direction" placeholder:"N" help:"The last N events, oldest first."`
	Backwards bool     `xor:"direction,endless" help:"Newest first."`
	Follow    bool     `short:"f" xor:"endless" help:"Then wait for what comes."`
	Stale     bool     `help:"Begin with what the node has, without asking the leader: also while there is none, and perhaps behind."`
	Cursor    string   `xor:"direction" placeholder:"NAME" help:"Go on where this cursor is, unless a start is given, and move it behind what was printed. It is made when there is none."`
	Shard     uint32   `placeholder:"N" help:"Read the whole shard N instead of a topic."`

	Target string `arg:"" optional:"" name:"topic[/key]" help:"A topic, or one of its streams."`
}

// Help is the long form of gesta read --help.
func (readCmd) Help() string {
	return `Examples:

    gesta read orders/42
    gesta read orders --from -2h --type OrderPlaced --type OrderPaid
    gesta read orders --tail 20 --follow
    gesta read orders --tag vip --where 'data.total > 100 && !has(data.coupon)'
    gesta read orders --from time:2026-01-01 -o json
    gesta read orders --cursor billing -o json
    gesta read --shard 1 --from 1000`
}

func (c *readCmd) Run(a *app) error {
	if c.Tail > mostTail {
		return errs.New(errs.TooLarge, "--tail %d is over %d, which is what is kept in memory; use --from", c.Tail, mostTail).With("limit", "tail")
	}
	from, scope, err := c.scope()
	if err != nil {
		return err
	}
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	r := &reading{app: a, cmd: c, server: server, scope: scope, name: from.String()}
	r.sink = newEventSink(a.World, c.output, c.Shard > 0)
	if c.Cursor != "" {
		if r.mark, err = openBookmark(a, server, c.Cursor); err != nil {
			return err
		}
	}
	err = r.run()
	if flushed := r.sink.flush(); err == nil {
		err = flushed
	}
	if c.Follow && errors.Is(err, context.Canceled) && a.ctx.Err() != nil {
		return nil // the usual end of following
	}
	if client.CodeOf(err) == client.CodeNotFound && c.Target != "" {
		return a.topicHint(server, from.topic, err)
	}
	return err
}

// mostTail bounds --tail, because the events are turned around in memory.
const mostTail = 100_000

func (c *readCmd) scope() (target, client.Scope, error) {
	switch {
	case c.Shard > 0 && c.Target != "":
		return target{}, client.Scope{}, errs.New(errs.Invalid, "--shard reads everything in a shard; leave out %s, or --shard", c.Target)
	case c.Shard > 0:
		return target{topic: fmt.Sprintf("shard %d", c.Shard)}, client.ShardScope(c.Shard), nil
	case c.Target == "":
		return target{}, client.Scope{}, errs.New(errs.Invalid, "name what to read: TOPIC, TOPIC/KEY or --shard N")
	}
	t, err := parseTarget(c.Target)
	if err != nil || !t.stream {
		return t, client.TopicScope(t.topic), err
	}
	return t, client.StreamScope(t.topic, t.key), nil
}

func (c *readCmd) options() client.ReadOptions {
	return client.ReadOptions{From: c.From, Backwards: c.Backwards, Follow: c.Follow, Stale: c.Stale, Limit: uint64(c.Limit), Types: c.Type, KeyPrefix: c.KeyPrefix, Tags: c.Tag, Where: c.Where}
}

// reading is one run of gesta read.
type reading struct {
	*app
	cmd    *readCmd
	server *client.Client
	scope  client.Scope
	name   string
	sink   *eventSink
	mark   *bookmark // nil without --cursor
}

func (r *reading) run() error {
	o := r.cmd.options()
	if r.mark != nil && o.From == "" && r.mark.at != "" {
		o.From = "pos:" + r.mark.at
	}
	if r.cmd.Tail > 0 {
		newest, err := r.tail()
		if err != nil || !r.cmd.Follow {
			return err
		}
		o.From = newest
	}
	if o.Follow {
		return r.follow(o)
	}
	return r.page(o)
}

// page reads to the end or the limit; a table on a terminal ends after a page, and says how to go on.
func (r *reading) page(o client.ReadOptions) error {
	paged := o.Limit == 0 && !r.cmd.json() && r.cmd.cutting(r.World)
	if paged {
		o.Limit = page + 1
	}
	events := r.server.Read(r.ctx, r.scope, o)
	defer events.Close()
	var last string // where the page ends
	for n := 0; ; n++ {
		if paged && n == page {
			last = events.Position()
		}
		if r.mark.due() {
			if err := r.keep(events); err != nil {
				return err
			}
		}
		e, err := events.Next()
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			r.note("%s", r.nothing(o))
			return r.keep(events)
		case errors.Is(err, io.EOF):
			return r.keep(events)
		case err != nil:
			return errors.Join(err, r.keep(events))
		case paged && n == page:
			return errors.Join(r.more(last), r.mark.move(r.app, last))
		}
		if n == 0 {
			r.noteGap(events)
		}
		if err := r.sink.write(e); err != nil {
			return err
		}
	}
}

// nothing says why a read gave nothing.
func (r *reading) nothing(o client.ReadOptions) string {
	switch {
	case o.From == "end" && !o.Backwards:
		return r.name + ": this is the end; --follow waits for what comes"
	case strings.HasPrefix(o.From, "pos:"):
		return "no newer events in " + r.name
	}
	return "no events in " + r.name
}

// keep moves the cursor, if there is one, behind what was printed.
func (r *reading) keep(events *client.Reader) error {
	if r.mark == nil {
		return nil
	}
	if err := r.sink.flush(); err != nil {
		return err
	}
	return r.mark.move(r.app, events.Position())
}

// noteGap says when the read does not begin where it was asked to.
func (r *reading) noteGap(events *client.Reader) {
	if first := events.Resolved(); first > 0 {
		r.note("nothing is kept at the starting point any more; the first event after it has offset %d", first)
	}
}

func (r *reading) more(last string) error {
	if err := r.sink.flush(); err != nil {
		return err
	}
	r.note("… more: --from pos:%s goes on from here, --limit N shows N, --tail N the newest, -o json everything", last)
	return nil
}

// follow hands on each event as it comes.
func (r *reading) follow(o client.ReadOptions) error {
	events := r.server.Read(r.ctx, r.scope, o)
	defer events.Close()
	for first := true; ; first = false {
		e, err := events.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && first {
			r.noteGap(events)
		}
		if err == nil {
			err = r.sink.write(e)
		}
		if err == nil {
			err = r.sink.flush()
		}
		if err == nil && r.mark.due() {
			err = r.keep(events)
		}
		if err != nil {
			return errors.Join(err, r.keep(events))
		}
	}
}

// tail prints the last events, oldest first, and gives the point after the newest of them.
func (r *reading) tail() (string, error) {
	newest, err := r.last(r.cmd.Tail)
	if err != nil {
		return "", err
	}
	if len(newest.events) == 0 {
		if !r.cmd.Follow {
			r.note("no events in %s", r.name)
		}
		return "start", nil
	}
	slices.Reverse(newest.events)
	for _, e := range newest.events {
		if err := r.sink.write(e); err != nil {
			return "", err
		}
	}
	return newest.after, r.sink.flush()
}

// tailed are events read backwards, and the point that continues forwards after the newest.
type tailed struct {
	events []*client.Recorded
	after  string
}

func (r *reading) last(n uint64) (tailed, error) {
	o := r.cmd.options()
	o.Backwards, o.Follow, o.Limit, o.ByTime = true, false, n, true
	reader := r.server.Read(r.ctx, r.scope, o)
	defer reader.Close()
	var t tailed
	for {
		e, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return t, err
		}
		if len(t.events) == 0 {
			if t.after, err = pointAfter(reader.Position(), reader.Shard(), e.Offset); err != nil {
				return t, err
			}
		}
		t.events = append(t.events, e)
	}
}

// pointAfter is the point after the newest event, of the history that a token is of. A token got while reading backwards is no such
// point itself in the event's shard: there it stands before the event. In all others it is at the newest.
func pointAfter(token string, shard uint32, offset uint64) (string, error) {
	list, err := position.ParseList(token)
	if err != nil {
		return "", errs.New(errs.Internal, "the server's position cannot be read: %w", err)
	}
	for i := range list {
		if list[i].Shard == shard {
			list[i].Offset = offset
		}
	}
	return "pos:" + list.String(), nil
}

// eventSink prints events as rows or as lines.
type eventSink struct {
	table *table
	lines *lines
	topic bool // the topic has a column of its own
}

func newEventSink(w World, o output, topics bool) *eventSink {
	if o.json() {
		return &eventSink{lines: newLines(w)}
	}
	columns := []column{{title: "offset", right: true}, {title: "revision", right: true}, {title: "time"}, {title: "type", min: 8}}
	if topics {
		columns = append(columns, column{title: "topic", min: 8})
	}
	columns = append(columns, column{title: "key", min: 12}, column{title: "data", min: 16})
	return &eventSink{table: newTable(w.Out, o.width(w), columns...), topic: topics}
}

func (s *eventSink) write(e *client.Recorded) error {
	if s.lines != nil {
		return writeEvent(s.lines, e)
	}
	row := []string{number(e.Offset), number(e.Revision), timeText(e.RecordedTime), e.Type}
	if s.topic {
		row = append(row, e.Topic)
	}
	return s.table.row(append(row, e.Key, dataText(&e.Event))...)
}

func (s *eventSink) flush() error {
	if s.lines != nil {
		return s.lines.flush()
	}
	return s.table.flush()
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// timeText writes a time as --from time:… takes it.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// dataText is an event's data in one line: JSON without blanks, text as it is, and of anything else what it is.
func dataText(e *client.Event) string {
	switch {
	case len(e.Data) == 0:
		return ""
	case isJSON(e.ContentType), e.ContentType == "" && json.Valid(e.Data):
		return compact(e.Data)
	case utf8.Valid(e.Data):
		return string(e.Data)
	}
	return fmt.Sprintf("(%s of %s)", count(uint64(len(e.Data)), "byte"), cmp.Or(e.ContentType, "binary data"))
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// compact drops the blanks of JSON; what only claims to be JSON stays as it is.
func compact(data []byte) string {
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return string(data)
	}
	return b.String()
}
