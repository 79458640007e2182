package cli

import (
	"fmt"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/inspect"
	"github.com/gesta-db/gesta/internal/node"
	"github.com/gesta-db/gesta/internal/vfs"
)

type checkCmd struct {
	output `embed:""`

	Dir string `arg:"" help:"The data folder of a server that is stopped, or a copy."`
}

// Help is the long form of gesta check --help.
func (checkCmd) Help() string {
	return `Reads every byte and changes nothing. Names the file and the offset of all damage; the exit code is then 1. A last batch that a power
cut may have torn is told, but is no damage: the next start cuts it.`
}

func (c *checkCmd) Run(a *app) error {
	unknown := node.CheckIdentity(vfs.OS(), c.Dir)
	if errs.CodeOf(unknown) == errs.Unsupported {
		return unknown // what a newer version wrote is not damage
	}
	p := startProgress(a.World, "checking", "MiB")
	read := map[uint32]int64{}
	var total int64
	report, err := inspect.Check(inspect.Options{FS: vfs.OS(), Dir: c.Dir, Progress: func(shard uint32, bytes int64) {
		total += bytes - read[shard]
		read[shard] = bytes
		p.set(total>>20, -1)
	}})
	elapsed := p.finish()
	if err != nil {
		return err
	}
	if unknown != nil {
		e := errs.As(unknown)
		report.Findings = append(report.Findings, inspect.Finding{File: e.Details["file"], Message: e.Message})
	}
	if err := c.print(a, &report); err != nil {
		return err
	}
	if report.Sound() {
		a.note("%s is sound; %s", c.Dir, secondsText(elapsed))
		return nil
	}
	return errs.New(errs.Corrupt, "%s is damaged in %s", c.Dir, count(uint64(damages(&report)), "place"))
}

func damages(r *inspect.Report) int {
	n := 0
	for _, f := range r.Findings {
		if !f.Doubtful {
			n++
		}
	}
	return n
}

func (c *checkCmd) print(a *app, r *inspect.Report) error {
	if c.json() {
		return a.printJSON(r)
	}
	t := newTable(a.Out, c.width(a.World), column{title: "shard", right: true}, column{title: "segments", right: true}, column{title: "sealed", right: true},
		column{title: "events", right: true}, column{title: "streams", right: true}, column{title: "offsets", right: true}, column{title: "indexed", right: true}, column{title: "bytes", right: true})
	for _, s := range r.Shards {
		offsets := fmt.Sprintf("%d to %d", s.FirstOffset, s.LastOffset)
		if err := t.row(number(uint64(s.Number)), number(uint64(s.Segments)), number(uint64(s.Sealed)), thousands(s.Events),
			thousands(uint64(s.Streams)), offsets, thousands(s.Indexed), bytesText(uint64(s.Bytes))); err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, f := range r.Findings {
		if _, err := fmt.Fprintln(a.Out, findingText(f)); err != nil {
			return err
		}
	}
	return nil
}

func findingText(f inspect.Finding) string {
	kind := "damage"
	if f.Doubtful {
		kind = "doubtful last batch"
	}
	return visible(fmt.Sprintf("%s: %s at %d: %s", kind, f.File, f.Offset, f.Message))
}
