package webhook

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/event"
)

// request is the body of a POST.
type request struct {
	Kind      string     `json:"kind"`
	Key       string     `json:"key"`
	Revision  uint64     `json:"revision"`
	State     *state     `json:"state,omitempty"`
	Events    []recorded `json:"events"`
	Commands  []command  `json:"commands"`
	WantState bool       `json:"want_state,omitempty"`
	StateAt   uint64     `json:"state_at,omitempty"`
}

// payload is JSON as it is, anything else in base64.
type payload struct {
	ContentType string          `json:"content_type,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	Base64      []byte          `json:"data_base64,omitempty"`
}

type state struct {
	Type     string `json:"type,omitempty"`
	Version  uint32 `json:"version,omitempty"`
	Revision uint64 `json:"revision,omitempty"`
	payload
}

type recorded struct {
	Revision      uint64            `json:"revision"`
	ID            string            `json:"id,omitempty"`
	Type          string            `json:"type"`
	SchemaVersion uint32            `json:"schema_version"`
	RecordedTime  time.Time         `json:"recorded_time"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	payload
}

type command struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Type        string            `json:"type,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	ReturnState bool              `json:"return_state,omitempty"`
	Received    time.Time         `json:"received"`
	payload
}

// answer is the body of a response.
type answer struct {
	Decisions []decision `json:"decisions"`
	State     *state     `json:"state"`
}

type decision struct {
	Events  []emitted  `json:"events"`
	Reply   *reply     `json:"reply"`
	State   *state     `json:"state"`
	Delete  bool       `json:"delete"`
	Reject  *rejection `json:"reject"`
	Retry   *retry     `json:"retry"`
	Failure string     `json:"failure"`
}

type emitted struct {
	ID            string            `json:"id"`
	Type          string            `json:"type"`
	SchemaVersion uint32            `json:"schema_version"`
	Metadata      map[string]string `json:"metadata"`
	Tags          []string          `json:"tags"`
	payload
}

type reply struct {
	Type string `json:"type"`
	payload
}

type rejection struct {
	Code    string            `json:"code"`
	Message string            `json:"message"`
	Details map[string]string `json:"details"`
}

type retry struct {
	AfterMillis int64  `json:"after_ms"`
	Message     string `json:"message"`
}

const typeJSON = "application/json"

func payloadOf(contentType string, data []byte) payload {
	p := payload{ContentType: contentType}
	isJSON := contentType == "" || strings.HasPrefix(contentType, typeJSON) || strings.Contains(contentType, "+json")
	if isJSON && json.Valid(data) {
		p.Data = data
	} else {
		p.Base64 = data
	}
	return p
}

// bytes gives the data and its content type.
func (p *payload) bytes() (contentType string, data []byte) {
	if contentType = p.ContentType; contentType == "" {
		contentType = typeJSON
	}
	if p.Base64 != nil {
		return contentType, p.Base64
	}
	return contentType, p.Data
}

// requestOf makes the body for a task and the events of all its parts.
func requestOf(t *entity.Task, last *entity.Task, events [][]byte) (*request, error) {
	q := &request{Kind: t.Kind, Key: t.Key, Revision: last.Revision, WantState: last.WantState || t.WantState, StateAt: max(t.StateAt, last.StateAt), Events: []recorded{}, Commands: []command{}}
	if t.Carried != nil {
		q.State = &state{Type: t.Carried.Type, Version: t.Carried.Version, Revision: t.CarriedAt, payload: payloadOf(t.Carried.ContentType, t.Carried.Data)}
	}
	for _, raw := range events {
		var r eventwire.Recorded
		if err := eventwire.DecodeRecorded(raw, &r); err != nil {
			return nil, err
		}
		q.Events = append(q.Events, recorded{
			Revision: r.Revision, ID: r.ID, Type: r.Type, SchemaVersion: r.SchemaVersion, RecordedTime: r.RecordedTime, Metadata: r.Metadata,
			payload: payloadOf(r.ContentType, r.Data),
		})
	}
	for _, c := range last.Commands {
		one := command{ID: c.ID, Name: c.Name, ReturnState: c.ReturnState, Received: time.Unix(0, c.Received).UTC()}
		if c.Payload != nil {
			one.Type, one.payload = c.Payload.Type, payloadOf(c.Payload.ContentType, c.Payload.Data)
		}
		for _, p := range c.Metadata {
			if one.Metadata == nil {
				one.Metadata = map[string]string{}
			}
			one.Metadata[p.Name] = p.Value
		}
		q.Commands = append(q.Commands, one)
	}
	return q, nil
}

// result makes the result of an answer.
func (a *answer) result(id uint64) *entity.Result {
	r := &entity.Result{TaskID: id, State: a.State.of()}
	for i := range a.Decisions {
		r.Decisions = append(r.Decisions, a.Decisions[i].of())
	}
	return r
}

func (s *state) of() *event.State {
	if s == nil {
		return nil
	}
	contentType, data := s.bytes()
	return &event.State{Version: s.Version, Payload: event.Payload{Type: s.Type, ContentType: contentType, Data: data}}
}

func (d *decision) of() entity.Decision {
	switch {
	case d.Failure != "":
		return entity.Decision{Verdict: entity.Failed, Message: d.Failure}
	case d.Reject != nil:
		return entity.Decision{Verdict: entity.Rejected, Code: d.Reject.Code, Message: d.Reject.Message, Details: d.Reject.Details}
	case d.Retry != nil:
		return entity.Decision{Verdict: entity.Later, Message: d.Retry.Message, After: time.Duration(d.Retry.AfterMillis) * time.Millisecond}
	}
	out := entity.Decision{Verdict: entity.Accepted, Delete: d.Delete, State: d.State.of()}
	if d.Reply != nil {
		contentType, data := d.Reply.bytes()
		out.Reply = &event.Payload{Type: d.Reply.Type, ContentType: contentType, Data: data}
	}
	for i := range d.Events {
		e := &d.Events[i]
		contentType, data := e.bytes()
		out.Events = append(out.Events, eventwire.AppendEvent(nil, &eventwire.Event{
			ID: e.ID, Type: e.Type, SchemaVersion: e.SchemaVersion, ContentType: contentType, Data: data, Metadata: e.Metadata, Tags: e.Tags,
		}))
	}
	return out
}
