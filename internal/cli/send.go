package cli

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/internal/errs"
)

type sendCmd struct {
	remote `embed:""`
	output `embed:""`

	Entity  string  `arg:"" name:"kind/key" help:"The entity, for instance account/ann."`
	Command string  `arg:"" help:"What is asked of it, for instance Withdraw."`
	Data    *string `arg:"" optional:"" help:"JSON or text; @FILE reads a file, - standard input."`

	ID          string   `name:"id" placeholder:"ID" help:"The command's id: sending it again gets the first outcome that wrote something. By default a random one."`
	Expect      string   `default:"any" placeholder:"N|none|any" help:"What must be true of the entity: its revision is N, it has no events. Any by default."`
	State       bool     `help:"Also tell the state after the command."`
	Meta        []string `sep:"none" placeholder:"NAME=VALUE" help:"Metadata, kept with the events; may be given several times."`
	ContentType string   `placeholder:"TYPE" help:"The media type of the data. By default application/json if it is JSON, text/plain if it is text."`
}

// Help is the long form of gesta send --help.
func (sendCmd) Help() string {
	return `A handler of the kind must be attached; while there is none, the command waits for a moment and then fails with "unavailable".
A handler's "no" ends with exit code 7.

Examples:

    gesta send account/ann Open '{"owner": "Ann", "limit": 100}'
    gesta send account/ann Deposit '{"amount": 50}' --id deposit-981 --state`
}

// sent is what -o json prints.
type sent struct {
	Kind     string      `json:"kind"`
	Key      string      `json:"key"`
	Command  string      `json:"command"`
	ID       string      `json:"id"`
	Revision uint64      `json:"revision"`
	Position string      `json:"position"`
	Events   int         `json:"events"`
	Repeated bool        `json:"repeated"`
	Reply    *shownValue `json:"reply,omitempty"`
	State    *shownValue `json:"state,omitempty"`
}

