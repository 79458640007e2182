package http

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
)

// Entities is what the door needs to let entities decide. The gateway is it.
type Entities interface {
	ExecuteOne(context.Context, gateway.Caller, *entity.Call) (entity.Outcome, error)
	State(ctx context.Context, who gateway.Caller, kind, key string, revision uint64, at event.Point) (entity.Outcome, error)
	DeleteEntity(context.Context, gateway.Caller, *gateway.Deletion) (event.Outcome, error)
}

func (d *Door) entities(c *call) Entities {
	if d.o.Entities != nil {
		return d.o.Entities
	}
	return c.gate
}

// value is a payload in answers: JSON as it is, anything else in base64.
type value struct {
	Type        string          `json:"type,omitempty"`
	Version     uint32          `json:"version,omitempty"`
	ContentType string          `json:"content_type"`
	Data        json.RawMessage `json:"data,omitempty"`
	DataBase64  []byte          `json:"data_base64,omitempty"`
}

func valueOf(p event.Payload, version uint32) *value {
	v := &value{Type: p.Type, Version: version, ContentType: p.ContentType}
	if v.ContentType == "" {
		v.ContentType = typeJSON
	}
	if media := mediaType(v.ContentType); (media == typeJSON || strings.HasSuffix(media, "+json")) && json.Valid(p.Data) {
		v.Data = p.Data
	} else {
		v.DataBase64 = p.Data
	}
	return v
}

func stateOf(s *event.State) *value {
	if s == nil {
		return nil
	}
	return valueOf(s.Payload, s.Version)
}

// executed is the answer to a command.
type executed struct {
	Kind     string `json:"kind"`
	Key      string `json:"key"`
	Revision uint64 `json:"revision"`
	Position string `json:"position,omitempty"`
	Events   int    `json:"events"`
	Repeated bool   `json:"repeated"`
	Reply    *value `json:"reply,omitempty"`
	State    *value `json:"state,omitempty"`
}

func (d *Door) execute(w http.ResponseWriter, c *call) error {
	q, err := parseQuery(c.Request, "return_state", "expect")
	if err != nil {
		return err
	}
	ask := &entity.Call{Kind: c.path[0], Key: c.path[1], Command: c.path[2], Metadata: traceOf(c)}
	if ask.ReturnState, err = q.boolean("return_state", false); err != nil {
		return err
	}
	expected, err := expectedRevision(c, q)
	if err != nil {
		return err
	}
	ask.Expected, ask.Expects = expected.revision, expected.given
	if ask.ID, err = idempotencyKey(c.Header); err != nil {
		return err
	}
	if err := encoded(c.Header); err != nil {
		return err
	}
	memory := newScratch()
	defer memory.free()
	done, err := d.readBody(w, c, memory)
	if err != nil {
		return err
	}
	defer done()
	if ask.Payload, err = payloadOf(c, memory.in); err != nil {
		return err
	}
	o, err := d.entities(c).ExecuteOne(c.Context(), c.who, ask)
	if err != nil {
		return expected.failed(err)
	}
	a := executed{Kind: ask.Kind, Key: ask.Key, Revision: o.Revision, Events: o.Events, Repeated: o.Repeated, State: stateOf(o.State)}
	if o.Position.Shard != 0 {
		a.Position = o.Position.String()
	}
	if o.Reply != nil {
		a.Reply = valueOf(*o.Reply, 0)
	}
	w.Header().Set("ETag", etag(o.Revision))
	respond(w, http.StatusOK, a)
	return nil
}

// payloadOf is the body as a command's data. It is copied: a command may be decided after its caller has gone.
func payloadOf(c *call, body []byte) (event.Payload, error) {
	p := event.Payload{ContentType: c.Header.Get("Content-Type"), Type: c.Header.Get("Gesta-Type"), Data: bytes.Clone(body)}
	if len(body) > 0 && (p.ContentType == "" || mediaType(p.ContentType) == typeJSON) {
		if _, err := checkJSON(body); err != nil {
			return p, err
		}
	}
	return p, nil
}

