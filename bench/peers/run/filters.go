package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/gesta-db/gesta/bench/peers/internal/gesta"
	"github.com/gesta-db/gesta/bench/peers/internal/report"
)

func (b *bench) filters(ctx context.Context) error {
	settings := fmt.Sprintf("%d events in 1,000 topics, %d rounds", b.filterEvents, filterRounds)
	return b.section(ctx, report.Filters, settings, func(ctx context.Context, s *section) error {
		if err := s.try(ctx, "filters", s.filterReads); err != nil {
			return err
		}
		return s.try(ctx, "followers", s.followers)
	})
}

const filterRounds = 5

func (s *section) filterReads(ctx context.Context) error {
	return s.serving(ctx, func(ctx context.Context, server *gesta.Server) error {
		type read struct {
			Seconds []float64
		}
		var f struct {
			All, Type, Tag, Topic read
			ByType                []float64 `json:"all_over_type"`
			ByTag                 []float64 `json:"all_over_tag"`
			PerByte               []float64 `json:"topic_per_byte"`
		}
		if err := s.ask(ctx, server.GRPC, &f, "filter", "--events", strconv.Itoa(s.filterEvents), "--rounds", strconv.Itoa(filterRounds)); err != nil {
			return err
		}
		for i := range f.ByType {
			s.value(i+1, "all", f.All.Seconds[i]*1000)
			s.value(i+1, "type", f.Type.Seconds[i]*1000)
			s.value(i+1, "type faster", f.ByType[i])
			s.value(i+1, "tag", f.Tag.Seconds[i]*1000)
			s.value(i+1, "tag faster", f.ByTag[i])
			s.value(i+1, "topic", f.Topic.Seconds[i]*1000)
			s.value(i+1, "topic cost", f.PerByte[i])
		}
		return nil
	})
}

// followers measures what many of them cost while nothing happens.
func (s *section) followers(ctx context.Context) error {
	return s.serving(ctx, func(ctx context.Context, server *gesta.Server) error {
		var f struct {
			Memory  float64 `json:"memory_mib"`
			CPU     float64 `json:"cpu_percent"`
			Deliver float64 `json:"deliver_ms"`
		}
		err := s.ask(ctx, server.GRPC, &f, "sse", "--http", server.HTTP, "--readers", "1000", "--duration", (2 * s.bench.measure).String())
		if err != nil {
			return errors.Join(err, gone(server))
		}
		s.value(1, "sse memory", f.Memory)
		s.value(1, "sse cpu", f.CPU)
		s.value(1, "sse deliver", f.Deliver)
		return nil
	})
}
