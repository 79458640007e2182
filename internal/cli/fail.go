package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/internal/errs"
)

// exitInterrupted is what shells give a process that Ctrl-C ended.
const exitInterrupted = 130

// hinted is an error with advice for the person at the keyboard.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// withHint adds advice to an error.
func withHint(err error, hint string) error {
	if hint == "" {
		return err
	}
	return hinted{err, hint}
}

// usageError is a command line that cannot be understood.
func usageError(err error) error {
	coded := errs.New(errs.Invalid, "%w", err)
	var parse *kong.ParseError
	if !errors.As(err, &parse) || parse.Context == nil || parse.Context.Selected() == nil {
		return withHint(coded, `"gesta --help" lists the commands`)
	}
	return withHint(coded, `"gesta `+commandPath(parse.Context.Selected())+` --help" tells how to use it`)
}

func commandPath(n *kong.Node) string {
	if n.Parent == nil || n.Parent.Type == kong.ApplicationNode {
		return n.Name
	}
	return commandPath(n.Parent) + " " + n.Name
}

// fail says what went wrong and gives the exit code of the error table.
func (a *app) fail(err error) int {
	if errors.Is(err, context.Canceled) && a.ctx.Err() != nil {
		return a.interrupted(err)
	}
	code, message := codeOf(err)
	if message != "" {
		a.note("gesta: %s: %s", code, message)
	}
	var h hinted
	if errors.As(err, &h) {
		a.note("  %s", strings.ReplaceAll(h.hint, "\n", "\n  "))
	}
	return errs.RowOf(code).Exit
}

// interrupted ends without noise: the user knows. What a command has to say about how far it came, it said already.
func (a *app) interrupted(err error) int {
	var h hinted
	if errors.As(err, &h) {
		a.note("%s", h.hint)
	}
	return exitInterrupted
}

// codeOf gives an error's code and its sentence without the code in front. A failure that was reported already has no sentence.
func codeOf(err error) (errs.Code, string) {
	var told reported
	if errors.As(err, &told) {
		return told.code, ""
	}
	var remote *client.Error
	if errors.As(err, &remote) {
		return errs.Code(remote.Code), strings.Replace(err.Error(), remote.Error(), remote.Message, 1)
	}
	e := errs.As(err)
	return e.Code, e.Message
}

// reported is a failure whose sentences were printed while it happened.
type reported struct{ code errs.Code }

func (r reported) Error() string { return string(r.code) }