// shownValue is a payload in JSON: as it is when it is JSON, else in base64.
type shownValue struct {
	Type        string          `json:"type,omitempty"`
	Version     uint32          `json:"version,omitempty"`
	ContentType string          `json:"content_type,omitempty"`
	Revision    uint64          `json:"revision,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	Base64      []byte          `json:"data_base64,omitempty"`
}

func (v shownValue) with(data []byte) *shownValue {
	if json.Valid(data) {
		v.Data = data
	} else {
		v.Base64 = data
	}
	return &v
}

func (c *sendCmd) Run(a *app) error {
	command, err := c.command(a)
	if err != nil {
		return err
	}
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	outcome, err := server.Execute(a.ctx, command)
	if err != nil {
		return c.failed(command, err)
	}
	if outcome.Repeated {
		a.note("a command with this id was executed before: this is its outcome")
	}
	if c.json() {
		return a.printJSON(c.shown(command, outcome))
	}
	return c.print(a, outcome)
}

func (c *sendCmd) command(a *app) (client.Command, error) {
	to, err := parseEntity(c.Entity)
	if err != nil {
		return client.Command{}, err
	}
	expect, err := parseExpect(c.Expect)
	if err != nil {
		return client.Command{}, err
	}
	metadata, err := parseMetadata(c.Meta)
	if err != nil {
		return client.Command{}, err
	}
	command := client.Command{Kind: to.topic, Key: to.key, Name: c.Command, ID: c.ID, Expect: expect, ReturnState: c.State, Metadata: metadata}
	if command.ID == "" {
		command.ID = client.NewID()
	}
	if c.Data == nil {
		return command, nil
	}
	data, err := a.readData(*c.Data)
	command.Payload = client.Payload{ContentType: c.ContentType, Data: data}
	if c.ContentType == "" {
		command.Payload.ContentType = contentTypeOf(data)
	}
	return command, err
}

// parseEntity reads KIND/KEY.
func parseEntity(s string) (target, error) {
	to, err := parseTarget(s)
	if err != nil || !to.stream || to.key == "" {
		return to, errs.New(errs.Invalid, "%q names no entity; write KIND/KEY, for instance account/ann", s).With("field", "entity")
	}
	return to, nil
}

// failed adds what helps to go on.
func (c *sendCmd) failed(command client.Command, err error) error {
	switch client.CodeOf(err) {
	case client.CodeUnknownOutcome:
		return withHint(err, "it may have been executed; to learn it, send it again with --id "+shellWord(command.ID))
	case client.CodeConflict:
		return withHint(err, "look at it again: gesta state "+shellWord(c.Entity))
	case client.CodeRejected:
		return withHint(err, rejectionHint(client.RejectionOf(err)))
	}
	return err
}

// rejectionHint is the handler's code and details.
func rejectionHint(no *client.Rejection) string {
	if no == nil || no.Code == "" {
		return ""
	}
	lines := []string{"code " + no.Code}
	for _, name := range slices.Sorted(maps.Keys(no.Details)) {
		lines = append(lines, name+" "+no.Details[name])
	}
	return strings.Join(lines, "\n")
}

func (c *sendCmd) shown(command client.Command, o client.Outcome) sent {
	s := sent{
		Kind: command.Kind, Key: command.Key, Command: command.Name, ID: command.ID,
		Revision: o.Revision, Position: o.Position, Events: o.Events, Repeated: o.Repeated,
	}
	if o.Reply.ContentType != "" {
		s.Reply = shownValue{Type: o.Reply.Type, ContentType: o.Reply.ContentType}.with(o.Reply.Data)
	}
	if o.State != nil {
		s.State = shownState(*o.State)
	}
	return s
}

func shownState(s client.EntityState) *shownValue {
	return shownValue{Type: s.Type, Version: s.Version, ContentType: s.ContentType, Revision: s.Revision}.with(s.Data)
}

func (c *sendCmd) print(a *app, o client.Outcome) error {
	columns := []column{{title: "revision", right: true}, {title: "events", right: true}, {title: "reply", min: 20}}
	cells := []string{number(o.Revision), strconv.Itoa(o.Events), valueText(o.Reply.ContentType, o.Reply.Data)}
	if o.State != nil {
		columns = append(columns, column{title: "state", min: 20})
		cells = append(cells, valueText(o.State.ContentType, o.State.Data))
	}
	t := newTable(a.Out, c.width(a.World), columns...)
	if err := t.row(cells...); err != nil {
		return err
	}
	return t.flush()
}

// valueText shows a payload as an event's data are shown.
func valueText(contentType string, data []byte) string {
	return dataText(&client.Event{ContentType: contentType, Data: data})
}

type stateCmd struct {
	remote `embed:""`
	output `embed:""`

	Entity string `arg:"" name:"kind/key" help:"The entity, for instance account/ann."`
	At     string `placeholder:"POINT" help:"As it was at a point: a revision, pos:TOKEN, id:EVENTID, time:RFC3339, time:YYYY-MM-DD, or -2h. By default now."`
}

// Help is the long form of gesta state --help.
func (stateCmd) Help() string {
	return `The state is what the attached handler folds of the entity's events; nothing is written.

Examples:

    gesta state account/ann
    gesta state account/ann --at 2
    gesta state account/ann --at time:2026-01-31`
}

// stateShown is what -o json prints.
type stateShown struct {
	Kind     string      `json:"kind"`
	Key      string      `json:"key"`
	Revision uint64      `json:"revision"`
	Newest   uint64      `json:"newest_revision"`
	Position string      `json:"position"`
	State    *shownValue `json:"state"`
}

func (c *stateCmd) Run(a *app) error {
	of, err := parseEntity(c.Entity)
	if err != nil {
		return err
	}
	var at []client.StateOption
	if c.At != "" {
		at = append(at, client.AtPoint(c.At))
	}
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	s, err := server.State(a.ctx, of.topic, of.key, at...)
	if err != nil {
		return err
	}
	if c.json() {
		return a.printJSON(stateShown{of.topic, of.key, s.Revision, s.Newest, s.Position, shownState(s.EntityState)})
	}
	t := newTable(a.Out, c.width(a.World), column{title: "revision", right: true}, column{title: "state", min: 20})
	if err := t.row(number(s.Revision), valueText(s.ContentType, s.Data)); err != nil {
		return err
	}
	return t.flush()
}
