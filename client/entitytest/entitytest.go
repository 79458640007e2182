// Package entitytest tests entities without a server: given events, when a command, then events, a reply or a rejection.
//
//	entitytest.For(t, account.Entity).
//		Given(account.Opened{Owner: "Ann"}, account.Deposited{Amount: 50}).
//		When(account.Withdraw{Amount: 20}).
//		Then(account.Withdrawn{Amount: 20}).
//		Replies(account.Summary{Balance: 30, Available: 30})
//
// Each command is decided several times: twice on one state, on one that was folded from events as the log gives them back, and on
// one that was read from a snapshot. A test fails when Decide changes the state, when Decide or Fold are not deterministic, and
// when something that Decide needs is lost on the way through the log. It does not find what depends on the machine's clock or on
// the network as long as that stays the same.
package entitytest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gesta-db/gesta/client"
)

// Case is an entity with a history.
type Case[S, C, E any] struct {
	t      testing.TB
	entity *client.Entity[S, C, E]
	events []E
	about  client.About
}

// For begins with an entity that has no events.
func For[S, C, E any](t testing.TB, d *client.Entity[S, C, E]) Case[S, C, E] {
	return Case[S, C, E]{t: t, entity: d, about: client.About{Kind: d.Kind, Key: "key", ID: "command", Received: time.Unix(1_700_000_000, 0).UTC()}}
}

// Given has more events happen before the command.
func (c Case[S, C, E]) Given(events ...E) Case[S, C, E] {
	c.events = append(append([]E(nil), c.events...), events...)
	return c
}

// Asked sets what Decide is told of the command beside its data. Kind and Revision are set by the case.
func (c Case[S, C, E]) Asked(about client.About) Case[S, C, E] {
	c.about = about
	return c
}

// State gives what the events fold to, and checks that it survives a snapshot.
func (c Case[S, C, E]) State() S {
	c.t.Helper()
	s := c.fold(c.events)
	c.throughSnapshot(s)
	return s
}

// When decides about a command.
func (c Case[S, C, E]) When(command C) *Answer[S, C, E] {
	c.t.Helper()
	c.about.Kind, c.about.Revision = c.entity.Kind, uint64(len(c.events))
	state, untouched := c.fold(c.events), c.fold(c.events)
	if !same(state, untouched) {
		c.t.Fatalf("Fold is not deterministic: the same events give\n%s\nand\n%s", c.show(state), c.show(untouched))
	}
	d, err := c.decide(state, command)
	if !same(state, untouched) {
		c.t.Fatalf("Decide changes the state: it was\n%s\nand is\n%s", c.show(untouched), c.show(state))
	}
	a := &Answer[S, C, E]{Case: c, decision: d, err: err}
	c.again(a, "asked twice on the same state, so Decide is not deterministic,", state, command)
	c.again(a, "on a state folded from events that were read from the log", c.fold(c.throughLog(c.events)), command)
	c.again(a, "on a state that was read from a snapshot", c.throughSnapshot(untouched), command)
	a.apply()
	return a
}

// again decides once more, and fails when something else comes of it.
func (c Case[S, C, E]) again(a *Answer[S, C, E], how string, s S, command C) {
	c.t.Helper()
	d, err := c.decide(s, command)
	if first, now := c.describe(a.decision, a.err), c.describe(d, err); first != now {
		c.t.Fatalf("%s the decision is another: first\n%s\nthen\n%s", how, first, now)
	}
}

func (c Case[S, C, E]) decide(s S, command C) (d client.Decision[E], err error) {
	c.t.Helper()
	defer c.caught("Decide")
	about := c.about
	return c.entity.Decide(s, command, &about)
}

func (c Case[S, C, E]) caught(where string) {
	c.t.Helper()
	if v := recover(); v != nil {
		c.t.Fatalf("%s panicked: %v", where, v)
	}
}

func (c Case[S, C, E]) fold(events []E) S {
	c.t.Helper()
	defer c.caught("Fold")
	s, err := c.entity.NewState()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range events {
		s = c.entity.Fold(s, e)
	}
	return s
}

