package http

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/gateway"
)

// bank does with entities what the commands' names say.
type bank struct {
	call     *entity.Call
	revision uint64
	at       event.Point
	deletion *gateway.Deletion
}

var bankPosition = position.Position{Shard: 1, History: 7, Offset: 9}

func (b *bank) ExecuteOne(_ context.Context, _ gateway.Caller, c *entity.Call) (o entity.Outcome, err error) {
	b.call = c
	switch c.Command {
	case "Deposit": // of the page
		o.Reply = &event.Payload{ContentType: "application/json", Data: []byte(`{"balance":50,"available":150}`)}
	case "Refuse", "Withdraw":
		return o, errs.New(errs.Rejected, "3 is available").With("rejection_code", "insufficient_funds").With("available", "3")
	case "Conflict":
		return o, errs.New(errs.Conflict, "at revision 4").With("actual_revision", "4")
	case "Gone":
		return o, errs.New(errs.Gone, "it was deleted")
	case "Wait":
		return o, errs.New(errs.Unavailable, "no handler")
	case "Bytes":
		o.Reply = &event.Payload{ContentType: "application/protobuf", Type: "bank.v1.Reply", Data: []byte{8, 5}}
	case "Say":
		o.Reply = &event.Payload{ContentType: "application/json", Data: c.Payload.Data}
		o.State = &event.State{Version: 2, Payload: event.Payload{Type: "account", Data: []byte(`{"balance":5}`)}}
	}
	o.Revision, o.Events, o.Repeated = 4, 1, c.ID == "again"
	if c.Command != "Nothing" {
		o.Position = bankPosition
	}
	return o, nil
}

func (b *bank) State(_ context.Context, _ gateway.Caller, kind, key string, revision uint64, at event.Point) (o entity.Outcome, err error) {
	b.revision, b.at = revision, at
	switch key {
	case "none":
		return o, errs.New(errs.NotFound, "no events then")
	case "gone":
		return o, errs.New(errs.Gone, "deleted then")
	}
	return entity.Outcome{Revision: 3, Position: bankPosition, State: &event.State{Payload: event.Payload{Type: kind, ContentType: "application/json", Data: []byte(`{"balance":5}`)}}}, nil
}

func (b *bank) DeleteEntity(_ context.Context, _ gateway.Caller, d *gateway.Deletion) (o event.Outcome, err error) {
	b.deletion = d
	switch {
	case d.Key == "none":
		return o, errs.New(errs.NotFound, "no events")
	case d.Expects && d.Expected != 4:
		return o, errs.New(errs.Conflict, "at revision 4").With("actual_revision", "4")
	}
	return event.Outcome{Streams: []event.StreamOutcome{{LastRevision: 5}}, Position: bankPosition}, nil
}

