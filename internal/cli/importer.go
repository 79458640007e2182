package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gesta-db/gesta/api/cloudevents"
	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

// importer sends the lines of a source to a topic, in their order and without waiting for each: client.Start keeps the order of
// every stream, also across retries. Two goroutines work for it: feed reads and sends, collect counts the outcomes in order.
type importer struct {
	app      *app
	server   *client.Client
	source   *source
	topic    string
	key      keyFrom
	skip     bool // go on after a bad line
	noCreate bool
	silent   bool // says nothing of new topics

	usual    limits.Limits // those of a server by default
	progress *progress
	window   *window
	sent     chan sentLine
	sending  sync.Mutex      // held from the look at going to the line's place in sent
	going    context.Context // ends at an interrupt, and at the first error that stops the import
	halt     context.CancelCauseFunc
	answers  context.Context // of what is under way: outlives going, so that it can end well

	mu    sync.Mutex
	total imported
}

// sentLine is an event on its way.
type sentLine struct {
	number  int
	share   float64 // of the source that was read up to it
	pending *client.Pending
}

// imported is what came of the lines.
type imported struct {
	Topic   string  `json:"topic"`
	Lines   int     `json:"lines"`   // that held an event, or should have
	New     int64   `json:"new"`     // events written now
	Known   int64   `json:"known"`   // events that had been written before
	Skipped int64   `json:"skipped"` // bad lines
	Seconds float64 `json:"seconds"`
}

const (
	// sentMost is how many events may be under way: enough to fill the server's batches, few enough for their bookkeeping
	// to be small. The client bounds their bytes.
	sentMost = 4096
	// afterInterrupt is how long an interrupted import waits for the answers that are still out.
	afterInterrupt = 5 * time.Second
)

// run imports everything. What it counts is right also beside an error.
func (m *importer) run() (imported, error) {
	m.total.Topic, m.usual = m.topic, limits.Default()
	m.window, m.sent = newWindow(sentMost), make(chan sentLine, sentMost)
	m.progress = startProgress(m.app.World, "importing", "events")
	m.going, m.halt = context.WithCancelCause(m.app.ctx)
	defer m.halt(nil)
	var giveUp context.CancelFunc
	m.answers, giveUp = context.WithCancel(context.WithoutCancel(m.app.ctx))
	defer giveUp()
	release := context.AfterFunc(m.app.ctx, func() { time.AfterFunc(afterInterrupt, giveUp) })
	defer release()

	go func() { // apart, because a pipe may block the reading for ever
		if err := m.feed(); err != nil {
			m.halt(err)
		}
		close(m.sent)
	}()
	m.collect()
	elapsed := m.progress.finish()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total.Seconds = elapsed.Seconds()
	return m.total, context.Cause(m.going)
}

