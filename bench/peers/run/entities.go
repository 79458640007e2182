package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/gesta-db/gesta/bench/peers/internal/gesta"
	"github.com/gesta-db/gesta/bench/peers/internal/process"
	"github.com/gesta-db/gesta/bench/peers/internal/report"
)

// executed is what gesta bench execute prints.
type executed struct {
	Commands float64 `json:"commands_per_second"`
	Appends  float64 `json:"appends_per_second"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Failed   uint64  `json:"failed"`
	First    string  `json:"first_error"`
}

func (b *bench) entity(ctx context.Context) error {
	settings := fmt.Sprintf("%d rounds of %v after %v, %d entities touched once", b.rounds, b.measure, b.warmup, b.entities)
	return b.section(ctx, report.Entities, settings, func(ctx context.Context, s *section) error {
		if !gesta.Has(ctx, b.binary, "execute", "bench") {
			return fmt.Errorf("this version has no gesta bench execute")
		}
		for _, of := range []struct {
			what string
			work func(context.Context, *gesta.Server) error
		}{{"commands", s.commands}, {"cold loads", s.coldLoads}, {"entities touched once", s.touched}} {
			if err := s.try(ctx, of.what, func(ctx context.Context) error { return b.serving(ctx, of.work) }); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *section) execute(ctx context.Context, server *gesta.Server, args ...string) (e executed, err error) {
	err = s.ask(ctx, server.GRPC, &e, append([]string{"execute"}, args...)...)
	if err == nil && e.Failed > 0 {
		err = fmt.Errorf("%d commands failed, the first with: %s", e.Failed, e.First)
	}
	return e, err
}

func (s *section) commands(ctx context.Context, server *gesta.Server) error {
	// Three times as long: each entity must have been loaded for the first time before it is hot.
	took := []string{"--warmup", (3 * s.warmup).String(), "--duration", s.bench.measure.String()}
	for round := range s.rounds {
		e, err := s.execute(ctx, server, append(took, "--concurrency", "256", "--entities", "10000")...)
		if err != nil {
			return err
		}
		s.value(round+1, "attach", e.Commands)
		s.value(round+1, "attach p99", e.P99)
		s.value(round+1, "appends", e.Appends)
		if e, err = s.execute(ctx, server, append(took, "--concurrency", "64", "--entities", "1", "--no-appends")...); err != nil {
			return err
		}
		s.value(round+1, "one entity", e.Commands)
	}
	return nil
}

func (s *section) coldLoads(ctx context.Context, server *gesta.Server) error {
	e, err := s.execute(ctx, server, "--cold", "10000", "--duration", s.bench.measure.String())
	if err != nil {
		return err
	}
	s.value(1, "cold p50", e.P50)
	s.value(1, "cold p99", e.P99)
	return nil
}

// cacheBudget is the server's default for entities in memory, in MiB.
const cacheBudget = 256

func (s *section) touched(ctx context.Context, server *gesta.Server) error {
	if _, err := s.execute(ctx, server, "--once", "--entities", strconv.Itoa(s.entities)); err != nil {
		return err
	}
	s.value(1, "touched", float64(s.entities))
	s.value(1, "touched over", max(0, float64(process.Anon(server.Pid()))/mib-cacheBudget))
	return pause(ctx, time.Millisecond)
}
