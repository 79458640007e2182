package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gesta-db/gesta/bench/peers/internal/gesta"
	"github.com/gesta-db/gesta/bench/peers/internal/report"
)

const mib = 1 << 20

// section is a part of the figures under way.
type section struct {
	*bench
	*report.Section
	failed error
}

// section lets work fill a section, and keeps what it came to, whole or not.
func (b *bench) section(ctx context.Context, name, settings string, work func(context.Context, *section) error) error {
	s := &section{bench: b, Section: &report.Section{
		Name: name, Began: time.Now().UTC().Truncate(time.Second), LoadBefore: loadAverage(), Version: strings.TrimPrefix(b.version, "gesta "),
		Command: b.command(), Settings: settings, Quick: b.quick,
	}}
	began := time.Now()
	s.note(ctx, "", work(ctx, s))
	s.Seconds = time.Since(began).Seconds()
	b.figures.Put(s.Section)
	return s.failed
}

// try does one thing of the section. When it fails, that is noted, and the section goes on; only being stopped ends it.
func (s *section) try(ctx context.Context, what string, work func(context.Context) error) error {
	s.note(ctx, what+": ", work(ctx))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (s *section) note(ctx context.Context, what string, err error) {
	if err == nil {
		return
	}
	if ctx.Err() != nil {
		s.Skipped = append(s.Skipped, "interrupted")
		s.failed = context.Cause(ctx)
		return
	}
	s.skip(what + err.Error())
	s.failed = errors.Join(s.failed, fmt.Errorf("%s: %s%w", s.Name, what, err))
}

// skip notes what is not measured.
func (s *section) skip(why string) {
	s.Skipped = append(s.Skipped, why)
	s.tell("skipped", why)
}

// value books a figure and tells it.
func (s *section) value(round int, what string, v float64) {
	s.Add(round, what, v)
	s.tell(what, fmt.Sprintf("%.4g", v))
}

func (s *section) tell(what, text string) {
	fmt.Fprintf(os.Stderr, "%-9s %-20s %s\n", s.Name, what, text)
}

// take waits for a command of gesta bench, keeps what it printed, and reads it into result.
func (s *section) take(c *gesta.Client, result any) error {
	raw, err := c.Wait()
	if err != nil {
		return err
	}
	s.Raw = append(s.Raw, raw)
	return json.Unmarshal(raw, result)
}

// ask runs a command of gesta bench against some addresses.
func (s *section) ask(ctx context.Context, addrs string, result any, args ...string) error {
	c, err := gesta.Bench(ctx, s.binary, addrs, args...)
	if err != nil {
		return err
	}
	return s.take(c, result)
}
