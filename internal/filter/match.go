package filter

import (
	"context"
	"errors"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
)

// Expression is a compiled condition on events. It is for one goroutine at a time.
type Expression struct {
	text    string
	program cel.Program
	loops   bool
	vars    vars
}

// String is the expression as it was written, so that another node can compile it too.
func (x *Expression) String() string { return x.text }

// Match tells whether the expression is true of an event: its encoding as the log keeps it, and its parts. It keeps neither. The
// error is too_large when the expression was stopped, and corrupt for an encoding that is none.
func (x *Expression) Match(_ []byte, v *eventwire.View) (bool, error) {
	x.vars = vars{view: v}
	defer x.vars.forget()
	result, err := x.eval()
	switch {
	case x.vars.err != nil:
		return false, errs.New(errs.Corrupt, "the event at offset %d cannot be decoded: %w", v.Offset, x.vars.err)
	case err == nil:
		return result == types.True, nil
	case stopped(err):
		return false, errs.New(errs.TooLarge, "the expression takes more than %d steps for the event at offset %d and was stopped there: make it simpler, or narrow the read by types, tags or a key's prefix", mostSteps, v.Offset).
			With("field", "where").With("limit", "where_steps")
	case failed(err):
		return false, nil
	}
	return false, errs.New(errs.Internal, "the expression could not be evaluated for the event at offset %d: %w", v.Offset, err)
}

func (x *Expression) eval() (result ref.Val, err error) {
	if !x.loops {
		result, _, err = x.program.Eval(&x.vars)
		return result, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), mostTime)
	defer cancel()
	result, _, err = x.program.ContextEval(ctx, &x.vars)
	return result, err
}

// stopped tells whether an evaluation went beyond its limits.
func stopped(err error) bool {
	var cancelled interpreter.EvalCancelledError
	return errors.As(err, &cancelled) || errors.Is(err, interpreter.InterruptError{})
}

// failed tells whether the expression itself has no value for the event.
func failed(err error) bool {
	var of *types.Err
	return errors.As(err, &of)
}

// vars gives the variables of one event, each when it is asked for.
type vars struct {
	view    *eventwire.View
	event   eventwire.Event
	decoded bool
	data    any
	parsed  bool
	err     error
}

// forget lets go of the event: its memory is its reader's.
func (a *vars) forget() { *a = vars{err: nil} }

// Parent is nil: there are no other variables.
func (a *vars) Parent() interpreter.Activation { return nil }

// ResolveName gives a variable.
func (a *vars) ResolveName(name string) (any, bool) {
	switch name {
	case "id":
		return types.String(a.view.ID), true
	case "type":
		return types.String(a.view.Type), true
	case "topic":
		return types.String(a.view.Topic), true
	case "key":
		return types.String(a.view.Key), true
	case "revision":
		return types.Int(a.view.Revision), true
	case "offset":
		return types.Int(a.view.Offset), true
	case "recorded":
		return types.Timestamp{Time: time.Unix(0, a.view.Recorded).UTC()}, true
	}
	return a.resolveDecoded(name)
}

func (a *vars) resolveDecoded(name string) (any, bool) {
	e := a.decode()
	switch name {
	case "source":
		return types.String(e.Source), true
	case "content_type":
		return types.String(e.ContentType), true
	case "schema_version":
		return types.Int(e.SchemaVersion), true
	case "time":
		if e.Time.IsZero() {
			return types.NullValue, true
		}
		return types.Timestamp{Time: e.Time}, true
	case "tags":
		return types.NewStringList(types.DefaultTypeAdapter, e.Tags), true
	case "metadata":
		return types.NewStringStringMap(types.DefaultTypeAdapter, e.Metadata), true
	case "data":
		return a.payload(e), true
	}
	return nil, false
}

// decode reads the event once. Its strings are parts of the encoding, which nobody keeps beyond Match.
func (a *vars) decode() *eventwire.Event {
	if !a.decoded {
		a.decoded = true
		a.err = eventwire.AliasEvent(a.view.Event, &a.event)
	}
	return &a.event
}

func (a *vars) payload(e *eventwire.Event) any {
	if !a.parsed {
		a.parsed = true
		if a.data = parse(e); a.data == nil {
			a.data = types.NullValue
		}
	}
	return a.data
}
