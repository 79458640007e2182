package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/gesta-db/gesta/client"
)

type topicsCountsCmd struct {
	remote  `embed:""`
	output  `embed:""`
	Topic   string `arg:"" help:"The topic's name."`
	From    string `placeholder:"TIME" help:"Where to begin: 2026-01-01 (UTC), 2026-01-01T12:00:00Z, -7d, -2h, or start, when the topic was created. By default 24 hours before --to."`
	To      string `placeholder:"TIME" help:"Where to end: likewise, or end, which is now. By default at the end of the present hour."`
	Buckets uint32 `placeholder:"N" default:"24" help:"Into how many parts the time is divided, at most 10,000 (default 24)."`
}

// Help is the long form of gesta topics counts --help.
func (topicsCountsCmd) Help() string {
	return `Examples:

    gesta topics counts orders
    gesta topics counts orders --from -7d --buckets 7
    gesta topics counts orders --from 2026-01-01 --to 2026-02-01 --buckets 31 -o json`
}

// bucket is what -o json prints.
type bucket struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Events uint64    `json:"events"`
}

func (c *topicsCountsCmd) Run(a *app) error {
	server, err := a.connect(c.remote)
	if err != nil {
		return err
	}
	defer server.Close()
	counts, err := server.Counts(a.ctx, c.Topic, client.CountsOptions{From: c.From, To: c.To, Buckets: c.Buckets})
	if err != nil {
		return a.topicHint(server, c.Topic, err)
	}
	if c.json() {
		return a.printBuckets(counts)
	}
	return a.chart(c.output, counts)
}

func (a *app) printBuckets(c client.Counts) error {
	for i, n := range c.Counts {
		from := c.From.Add(time.Duration(i) * c.Width)
		if err := a.printJSON(bucket{from, from.Add(c.Width), n}); err != nil {
			return err
		}
	}
	return nil
}

// barCells is how long the longest bar is: with the time and the count before it, a line fits on a narrow terminal.
const barCells = 40

// chart prints a line for each part of the time, as long as its events are many.
func (a *app) chart(o output, c client.Counts) error {
	t := newTable(a.Out, o.width(a.World), column{title: "from"}, column{title: "events", right: true}, column{min: 8})
	layout := time.RFC3339
	if c.Width%time.Second != 0 {
		layout = time.RFC3339Nano
	}
	var total, most uint64
	if len(c.Counts) > 0 {
		most = slices.Max(c.Counts)
	}
	for i, n := range c.Counts {
		total += n
		if err := t.row(c.From.Add(time.Duration(i)*c.Width).Format(layout), thousands(n), chartBar(n, most)); err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	a.note("%s up to %s", count(total, "event"), c.To.Format(layout))
	return nil
}

// chartBar draws n as a part of most, to an eighth of a cell; what is not nothing is seen.
func chartBar(n, most uint64) string {
	if n == 0 {
		return ""
	}
	eighths := max(1, int(float64(n)/float64(most)*barCells*8))
	parts := []string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}
	return strings.Repeat("█", eighths/8) + parts[eighths%8]
}
