package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/node"
)

func TestExitCodesAreTheTables(t *testing.T) {
	for _, row := range errs.Table() {
		for name, err := range map[string]error{
			"here":   fmt.Errorf("doing it: %w", errs.New(row.Code, "because")),
			"server": fmt.Errorf("doing it: %w", &client.Error{Code: client.Code(row.Code), Message: "because"}),
		} {
			var out bytes.Buffer
			a := &app{World: World{Err: &out}, ctx: t.Context()}
			if got := a.fail(withHint(err, "do that")); got != row.Exit {
				t.Errorf("%s from %s exits with %d, not %d", row.Code, name, got, row.Exit)
			}
			if want := fmt.Sprintf("gesta: %s: doing it: because\n  do that\n", row.Code); out.String() != want {
				t.Errorf("%s from %s says %q, not %q", row.Code, name, out.String(), want)
			}
		}
	}
}

func TestErrorsAreSafeToPrint(t *testing.T) {
	var out bytes.Buffer
	a := &app{World: World{Err: &out}, ctx: t.Context()}
	if code := a.fail(errors.New("a defect\x1b[2J")); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if got := out.String(); got != "gesta: internal: a defect\\x1b[2J\n" {
		t.Errorf("said %q", got)
	}
}

func TestInterruptIsQuiet(t *testing.T) {
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &app{World: World{Err: &out}, ctx: ctx}
	if code := a.fail(fmt.Errorf("reading: %w", ctx.Err())); code != exitInterrupted || out.Len() > 0 {
		t.Errorf("exit code %d, %q", code, out.String())
	}
}

func TestJoinAgo(t *testing.T) {
	got := joinAgo([]string{"read", "t", "--from", "-2h", "--from", "--limit", "--from", "5", "--", "--from", "-1h"})
	want := []string{"read", "t", "--from=-2h", "--from", "--limit", "--from", "5", "--", "--from", "-1h"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestEverySettingHasAFlag(t *testing.T) {
	var grammar struct {
		Serve serveCmd `cmd:""`
	}
	grammar.Serve.Plugins = serveFlags()
	parser, err := kong.New(&grammar, kong.Name("gesta"))
	if err != nil {
		t.Fatal(err)
	}
	args, want := []string{"serve"}, map[string]string{}
	for _, s := range node.Fields() {
		value := s.Default
		if s.Kind == node.Bool {
			args = append(args, "--"+s.Flag())
			value = "true"
		} else {
			args = append(args, "--"+s.Flag()+"="+value)
		}
		want[s.Flag()] = value
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	if got := grammar.Serve.given(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if len(want) < 10 || !strings.Contains(fmt.Sprint(want), "drain-timeout") {
		t.Errorf("few settings: %v", want)
	}
}

func TestNoFlagIsNoSetting(t *testing.T) {
	c := serveCmd{Plugins: serveFlags()}
	if got := c.given(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}
