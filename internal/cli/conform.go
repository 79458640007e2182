package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/client/conformance"
	"github.com/gesta-db/gesta/internal/errs"
)

type conformCmd struct {
	Script  []string      `sep:"none" placeholder:"FILE" help:"Play this script instead of those for the kind account; may be given several times."`
	Timeout time.Duration `default:"10s" placeholder:"TIME" help:"How long the handler may take for each step (default 10s)."`
	Command []string      `arg:"" passthrough:"" help:"The program that serves, and its arguments."`
}

// Help is the long form of gesta conform --help.
func (conformCmd) Help() string {
	return `Runs a handler in any language against recorded frames of the protocol gesta.v1.Runtime, and compares what it answers. The
handler attaches to the address in GESTA_ADDR, and again when the connection ends. The scripts are about the kind account, which
docs/how-to/test-a-handler.md describes. The exit code is 1 when the handler does not do what a script expects.

Example:

    gesta conform -- python3 handler.py`
}

func (c *conformCmd) Run(a *app) error {
	scripts, err := c.scripts()
	if err != nil {
		return err
	}
	server, err := conformance.New()
	if err != nil {
		return errs.New(errs.Internal, "the conformance server cannot listen: %w", err)
	}
	defer server.Close()
	server.Patience = c.Timeout
	ctx, stop := context.WithCancel(a.ctx)
	defer stop()
	ended, err := c.start(ctx, a, server.Addr())
	if err != nil {
		return err
	}
	err = c.play(ctx, a, server, scripts, ended)
	stop()
	<-ended
	return err
}

func (c *conformCmd) scripts() ([]conformance.Script, error) {
	if len(c.Script) == 0 {
		return conformance.Scripts()
	}
	var all []conformance.Script
	for _, name := range c.Script {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fileError(err)
		}
		s, err := conformance.Parse(strings.TrimSuffix(filepath.Base(name), ".txt"), string(text))
		if err != nil {
			return nil, errs.New(errs.Invalid, "%w", err)
		}
		all = append(all, s)
	}
	return all, nil
}

// start runs the handler until ctx ends; ended is closed when it has.
func (c *conformCmd) start(ctx context.Context, a *app, addr string) (ended chan struct{}, err error) {
	words := c.Command
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		return nil, errs.New(errs.Invalid, "no handler is given: gesta conform -- COMMAND")
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "GESTA_ADDR="+addr)
	cmd.Stdout, cmd.Stderr = a.Err, a.Err
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = c.Timeout
	if err := cmd.Start(); err != nil {
		return nil, errs.New(errs.NotFound, "the handler cannot be started: %w", err)
	}
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // what it said is on the screen
	}()
	return ended, nil
}

func (c *conformCmd) play(ctx context.Context, a *app, server *conformance.Server, scripts []conformance.Script, ended <-chan struct{}) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-ended:
			stop()
		case <-ctx.Done():
		}
	}()
	for _, s := range scripts {
		if err := server.Play(ctx, s); err != nil {
			if a.ctx.Err() != nil {
				return a.ctx.Err()
			}
			return &client.Error{Code: client.CodeInternal, Message: "the handler does not conform: " + err.Error()}
		}
		a.note("ok  %s", s.Name)
	}
	return nil
}