// throughLog writes events and reads them again.
func (c Case[S, C, E]) throughLog(events []E) []E {
	c.t.Helper()
	read := make([]E, len(events))
	for i, e := range events {
		written, err := c.entity.WriteEvent(e)
		if err == nil {
			read[i], err = c.entity.ReadEvent(&client.Recorded{Event: written, Revision: uint64(i) + 1})
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
	return read
}

func (c Case[S, C, E]) throughSnapshot(s S) S {
	c.t.Helper()
	written, err := c.entity.WriteState(s)
	var read S
	if err == nil {
		read, err = c.entity.ReadState(written)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return read
}

// describe is a decision as text, with what would be written.
func (c Case[S, C, E]) describe(d client.Decision[E], err error) string {
	c.t.Helper()
	if err != nil {
		return "error: " + err.Error()
	}
	var b strings.Builder
	for _, e := range d.Events {
		written, err := c.entity.WriteEvent(e)
		if err != nil {
			c.t.Fatal(err)
		}
		fmt.Fprintf(&b, "event %s of version %d: %s\n", written.Type, written.SchemaVersion, written.Data)
	}
	reply, err := client.PayloadOf(d.Reply)
	if err != nil {
		c.t.Fatal(err)
	}
	fmt.Fprintf(&b, "reply %s %s\n", reply.ContentType, reply.Data)
	if d.Delete {
		b.WriteString("and the entity ends\n")
	}
	return b.String()
}

func (c Case[S, C, E]) show(s S) string {
	written, err := c.entity.WriteState(s)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%+v, written as %s", s, written.Data)
}

// same compares Protobuf messages by what they say, anything else by all that is in it.
func same(a, b any) bool {
	x, isMessage := a.(proto.Message)
	y, both := b.(proto.Message)
	if isMessage && both {
		return proto.Equal(x, y)
	}
	return reflect.DeepEqual(a, b)
}

// Answer is what came of a command. Its methods fail the test when something else was expected, and return it for the next.
type Answer[S, C, E any] struct {
	Case     Case[S, C, E] // with the events that were decided
	decision client.Decision[E]
	err      error
}

// apply goes on with what was decided.
func (a *Answer[S, C, E]) apply() {
	if a.err == nil {
		a.Case = a.Case.Given(a.decision.Events...)
	}
	if a.decision.Delete {
		a.Case.events = nil
	}
}

// Then expects exactly these events, and a success; none: nothing happened.
func (a *Answer[S, C, E]) Then(events ...E) *Answer[S, C, E] {
	a.Case.t.Helper()
	want := client.Decision[E]{Events: events, Reply: a.decision.Reply, Delete: a.decision.Delete}
	if want, got := a.Case.describe(want, nil), a.Case.describe(a.decision, a.err); want != got {
		a.Case.t.Fatalf("decided was\n%s\nnot\n%s", got, want)
	}
	return a
}

// Replies expects this reply; nil: none.
func (a *Answer[S, C, E]) Replies(reply any) *Answer[S, C, E] {
	a.Case.t.Helper()
	want := client.Decision[E]{Events: a.decision.Events, Reply: reply, Delete: a.decision.Delete}
	if want, got := a.Case.describe(want, nil), a.Case.describe(a.decision, a.err); want != got {
		a.Case.t.Fatalf("decided was\n%s\nnot\n%s", got, want)
	}
	return a
}

// Rejects expects a "no" of this code.
func (a *Answer[S, C, E]) Rejects(code string) *Answer[S, C, E] {
	a.Case.t.Helper()
	if r := client.RejectionOf(a.err); r == nil || r.Code != code {
		a.Case.t.Fatalf("decided was\n%s\nnot a rejection %s", a.Case.describe(a.decision, a.err), code)
	}
	return a
}

// Retries expects that the command is wanted again, later.
func (a *Answer[S, C, E]) Retries() *Answer[S, C, E] {
	a.Case.t.Helper()
	var r *client.Retry
	if !errors.As(a.err, &r) {
		a.Case.t.Fatalf("decided was\n%s\nnot a retry", a.Case.describe(a.decision, a.err))
	}
	return a
}

// Deletes expects that the entity ends.
func (a *Answer[S, C, E]) Deletes() *Answer[S, C, E] {
	a.Case.t.Helper()
	if a.err != nil || !a.decision.Delete {
		a.Case.t.Fatalf("decided was\n%s\nnot the entity's end", a.Case.describe(a.decision, a.err))
	}
	return a
}

// State expects that the entity's state is now this.
func (a *Answer[S, C, E]) State(want S) *Answer[S, C, E] {
	a.Case.t.Helper()
	if got := a.Case.State(); !same(want, got) {
		a.Case.t.Fatalf("the state is\n%s\nnot\n%s", a.Case.show(got), a.Case.show(want))
	}
	return a
}

// And goes on with what was decided, for the next command.
func (a *Answer[S, C, E]) And() Case[S, C, E] { return a.Case }
