package main

import (
	"context"
	"os"
	"time"

	"github.com/gesta-db/gesta/bench/peers/internal/gesta"
	"github.com/gesta-db/gesta/bench/peers/internal/process"
	"github.com/gesta-db/gesta/bench/peers/internal/report"
)

// meter says whose use is watched.
type meter struct {
	servers []int                                       // process ids
	client  int                                         // process id; 0: this process drives the load
	writes  func(context.Context) (gesta.Writes, error) // of the server's log; nil: unknown
}

// reading is what had been used at a moment.
type reading struct {
	at             time.Time
	server, client time.Duration
	writes         gesta.Writes
}

func (m meter) read(ctx context.Context) reading {
	client := m.client
	if client == 0 {
		client = os.Getpid()
	}
	began := time.Now()
	r := reading{client: process.Own(client)}
	for _, pid := range m.servers {
		r.server += process.CPU(pid)
	}
	r.at = began.Add(time.Since(began) / 2)
	if m.writes != nil {
		r.writes, _ = m.writes(ctx) // not worth losing a measurement for; the column stays empty
	}
	return r
}

// watch reads twice within the measured time, and tells what was used between.
func (b *bench) watch(ctx context.Context, warmup time.Duration, m meter) <-chan report.Use {
	use := make(chan report.Use, 1)
	go func() {
		defer close(use)
		margin := b.measure / 8
		if pause(ctx, warmup+margin) != nil {
			return
		}
		from := m.read(ctx)
		if pause(ctx, b.measure-2*margin) != nil {
			return
		}
		use <- between(from, m.read(ctx))
	}()
	return use
}

func between(from, to reading) report.Use {
	took := to.at.Sub(from.at).Seconds()
	u := report.Use{
		ServerCores: (to.server - from.server).Seconds() / took,
		ClientCores: (to.client - from.client).Seconds() / took,
	}
	if n := to.writes.Count - from.writes.Count; n > 0 {
		u.Writes, u.WriteMs = n/took, (to.writes.Seconds-from.writes.Seconds)/n*1000
	}
	return u
}
