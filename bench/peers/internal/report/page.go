package report

import (
	"fmt"
	"strings"
)

// The page is partly written by hand: only what stands between these lines is replaced.
const (
	pageBegin = "<!-- figures: written by make bench; edit outside of this block -->"
	pageEnd   = "<!-- end of figures -->"
)

// Page puts the figures into the page, of which everything outside of the block stays.
func (f *Figures) Page(old string) string {
	block := pageBegin + "\n" + f.block() + pageEnd
	before, rest, ok := strings.Cut(old, pageBegin)
	if !ok {
		return strings.TrimRight(old, "\n") + "\n\n" + block + "\n"
	}
	_, after, _ := strings.Cut(rest, pageEnd)
	return before + block + after
}

func (f *Figures) block() string {
	var b strings.Builder
	b.WriteString("\n")
	for _, part := range []func(*strings.Builder){f.single, f.sections} {
		part(&b)
	}
	return b.String()
}

// single is what one node, and the others beside it, came to.
func (f *Figures) single(b *strings.Builder) {
	if len(f.Systems) == 0 {
		return
	}
	for _, part := range []func(*strings.Builder){f.conditions, f.barTable, f.sideBySide, f.use, f.disks, f.skipped} {
		part(b)
	}
}

func (f *Figures) conditions(b *strings.Builder) {
	m, s := f.Machine, f.Settings
	fmt.Fprintf(b, "## Figures of %s\n\n", f.Began.UTC().Format("2 January 2006"))
	fmt.Fprintf(b, "| | |\n|---|---|\n")
	fmt.Fprintf(b, "| machine | %s; %d cores, shared by client and server; %.0f GiB; %s; Linux %s |\n", m.CPU, m.Cores, float64(m.Memory)/(1<<30), m.FileSystem, m.Kernel)
	var versions []string
	for _, v := range f.Versions {
		versions = append(versions, v.Name+" "+v.Version)
	}
	fmt.Fprintf(b, "| versions | %s |\n", strings.Join(versions, "; "))
	fmt.Fprintf(b, "| runs | rounds: %d, in each of which everything is measured once, %v s after %v s of warm-up; %.1f minutes in all |\n", s.Rounds, s.Measure, s.Warmup, f.Seconds/60)
	fmt.Fprintf(b, "| again | `%s` |\n\n", s.Command)
	if s.Quick {
		b.WriteString("**A smoke run: it shows that everything works; its figures mean nothing.**\n\n")
	}
	if m.LoadBefore > 1 {
		fmt.Fprintf(b, "**The machine was not quiet: its load average was %.1f at the start.**\n\n", m.LoadBefore)
	}
}

func (f *Figures) barTable(b *strings.Builder) {
	b.WriteString("### Bars\n\nMedian of the rounds, with minimum and maximum. A ratio is formed within each round; its median decides.\n\n")
	b.WriteString("| work | figure | min … max | bar | ratio | |\n|---|--:|--:|---|--:|---|\n")
	for _, bar := range f.Bars() {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", bar.Work, bar.figure(), span(bar.Figure), bar.Wants, bar.ratio(), bar.verdict())
	}
	b.WriteString("\n")
	f.afterWork(b)
	f.verified(b)
}

func (b Bar) figure() string {
	if b.Figure.N == 0 {
		return "–"
	}
	return number(b.Figure.Median) + " " + b.Unit
}

func (b Bar) ratio() string {
	if b.Than == "" || b.Ratio.N == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f (%.2f … %.2f)", b.Ratio.Median, b.Ratio.Min, b.Ratio.Max)
}

func (b Bar) verdict() string {
	switch {
	case !b.Known:
		return "not measured"
	case b.Met:
		return "met"
	}
	return "**missed**"
}

func (f *Figures) afterWork(b *strings.Builder) {
	var after []float64
	for _, m := range f.Memory {
		after = append(after, float64(m.After)/mib)
	}
	if s := stat(after); s.Median > 0 {
		fmt.Fprintf(b, "After appending with 1 and 64 callers the server holds %s MiB resident.\n", number(s.Median))
	}
}

// verified says what was counted again, and where it was not what had been acknowledged.
func (f *Figures) verified(b *strings.Builder) {
	acknowledged, bad := uint64(0), 0
	for _, s := range f.Samples {
		if s.System == Gesta {
			acknowledged += s.Acknowledged
		}
		if !s.Verified {
			bad++
			fmt.Fprintf(b, "**%s, %s, round %d: acknowledged %d, kept %d.**\n", s.System, s.Work, s.Round, s.Acknowledged, s.Kept)
		}
	}
	if bad == 0 {
		fmt.Fprintf(b, "Every acknowledged event, %s of Gesta's and all of the others', was counted again in the log afterwards; none was missing.\n", grouped(float64(acknowledged)))
	}
	b.WriteString("\n")
}