// expectedRevision reads If-Match, If-None-Match or the parameter expect: a revision or none.
func expectedRevision(c *call, q query) (x condition, err error) {
	if x, err = headerCondition(c.Header); err != nil {
		return x, err
	}
	switch {
	case x.given && q.has("expect"):
		return x, refuse("expect", "give the condition once: as If-Match or If-None-Match, or as expect")
	case x.given && !x.exact && c.Header.Get(ifMatch) != "":
		return x, refuse(ifMatch, `If-Match is *; an entity is expected at a revision, like "5"`)
	case !q.has("expect") || q.text("expect") == "any":
		return x, nil
	case q.text("expect") == "none":
		return condition{given: true}, nil
	}
	n, err := strconv.ParseUint(q.text("expect"), 10, 64)
	if err != nil {
		return x, refuse("expect", "expect is %.40q; it is a revision, none or any", q.text("expect"))
	}
	return condition{given: true, exact: true, revision: n}, nil
}

// failed makes 412 of a conflict that a header asked for.
func (x condition) failed(err error) error {
	if x.header && errs.CodeOf(err) == errs.Conflict {
		return as(http.StatusPreconditionFailed, "the precondition failed", err)
	}
	return err
}

// idempotencyKey reads the header with or without quotes around it; "" when there is none.
func idempotencyKey(h http.Header) (string, error) {
	keys := h["Idempotency-Key"]
	if len(keys) == 0 {
		return "", nil
	}
	key := keys[0]
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	if len(keys) > 1 || key == "" {
		return "", refuse("Idempotency-Key", "Idempotency-Key must be given once, and not be empty")
	}
	return key, nil
}

// traceOf is the caller's trace as metadata.
func traceOf(c *call) []event.Pair {
	t := eventwire.CheckTraceparent(c.Header.Get("Traceparent"))
	if t == "" {
		return nil
	}
	return []event.Pair{{Name: eventwire.Traceparent, Value: t}}
}

// stateAnswer is the answer of a state.
type stateAnswer struct {
	Kind     string `json:"kind"`
	Key      string `json:"key"`
	Revision uint64 `json:"revision"`
	Position string `json:"position,omitempty"`
	State    *value `json:"state"`
}

func (d *Door) entityState(w http.ResponseWriter, c *call) error {
	q, err := parseQuery(c.Request, "revision", "at")
	if err != nil {
		return err
	}
	at, revision := event.Point{Kind: event.End}, uint64(0)
	switch {
	case q.has("revision") && q.has("at"):
		return refuse("at", "give one moment: revision or at")
	case q.has("revision"):
		if revision, err = strconv.ParseUint(q.text("revision"), 10, 64); err != nil || revision == 0 {
			return refuse("revision", "revision is %.40q; it must be a number from 1", q.text("revision"))
		}
	case q.has("at"):
		if at, err = event.ParsePoint(q.text("at"), true); err != nil {
			return err
		}
	}
	o, err := d.entities(c).State(c.Context(), c.who, c.path[0], c.path[1], revision, at)
	if err != nil {
		return err
	}
	a := stateAnswer{Kind: c.path[0], Key: c.path[1], Revision: o.Revision, State: stateOf(o.State)}
	if o.Position.Shard != 0 {
		a.Position = o.Position.String()
	}
	w.Header().Set("ETag", etag(o.Revision))
	respond(w, http.StatusOK, a)
	return nil
}

func (d *Door) deleteEntity(w http.ResponseWriter, c *call) error {
	q, err := parseQuery(c.Request, "expect")
	if err != nil {
		return err
	}
	expected, err := expectedRevision(c, q)
	if err != nil {
		return err
	}
	ask := &gateway.Deletion{Kind: c.path[0], Key: c.path[1], Expected: expected.revision, Expects: expected.given, Metadata: traceOf(c)}
	if ask.ID, err = idempotencyKey(c.Header); err != nil {
		return err
	}
	o, err := d.entities(c).DeleteEntity(c.Context(), c.who, ask)
	if err != nil {
		return expected.failed(err)
	}
	last := o.Streams[0].LastRevision
	w.Header().Set("ETag", etag(last))
	respond(w, http.StatusOK, executed{Kind: ask.Kind, Key: ask.Key, Revision: last, Position: o.Position.String(), Events: 1, Repeated: o.Repeated})
	return nil
}
