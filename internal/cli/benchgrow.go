package cli

import (
	"fmt"
	"slices"
	"time"

	"github.com/gesta-db/gesta/internal/bench"
)

type benchGrowCmd struct {
	remote `embed:""`
	output `embed:""`

	Events      uint64        `placeholder:"N" help:"Commits of one event (default 20,000,000)."`
	Streams     int           `placeholder:"N" help:"Streams they go to; another run goes to the same ones (default 2,000,000)."`
	Concurrency int           `placeholder:"N" help:"Callers, each waiting for its acknowledgement (default 256)."`
	Size        int           `placeholder:"BYTES" help:"Payload of an event (default 256)."`
	AtMost      time.Duration `placeholder:"TIME" help:"End before all are there when it takes longer."`
}

type benchFilterCmd struct {
	remote `embed:""`
	output `embed:""`

	Events int `placeholder:"N" help:"Events in all (default 1,000,000); they are written first when they are not there."`
	Topics int `placeholder:"N" help:"Topics that they are dealt to in turn; one in so many has the type and the tag that are looked for (default 1,000)."`
	Size   int `placeholder:"BYTES" help:"Payload of an event (default 256)."`
	Rounds int `placeholder:"N" help:"How often each is read (default 5)."`
}

func (c *benchGrowCmd) Run(a *app) error {
	if err := notNegative("streams", c.Streams, "concurrency", c.Concurrency, "size", c.Size); err != nil {
		return err
	}
	return a.bench(c.remote, c.output, func(t bench.Target) (any, bool, []string, error) {
		r, err := bench.Grow(a.ctx, bench.GrowConfig{Target: t, Events: c.Events, Streams: c.Streams, Concurrency: c.Concurrency, Size: c.Size, AtMost: c.AtMost})
		return r, r.Verified, append([]string{"events/s", perSecond(r.EventsPerSecond),
			"from the 100,000th", perSecond(r.First) + fmt.Sprintf(" over %.1f s", r.Window),
			"at the end", perSecond(r.Last) + fmt.Sprintf(" over %.1f s", r.Window)},
			append(latencies("commits", r.Latency),
				"events", thousands(r.Events)+" in "+fmt.Sprintf("%.1f s", r.Seconds),
				"verified", fmt.Sprintf("%s: %s acknowledged, the topic got %s, %s failed", yesNo(r.Verified), thousands(r.Events), thousands(r.Topic), thousands(r.Failed)))...), err
	})
}

func (c *benchFilterCmd) Run(a *app) error {
	if err := notNegative("events", c.Events, "topics", c.Topics, "size", c.Size, "rounds", c.Rounds); err != nil {
		return err
	}
	return a.bench(c.remote, c.output, func(t bench.Target) (any, bool, []string, error) {
		r, err := bench.Filter(a.ctx, bench.FilterConfig{Target: t, Events: c.Events, Topics: c.Topics, Size: c.Size, Rounds: c.Rounds})
		return r, r.Verified, []string{
			"everything", partRead(r.All), "one type", partRead(r.Type) + times(r.ByType, "as fast"), "one tag", partRead(r.Tag) + times(r.ByTag, "as fast"),
			"one topic", partRead(r.Topic) + times(r.PerByte, "the cost of a byte"),
			"verified", yesNo(r.Verified) + ": every read found what was written"}, err
	})
}

func partRead(p bench.PartRead) string {
	return fmt.Sprintf("%s in %.2f ms", count(uint64(p.Events), "event"), middle(p.Seconds)*1000)
}

func times(ratios []float64, what string) string {
	return fmt.Sprintf(", %.2f × %s", middle(ratios), what)
}

// middle is the median; 0 of nothing.
func middle(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(v))[len(v)/2]
}