func (f *Figures) sideBySide(b *strings.Builder) {
	b.WriteString("### Side by side\n\nAcknowledged appends a second of one event of 256 bytes, each caller waiting for its acknowledgement.\n\n")
	b.WriteString("![appends a second, side by side](benchmarks.svg)\n\n")
	b.WriteString("| system | before the ack | 64 callers | min … max | p99 | 256 callers | min … max | p99 |\n|---|---|--:|--:|--:|--:|--:|--:|\n")
	for _, s := range f.Systems {
		fmt.Fprintf(b, "| %s | %s |", s.Title, s.Durability)
		for _, work := range []string{Append64, Append256} {
			r := statOf(f.rates(s.Name, work))
			if r.N == 0 {
				b.WriteString(" – | – | – |")
				continue
			}
			fmt.Fprintf(b, " %s | %s | %s ms |", number(r.Median), span(r), number(statOf(f.per(s.Name, work, p99)).Median))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

func (f *Figures) use(b *strings.Builder) {
	b.WriteString("### What it takes\n\nProcessor time and writes of the log in the measured time, medians. A log write is one batch: written and synced before anything in it is acknowledged.\n\n")
	b.WriteString("| system | work | per second | server, cores | client, cores | server CPU per event | log writes/s | events per write | mean write |\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, row := range f.works() {
		of := func(figure func(Sample) float64) float64 { return statOf(f.per(row.System, row.Work, figure)).Median }
		r, server := of(rate), of(func(s Sample) float64 { return s.Use.ServerCores })
		writes := of(func(s Sample) float64 { return s.Use.Writes })
		fmt.Fprintf(b, "| %s | %s | %s | %.2f | %.2f |", f.title(row.System), row.Work, number(r), server, of(func(s Sample) float64 { return s.Use.ClientCores }))
		fmt.Fprintf(b, " %s |", unless(r == 0, func() string { return fmt.Sprintf("%.2f µs", server/r*1e6) }))
		fmt.Fprintf(b, " %s | %s | %s |\n", unless(writes == 0, func() string { return number(writes) }), unless(writes == 0, func() string { return number(r / writes) }),
			unless(writes == 0, func() string { return fmt.Sprintf("%.3f ms", of(func(s Sample) float64 { return s.Use.WriteMs })) }))
	}
	b.WriteString("\n")
}

func unless(absent bool, text func() string) string {
	if absent {
		return ""
	}
	return text()
}

func (f *Figures) title(system string) string {
	for _, s := range f.Systems {
		if s.Name == system {
			return s.Title
		}
	}
	return system
}

// works are what was measured, each once, in the order in which it came.
func (f *Figures) works() []Sample {
	var all []Sample
	seen := map[string]bool{}
	for _, system := range f.Systems {
		for _, s := range f.Samples {
			if name := s.System + " " + s.Work; s.System == system.Name && !seen[name] {
				seen[name] = true
				all = append(all, s)
			}
		}
	}
	return all
}

func (f *Figures) disks(b *strings.Builder) {
	b.WriteString("### The disk\n\nProbed between the measurements by `gesta bench disk`: fdatasync after overwriting 4 KiB in a zero-filled file; zero-fill plus write of files of 64 MiB.\n\n")
	b.WriteString("| | median | min … max | probes |\n|---|--:|--:|--:|\n")
	var syncs, fills []float64
	for _, d := range f.Disk {
		syncs, fills = append(syncs, d.Syncs), append(fills, d.Fill)
	}
	for _, row := range []struct {
		name string
		Stat
	}{{"fdatasync/s", stat(syncs)}, {"zero-fill plus write, MiB/s", stat(fills)}} {
		fmt.Fprintf(b, "| %s | %s | %s | %d |\n", row.name, number(row.Median), span(row.Stat), row.N)
	}
	b.WriteString("\n")
}

func (f *Figures) skipped(b *strings.Builder) {
	if len(f.Skipped) == 0 {
		return
	}
	b.WriteString("### Not measured, or failed\n\n")
	for _, s := range f.Skipped {
		fmt.Fprintf(b, "- %s\n", s)
	}
	b.WriteString("\n")
}

func span(s Stat) string {
	if s.N < 2 {
		return ""
	}
	return number(s.Min) + " … " + number(s.Max)
}

// number prints three digits or more, large ones grouped.
func number(v float64) string {
	switch {
	case v >= 100:
		return grouped(v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func grouped(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}
