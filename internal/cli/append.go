package cli

import (
	"encoding/json"
	"strings"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/internal/errs"
)

type appendCmd struct {
	remote `embed:""`
	output `embed:""`

	Stream string  `arg:"" name:"topic/key" help:"The stream, for instance orders/42; the topic is created when it is new."`
	Type   string  `arg:"" help:"What happened, for instance OrderPlaced."`
	Data   *string `arg:"" optional:"" help:"JSON or text; @FILE reads a file, - standard input."`

	Expect      string   `default:"any" placeholder:"N|none|exists|any" help:"What must be true of the stream: its revision is N, it has no events, it has some. Any by default."`
	ID          string   `name:"id" placeholder:"ID" help:"The event's id: appending it again changes nothing. By default a random one."`
	Meta        []string `sep:"none" placeholder:"NAME=VALUE" help:"Metadata; may be given several times."`
	Tag         []string `sep:"none" placeholder:"TAG" help:"A tag, by which readers find the event; may be given several times."`
	ContentType string   `placeholder:"TYPE" help:"The media type of the data. By default application/json if it is JSON, text/plain if it is text."`
	NoCreate    bool     `help:"Refuse when the topic does not exist."`
}

// Help is the long form of gesta append --help.
func (appendCmd) Help() string {
	return `Examples:

    gesta append orders/42 OrderPlaced '{"total": 12}' --expect none
    gesta append orders/42 NoteAdded "call back on Monday" --meta actor=ann
    gesta append orders/42 OrderPaid @payment.json --expect 2 --id payment-981`
}

// appended is what -o json prints.
type appended struct {
	Topic    string `json:"topic"`
	Key      string `json:"key"`
	Type     string `json:"type"`
	ID       string `json:"id"`
	Revision uint64 `json:"revision"`
	Offset   uint64 `json:"offset"`
	Position string `json:"position"`
	Repeated bool   `json:"repeated"`
}

func (c *appendCmd) Run(a *app) error {
	to, err := parseTarget(c.Stream)
	if err != nil {
		return err
	}
	expect, err := parseExpect(c.Expect)
	if err != nil {
		return err
	}
	event, err := c.event(a)
	if err != nil {
		return err
	}
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	result, err := server.Append(a.ctx, client.Append{Topic: to.topic, Key: to.key, Expect: expect, Events: []client.Event{event}}, c.options()...)
	if err != nil {
		return a.appendFailed(server, to, event.ID, err)
	}
	a.noteCreated(result.CreatedTopics)
	return c.print(a, to, event, result)
}

func (c *appendCmd) options() []client.AppendOption {
	if c.NoCreate {
		return []client.AppendOption{client.NoCreate()}
	}
	return nil
}

func (c *appendCmd) event(a *app) (client.Event, error) {
	metadata, err := parseMetadata(c.Meta)
	if err != nil {
		return client.Event{}, err
	}
	e := client.Event{ID: c.ID, Type: c.Type, ContentType: c.ContentType, Metadata: metadata, Tags: c.Tag}
	if e.Type == "" {
		return e, errs.New(errs.Invalid, "TYPE is empty; it says what happened, for instance OrderPlaced").With("field", "type")
	}
	if e.ID == "" {
		e.ID = client.NewID()
	}
	if c.Data == nil {
		return e, nil
	}
	if e.Data, err = a.readData(*c.Data); err != nil {
		return e, err
	}
	if e.ContentType == "" {
		e.ContentType = contentTypeOf(e.Data)
	} else if isJSON(e.ContentType) && !json.Valid(e.Data) {
		return e, errs.New(errs.Invalid, "the data is not JSON, and --content-type says that it is: correct one of the two").With("field", "data")
	}
	return e, nil
}

// parseExpect reads the words of --expect, and names the one that was probably meant.
func parseExpect(s string) (client.Expect, error) {
	e, err := client.ParseExpect(s)
	if err == nil {
		return e, nil
	}
	refused := errs.New(errs.Invalid, "--expect %q is not a revision, none, exists or any", s).With("field", "expect")
	if near := nearest(s, []string{"none", "exists", "any"}); len(near) > 0 {
		return e, withHint(refused, "did you mean "+near[0]+"?")
	}
	return e, refused
}

// appendFailed adds what helps to go on from where the append stopped.
func (a *app) appendFailed(server *client.Client, to target, id string, err error) error {
	switch client.CodeOf(err) {
	case client.CodeUnknownOutcome:
		return withHint(err, "it may have been written; to learn it, append again with --id "+id)
	case client.CodeConflict:
		return withHint(err, "read what happened meanwhile: gesta read "+shellWord(to.String())+" --tail 10")
	case client.CodeNotFound:
		return a.topicHint(server, to.topic, err)
	}
	return err
}

func (a *app) noteCreated(topics []string) {
	for _, t := range topics {
		a.note("created topic %s", t)
	}
}

func (c *appendCmd) print(a *app, to target, e client.Event, r client.Result) error {
	at := r.Streams[0]
	if r.Repeated {
		a.note("this event was there already; nothing was written")
	}
	if c.json() {
		return a.printJSON(appended{to.topic, to.key, e.Type, e.ID, at.LastRevision, at.LastOffset, r.Position, r.Repeated})
	}
	t := newTable(a.Out, c.width(a.World), column{title: "offset", right: true}, column{title: "revision", right: true},
		column{title: "type", min: 10}, column{title: "stream", min: 10}, column{title: "id", min: 8})
	if err := t.row(number(at.LastOffset), number(at.LastRevision), e.Type, to.topic+"/"+to.key, e.ID); err != nil {
		return err
	}
	return t.flush()
}

// shellWord quotes a word for a command that a person may paste.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/:@,+=", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