func TestExecute(t *testing.T) {
	f := open(t)
	const path = "/v1/entities/account/ann/commands/"
	a := f.post(t, path+"Say?return_state=true&expect=3", `{"amount":5}`, "Idempotency-Key", `"id-1"`, "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	got := into[executed](t, a)
	if a.StatusCode != 200 || a.Header.Get("ETag") != `"4"` || got.Revision != 4 || got.Events != 1 || got.Repeated || got.State.Version != 2 || got.State.Type != "account" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	for what, data := range map[string]json.RawMessage{`{"amount":5}`: got.Reply.Data, `{"balance":5}`: got.State.Data} {
		if strings.Join(strings.Fields(string(data)), "") != what {
			t.Errorf("%s, not %s", data, what)
		}
	}
	c := f.bank.call
	if c.Kind != "account" || c.Key != "ann" || c.Command != "Say" || c.ID != "id-1" || !c.ReturnState || !c.Expects || c.Expected != 3 || len(c.Metadata) != 1 || string(c.Payload.Data) != `{"amount":5}` {
		t.Errorf("%+v", c)
	}
	if b := into[executed](t, f.do("POST", path+"Bytes", "\x08\x05", "Content-Type", "application/protobuf", "Gesta-Type", "bank.v1.Ask", "Idempotency-Key", "again")); string(b.Reply.DataBase64) != "\x08\x05" || b.Reply.Type != "bank.v1.Reply" || !b.Repeated || f.bank.call.Payload.Type != "bank.v1.Ask" {
		t.Errorf("%+v %+v", b, f.bank.call)
	}
	if n := into[executed](t, f.do("POST", path+"Nothing", "")); n.Reply != nil || n.Position != "" || f.bank.call.Expects {
		t.Errorf("%+v", n)
	}
	f.do("POST", "/v1/entities/account/a%2Fb/commands/Do", "", "If-None-Match", "*")
	if c := f.bank.call; c.Key != "a/b" || !c.Expects || c.Expected != 0 {
		t.Errorf("%+v", c)
	}
}

func TestExecuteFails(t *testing.T) {
	f := open(t)
	const path = "/v1/entities/account/ann/commands/"
	p := wantProblem(t, f.post(t, path+"Refuse", "{}"), 422, "rejected", "")
	if p.Details["rejection_code"] != "insufficient_funds" || p.Details["available"] != "3" || p.Detail != "3 is available" {
		t.Errorf("%+v", p)
	}
	wantProblem(t, f.post(t, path+"Conflict?expect=3", "{}"), 409, "conflict", "")
	wantProblem(t, f.post(t, path+"Conflict", "{}", "If-Match", `"3"`), 412, "conflict", "")
	wantProblem(t, f.post(t, path+"Gone", "{}"), 410, "gone", "")
	wantProblem(t, f.post(t, path+"Wait", "{}"), 503, "unavailable", "")
	wantProblem(t, f.post(t, path+"Do", "{"), 400, "invalid", "body")
	wantProblem(t, f.post(t, path+"Do?expect=soon", "{}"), 400, "invalid", "expect")
	wantProblem(t, f.post(t, path+"Do?expect=1", "{}", "If-Match", `"3"`), 400, "invalid", "expect")
	wantProblem(t, f.post(t, path+"Do", "{}", "If-Match", `*`), 400, "invalid", "If-Match")
	wantProblem(t, f.post(t, path+"Do", "{}", "Idempotency-Key", ``), 400, "invalid", "Idempotency-Key")
	wantProblem(t, f.post(t, path+"Do?return_state=perhaps", "{}"), 400, "invalid", "return_state")
}

func TestEntityState(t *testing.T) {
	f := open(t, "account")
	a := f.do("GET", "/v1/entities/account/ann/state", "")
	if got := into[stateAnswer](t, a); a.StatusCode != 200 || got.Revision != 3 || got.State.Type != "account" || a.Header.Get("ETag") != `"3"` || f.bank.at.Kind != event.End {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	f.do("GET", "/v1/entities/account/ann/state?revision=2", "")
	if f.bank.revision != 2 {
		t.Errorf("%+v", f.bank)
	}
	f.do("GET", "/v1/entities/account/ann/state?at=time:2026-01-31", "")
	if f.bank.revision != 0 || f.bank.at.Kind == event.End {
		t.Errorf("%+v", f.bank)
	}
	wantProblem(t, f.do("GET", "/v1/entities/account/none/state", ""), 404, "not_found", "")
	wantProblem(t, f.do("GET", "/v1/entities/account/gone/state", ""), 410, "gone", "")
	wantProblem(t, f.do("GET", "/v1/entities/account/ann/state?revision=0", ""), 400, "invalid", "revision")
	wantProblem(t, f.do("GET", "/v1/entities/account/ann/state?revision=1&at=1", ""), 400, "invalid", "at")
	if a := f.do("GET", "/v1/entities/account/ann/state?at=soon", ""); a.StatusCode != 400 {
		t.Error(a.body)
	}
	f.must(t, "/v1/streams/account/ann/events", `{"events":[{"type":"Opened"}]}`)
	if page, _ := f.page(t, "/v1/entities/account/ann/events"); len(page.Events) != 1 || page.Events[0].Type != "Opened" {
		t.Errorf("%+v", page)
	}
}

func TestDeleteEntity(t *testing.T) {
	f := open(t)
	a := f.do("DELETE", "/v1/entities/account/ann", "", "Idempotency-Key", "d-1", "If-Match", `"4"`)
	if got := into[executed](t, a); a.StatusCode != 200 || got.Revision != 5 || f.bank.deletion.ID != "d-1" || f.bank.deletion.Expected != 4 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, f.do("DELETE", "/v1/entities/account/none", ""), 404, "not_found", "")
	wantProblem(t, f.do("DELETE", "/v1/entities/account/ann", "", "If-Match", `"3"`), 412, "conflict", "")
	wantProblem(t, f.do("DELETE", "/v1/entities/account/ann?expect=x", ""), 400, "invalid", "expect")
}
