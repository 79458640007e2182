package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gesta-db/gesta/bench/peers/internal/gesta"
	"github.com/gesta-db/gesta/bench/peers/internal/peer"
	"github.com/gesta-db/gesta/bench/peers/internal/report"
)

// bench is an execution under way.
type bench struct {
	config
	figures report.Figures
	data    string // the folder for data, removed at the end
	round   int
	kinds   []peer.Kind
	version string
	failed  error // of Gesta; what was measured besides is written all the same
}

// parts are what can be measured by itself, in the order in which it is.
func parts() []part {
	return []part{
		{single, (*bench).single}, {report.Cluster, (*bench).cluster}, {report.Entities, (*bench).entity},
		{report.Filters, (*bench).filters}, {report.Growth, (*bench).growth},
	}
}

// single is the part that fills the first tables: one node, and the others beside it.
const single = "single"

type part struct {
	name string
	run  func(*bench, context.Context) error
}

func names() []string {
	var all []string
	for _, p := range parts() {
		all = append(all, p.name)
	}
	return all
}

func execute(ctx context.Context, c config) error {
	b := &bench{config: c}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	defer os.RemoveAll(b.data)
	for _, p := range parts() {
		if c.only != "" && !slices.Contains(strings.Split(c.only, ","), p.name) {
			continue
		}
		err := p.run(b, ctx)
		if err = errors.Join(err, b.write()); ctx.Err() != nil {
			return err
		}
		b.failed = errors.Join(b.failed, err)
	}
	return b.failed
}

func (b *bench) prepare(ctx context.Context) (err error) {
	if b.data, err = os.MkdirTemp(b.dir, "data-"); err != nil {
		return err
	}
	if err := os.Chmod(b.data, 0o755); err != nil { // PostgreSQL runs as another user
		return err
	}
	raw, err := os.ReadFile(filepath.Join(b.out, "benchmarks.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	old, err := report.Read(raw)
	if err != nil {
		return fmt.Errorf("%s: %w; it keeps the figures of the parts that are not measured, remove it to begin anew", filepath.Join(b.out, "benchmarks.json"), err)
	}
	b.figures = *old
	b.version, err = gesta.Version(ctx, b.binary)
	return err
}

// single measures a node alone, in rounds.
func (b *bench) single(ctx context.Context) error {
	old := b.figures
	b.figures = report.Figures{Sections: old.Sections}
	if b.peers {
		b.kinds = peer.Kinds()
		b.installPostgres(ctx)
	}
	if err := b.describe(ctx); err != nil {
		b.figures = old
		return err
	}
	began := time.Now()
	err := b.allRounds(ctx)
	b.figures.Seconds = time.Since(began).Seconds()
	if len(b.figures.Samples) == 0 {
		b.figures = old
	} else if err != nil {
		b.figures.Skipped = append(b.figures.Skipped, fmt.Sprintf("ended in round %d: %v", min(b.round, b.rounds), err))
	}
	return err
}

func (b *bench) allRounds(ctx context.Context) error {
	for b.round = 1; b.round <= b.rounds; b.round++ {
		if err := b.once(ctx); err != nil {
			return err
		}
	}
	return b.step(ctx, "stream loads", b.loads)
}

// once is a round: the works of the same kind side by side, with probes of the disk between them.
func (b *bench) once(ctx context.Context) error {
	for _, s := range []struct {
		name string
		work func(context.Context) error
	}{
		{"disk", b.probeDisk}, {"appends of 1 and 64 callers, and by HTTP", b.fewCallers}, {"peers", b.beside(64, report.Append64)},
		{"disk", b.probeDisk}, {"appends of 256 callers and more", b.manyCallers}, {"peers", b.beside(256, report.Append256)},
		{"disk", b.probeDisk}, {"batches and the whole shard", b.bulk}, {"disk", b.probeDisk},
	} {
		if err := b.step(ctx, s.name, s.work); err != nil {
			return err
		}
	}
	return nil
}

// step does one thing. What fails is noted on the page and fails the execution at its end; only being stopped ends it at once.
func (b *bench) step(ctx context.Context, name string, work func(context.Context) error) error {
	err := work(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		err = fmt.Errorf("round %d: %w", min(b.round, b.rounds), err)
		b.failed = errors.Join(b.failed, fmt.Errorf("%s: %w", name, err))
		b.skip(name, err)
	}
	return nil
}

func (b *bench) probeDisk(ctx context.Context) error {
	raw, err := gesta.Disk(ctx, b.binary, b.data, b.probe)
	if err != nil {
		return err
	}
	d := report.Disk{Round: b.round, Raw: raw}
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	b.figures.Disk = append(b.figures.Disk, d)
	b.say("disk", "probe", fmt.Sprintf("%.0f fdatasync/s, %.0f MiB/s", d.Syncs, d.Fill))
	return nil
}

func (b *bench) add(s report.Sample) {
	s.Round = b.round
	b.figures.Samples = append(b.figures.Samples, s)
	text := fmt.Sprintf("%.0f/s, p50 %.2f ms, p99 %.2f ms", s.Rate, s.P50, s.P99)
	if !s.Verified {
		text += fmt.Sprintf("; NOT VERIFIED: acknowledged %d, kept %d", s.Acknowledged, s.Kept)
	}
	b.say(s.System, s.Work, text)
}

func (b *bench) say(system, work, text string) {
	fmt.Fprintf(os.Stderr, "round %d/%d  %-17s %-18s %s\n", min(b.round, b.rounds), b.rounds, system, work, text)
}

// skip notes once that something cannot be measured here.
func (b *bench) skip(what string, err error) {
	note := what + ": " + err.Error()
	for _, known := range b.figures.Skipped {
		if known == note {
			return
		}
	}
	b.figures.Skipped = append(b.figures.Skipped, note)
	b.say(what, "skipped", err.Error())
}

// fresh is an empty folder for one server; done removes it.
func (b *bench) fresh() (dir string, done func(), err error) {
	if dir, err = os.MkdirTemp(b.data, "server-"); err != nil {
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir) }, os.Chmod(dir, 0o755)
}

func (b *bench) write() error {
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	name := filepath.Join(b.out, "benchmarks")
	old, err := os.ReadFile(name + ".md")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if old == nil {
		old = []byte("# Benchmarks\n")
	}
	raw, err := b.figures.Encode()
	if err != nil {
		return err
	}
	for suffix, text := range map[string]string{".md": b.figures.Page(string(old)), ".json": string(raw), ".svg": b.figures.Chart()} {
		if err := os.WriteFile(name+suffix, []byte(text), 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr, "written:", name+".md, .json, .svg")
	return nil
}
