package cli

import (
	"errors"
	"io"
	"time"

	"github.com/gesta-db/gesta/api/cloudevents"
	"github.com/gesta-db/gesta/client"
)

type exportCmd struct {
	remote `embed:""`

	Output    string   `short:"o" enum:"json" default:"json" placeholder:"json" help:"There is one form: one CloudEvent a line."`
	Topic     string   `required:"" placeholder:"TOPIC" help:"What to export."`
	From      string   `placeholder:"POINT" help:"Where to start: start, pos:TOKEN, time:RFC3339, time:YYYY-MM-DD, -2h."`
	Type      []string `placeholder:"TYPE" help:"Only events of this type; may be given several times."`
	Tag       []string `sep:"none" placeholder:"TAG" help:"Only events with this tag; given several times, with all of them."`
	KeyPrefix string   `placeholder:"TEXT" help:"Only events whose key begins with this."`
	Where     string   `placeholder:"CEL" help:"Only events of which this expression is true, as in gesta read."`
}

// Help is the long form of gesta export --help.
func (exportCmd) Help() string {
	return `Writes what "gesta import" reads: one CloudEvent a line, whose subject is the key.

Example:

    gesta export --topic orders | gzip > orders.ndjson.gz`
}

func (c *exportCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	topic, err := server.Topic(a.ctx, c.Topic)
	if err != nil {
		return a.topicHint(server, c.Topic, err)
	}
	expected := topic.Events
	if c.From != "" || len(c.Type) > 0 || len(c.Tag) > 0 || c.KeyPrefix != "" || c.Where != "" {
		expected = 0 // nobody has counted those
	}
	reader := server.Read(a.ctx, client.TopicScope(c.Topic), client.ReadOptions{From: c.From, Types: c.Type, KeyPrefix: c.KeyPrefix, Tags: c.Tag, Where: c.Where})
	defer reader.Close()
	n, elapsed, err := a.export(reader, expected)
	a.note("%s: %s exported; %s, %s", c.Topic, count(uint64(n), "event"), secondsText(elapsed), rate(n, elapsed))
	return err
}

// export writes what reader gives. The bar is drawn when the events go elsewhere than to the same terminal.
func (a *app) export(reader *client.Reader, expected uint64) (n int64, elapsed time.Duration, err error) {
	w := a.World
	w.ErrTerminal = w.ErrTerminal && !w.OutTerminal
	p := startProgress(w, "exporting", "events")
	out := newLines(a.World)
	for err == nil {
		var e *client.Recorded
		if e, err = reader.Next(); err != nil {
			break
		}
		if err = writeEvent(out, e); err == nil {
			n++
			p.set(n, shareOf(n, expected))
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if flushed := out.flush(); err == nil {
		err = flushed
	}
	return n, p.finish(), err
}

func writeEvent(out *lines, e *client.Recorded) error {
	line, err := cloudevents.MarshalJSON(e)
	if err != nil {
		return err
	}
	return out.write(line)
}

func shareOf(n int64, whole uint64) float64 {
	if whole == 0 {
		return -1
	}
	return float64(n) / float64(whole)
}