// feed reads lines and sends their events, until the source ends or the import stops.
func (m *importer) feed() error {
	for m.going.Err() == nil {
		text, err := m.source.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, errLongLine) {
			return err
		}
		m.count(func(t *imported) { t.Lines++ })
		if err == nil {
			err = m.line(text)
		}
		if err != nil && m.going.Err() == nil {
			err = m.bad(m.source.line, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// line sends one line's event. The first one, and one that is over a default limit and so may be refused, goes alone: what
// comes after a refused line is then not recorded.
func (m *importer) line(text []byte) error {
	key, event, err := m.parse(text)
	if err != nil {
		return err
	}
	alone := m.total.Lines == 1 || isGreat(key, &event, &m.usual)
	if alone {
		if err := m.window.idle(m.going); err != nil {
			return err
		}
	}
	if err := m.send(key, event); err != nil || !alone {
		return err
	}
	return m.window.idle(m.going)
}

func (m *importer) parse(text []byte) (string, client.Event, error) {
	subject, event, err := cloudevents.ParseJSON(text)
	if err != nil {
		return "", event, orInvalid(err)
	}
	if event.ID == "" {
		event.ID = m.source.lineID()
	}
	key, err := m.key(subject, &event)
	return key, event, err
}

// isGreat tells whether an event is over a limit that servers have by default.
func isGreat(key string, e *client.Event, l *limits.Limits) bool {
	metadata := 0
	for name, value := range e.Metadata {
		metadata += len(name) + len(value)
	}
	return len(e.Data) > l.EventBytes || len(key) > l.KeyBytes || len(e.ID) > l.IDBytes || len(e.Type) > l.TypeBytes ||
		metadata > l.MetadataBytes || len(e.Metadata) > l.MetadataEntries || len(e.Tags) > l.Tags
}

// send puts an event on its way, unless the import has stopped.
func (m *importer) send(key string, event client.Event) error {
	if err := m.window.enter(m.going); err != nil {
		return err
	}
	m.sending.Lock()
	defer m.sending.Unlock()
	if err := m.going.Err(); err != nil {
		m.window.leave()
		return err
	}
	append := client.Append{Topic: m.topic, Key: key, Events: []client.Event{event}}
	pending := m.server.Start(m.answers, []client.Append{append}, m.options()...)
	m.sent <- sentLine{m.source.line, m.source.share(), pending}
	return nil
}

func (m *importer) options() []client.AppendOption {
	if m.noCreate {
		return []client.AppendOption{client.NoCreate()}
	}
	return nil
}

// collect takes in the outcomes. When the import stops, it still waits for what is under way.
func (m *importer) collect() {
	for {
		select {
		case line, open := <-m.sent:
			if !open {
				return
			}
			m.outcome(line)
		case <-m.going.Done():
			m.sending.Lock() // whoever comes later sees that the import has stopped
			defer m.sending.Unlock()
			m.collectRest()
			return
		}
	}
}

func (m *importer) collectRest() {
	for {
		select {
		case line, open := <-m.sent:
			if !open {
				return
			}
			m.outcome(line)
		default:
			return
		}
	}
}

func (m *importer) outcome(line sentLine) {
	defer m.window.leave()
	result, err := line.pending.Wait(m.answers)
	if err != nil {
		m.refused(line.number, err)
		return
	}
	if !m.silent {
		for _, topic := range result.CreatedTopics {
			m.app.noteAbove(m.progress, "created topic %s", topic)
		}
	}
	m.count(func(t *imported) {
		if result.Repeated {
			t.Known++
		} else {
			t.New++
		}
		m.progress.set(t.New+t.Known, line.share)
	})
}

// refused handles the server's no. What is wrong with one event may be skipped; anything else stops the import. Only the first
// such error is told: those after it follow from it.
func (m *importer) refused(number int, err error) {
	switch client.CodeOf(err) {
	case client.CodeInvalid, client.CodeTooLarge, client.CodeRejected, client.CodeConflict:
		err = m.bad(number, err)
	default:
		err = fmt.Errorf("line %d of %s: %w", number, m.source.name, err)
	}
	if err != nil {
		m.halt(err)
	}
}

// bad reports a bad line, or gives the error that stops the import.
func (m *importer) bad(number int, err error) error {
	if !m.skip {
		return withHint(fmt.Errorf("line %d of %s: %w", number, m.source.name, err),
			"mend the line and run the import again: what is recorded is recognised; or pass --on-error skip")
	}
	m.count(func(t *imported) { t.Skipped++ })
	code, message := codeOf(err)
	m.app.noteAbove(m.progress, "line %d skipped: %s: %s", number, code, message)
	return nil
}

func (m *importer) count(change func(*imported)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.total)
}

// noteAbove is note while a progress line may stand on the terminal.
func (a *app) noteAbove(p *progress, format string, values ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		fmt.Fprint(a.Err, "\r\x1b[K")
	}
	a.note(format, values...)
}

// orInvalid gives errors without a code the one of bad input.
func orInvalid(err error) error {
	var coded *errs.Error
	var remote *client.Error
	if err == nil || errors.As(err, &coded) || errors.As(err, &remote) {
		return err
	}
	return errs.New(errs.Invalid, "%w", err)
}
