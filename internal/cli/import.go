package cli

import (
	"fmt"
	"time"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/internal/errs"
)

type importCmd struct {
	remote `embed:""`
	output `embed:""`

	File     string `arg:"" help:"A file of CloudEvents, one JSON object a line, plain or gzipped; - reads standard input."`
	Topic    string `required:"" placeholder:"TOPIC" help:"Where the events go; the topic is created when it is new."`
	KeyFrom  string `default:"subject" placeholder:"NAME" help:"What the key is: subject (the default), none, source, type, id, an extension's name, or data.FIELD."`
	OnError  string `enum:"stop,skip" default:"stop" help:"What to do at a bad line: stop (the default) or skip it."`
	NoCreate bool   `help:"Refuse when the topic does not exist."`
}

// Help is the long form of gesta import --help.
func (importCmd) Help() string {
	return `An event is known by its id within its stream, so importing a file twice adds nothing. A line without an id gets one made of
its number and of the file's content up to there. The events of one key keep their order.

Examples:

    gesta import history.ndjson.gz --topic files
    gesta export --topic orders | gesta import - --topic orders --addr other:7070`
}

func (c *importCmd) Run(a *app) error {
	key, err := parseKeyFrom(c.KeyFrom)
	if err != nil {
		return err
	}
	if c.Topic == "" {
		return errs.New(errs.Invalid, "--topic is empty").With("field", "topic")
	}
	from, err := a.openSource(c.File)
	if err != nil {
		return err
	}
	defer from.close()
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	m := &importer{app: a, server: server, source: from, topic: c.Topic, key: key, skip: c.OnError == "skip", noCreate: c.NoCreate}
	total, err := m.run()
	a.noteImported(total)
	if err == nil && c.json() {
		return a.printJSON(total)
	}
	if a.ctx.Err() != nil {
		return withHint(err, "interrupted: run the same import again to go on; what is recorded is recognised")
	}
	switch client.CodeOf(err) {
	case client.CodeNotFound:
		return a.topicHint(server, c.Topic, err)
	case client.CodeUnknownOutcome, client.CodeUnavailable, client.CodeNoLeader, client.CodeBusy, client.CodeNoSpace:
		return withHint(err, "run the same import again to go on; what is recorded is recognised")
	}
	return err
}

// noteImported is the last word on an import.
func (a *app) noteImported(t imported) {
	elapsed := time.Duration(t.Seconds * float64(time.Second))
	skipped := ""
	if t.Skipped > 0 {
		skipped = ", " + count(uint64(t.Skipped), "bad line") + " skipped"
	}
	a.note("%s: %s new, %s there already%s; %s, %s", t.Topic, count(uint64(t.New), "event"), thousands(uint64(t.Known)), skipped,
		secondsText(elapsed), rate(t.New+t.Known, elapsed))
}

func secondsText(d time.Duration) string {
	if d >= time.Minute {
		return clockTime(d)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
