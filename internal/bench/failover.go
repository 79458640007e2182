package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gesta-db/gesta/client"
)

// Nodes are processes of one cluster that a failover run may kill and start, by their ids.
type Nodes interface {
	Kill(node string) error
	// Start returns when the node is ready.
	Start(ctx context.Context, node string) error
}

// FailoverConfig is a run of kills.
type FailoverConfig struct {
	Target
	Nodes Nodes
	Kills int // default 20
}

// FailoverResult is what came of it. Times are without a successful append, in seconds: from the last success before a kill to the first
// after it.
type FailoverResult struct {
	Kills        int       `json:"kills"`
	Gaps         []float64 `json:"gaps_seconds"`
	P50          float64   `json:"p50_seconds"`
	Worst        float64   `json:"worst_seconds"`
	Acknowledged uint64    `json:"acknowledged"`
	Failed       uint64    `json:"failed"`
	FirstError   string    `json:"first_error,omitempty"`
	Found        uint64    `json:"found"`
	Duplicates   uint64    `json:"duplicates"`
	Verified     bool      `json:"verified"`
}

const (
	failoverKey = "failover"
	// steady is how long appends go on before each kill.
	steady = 300 * time.Millisecond
	// failoverPatience is how long a cluster may be without a leader before the run gives up.
	failoverPatience = 30 * time.Second
)

// Failover kills the leader again and again under one appending caller.
func Failover(ctx context.Context, cfg FailoverConfig) (FailoverResult, error) {
	r := FailoverResult{Kills: cfg.Kills}
	if r.Kills == 0 {
		r.Kills = 20
	}
	c, err := cfg.open()
	if err != nil {
		return r, err
	}
	defer c.Close()
	w := newFailoverWriter(c)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go w.run(ctx)
	done := uint64(0)
	end := cfg.watch(Measuring, uint64(r.Kills), func() uint64 { return done })
	for range r.Kills {
		gap, err := oneKill(ctx, c, w, cfg.Nodes)
		if err != nil {
			end()
			return r, err
		}
		r.Gaps = append(r.Gaps, gap.Seconds())
		done++
	}
	end()
	stop()
	<-w.ended
	sorted := slices.Sorted(slices.Values(r.Gaps))
	r.P50, r.Worst = sorted[(len(sorted)-1)/2], sorted[len(sorted)-1]
	r.Acknowledged, r.Failed, r.FirstError = uint64(len(w.acked)), w.failed, w.first
	return r, w.verify(context.WithoutCancel(ctx), &r)
}

// oneKill kills the leader and gives the time without a successful append; then it brings the node back.
func oneKill(ctx context.Context, c *client.Client, w *failoverWriter, nodes Nodes) (time.Duration, error) {
	leader, err := wholeCluster(ctx, c)
	if err != nil {
		return 0, err
	}
	if err := wait(ctx, steady); err != nil {
		return 0, err
	}
	at := time.Now()
	if err := nodes.Kill(leader); err != nil {
		return 0, err
	}
	gap, err := w.gapAround(ctx, at)
	if err != nil {
		return 0, err
	}
	return gap, nodes.Start(ctx, leader)
}

// wholeCluster waits until all nodes are ready and gives who leads shard 1.
func wholeCluster(ctx context.Context, c *client.Client) (leader string, err error) {
	ctx, cancel := context.WithTimeout(ctx, failoverPatience)
	defer cancel()
	for {
		s, err := c.Cluster(ctx)
		if leader = leaderOf(s); err == nil && leader != "" {
			return leader, nil
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return "", invalid("the cluster has not all of its nodes ready within %v", failoverPatience)
		}
	}
}

// leaderOf is empty while a node is not ready. What the node that answers knows itself is of this moment; what the others told may be old.
func leaderOf(s client.ClusterStatus) (leader string) {
	for _, n := range s.Nodes {
		if n.State != "ready" || len(s.Nodes) < 3 {
			return ""
		}
		for _, r := range n.Replicas {
			if r.Shard == 1 && n.NodeID == s.NodeID {
				leader = r.Leader
			}
		}
	}
	return leader
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failoverWriter appends one event after another.
type failoverWriter struct {
	client *client.Client
	oks    chan time.Time // of every success; the newest are kept
	acked  map[string]bool
	open   map[string]bool
	failed uint64
	first  string
	ended  chan struct{}
}

func newFailoverWriter(c *client.Client) *failoverWriter {
	return &failoverWriter{client: c, oks: make(chan time.Time, 1<<16), acked: map[string]bool{}, open: map[string]bool{}, ended: make(chan struct{})}
}

func (w *failoverWriter) run(ctx context.Context) {
	defer close(w.ended)
	for ctx.Err() == nil {
		id := client.NewID()
		_, err := w.client.Append(context.WithoutCancel(ctx), client.Append{Topic: Topic, Key: failoverKey, Events: []client.Event{{ID: id, Type: "Bench"}}})
		if err == nil {
			w.acked[id] = true
			select {
			case w.oks <- time.Now():
			default: // nobody looks at the moment
			}
			continue
		}
		w.failed++
		if client.CodeOf(err) == client.CodeUnknownOutcome {
			w.open[id] = true
		}
		if w.first == "" {
			w.first = err.Error()
		}
	}
}

// gapAround gives the time between the last success that was told before a moment and the first after it. A success on its way when the
// leader died may be told just after; so the longest pause until appends are steady again counts.
func (w *failoverWriter) gapAround(ctx context.Context, at time.Time) (gap time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, failoverPatience)
	defer cancel()
	last := at
	for {
		select {
		case ok := <-w.oks:
			if ok.Before(at) {
				last = ok
				continue
			}
			gap = max(gap, ok.Sub(last))
			last = ok
			if ok.Sub(at) > steady && gap > 0 && ok.Sub(at) > gap+steady {
				return gap, nil
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("no append succeeded within %v after the kill: %w", failoverPatience, ctx.Err())
		}
	}
}

// verify looks for every acknowledged event.
func (w *failoverWriter) verify(ctx context.Context, r *FailoverResult) error {
	seen := map[string]int{}
	for e, err := range w.client.Read(ctx, client.StreamScope(Topic, failoverKey), client.ReadOptions{}).All() {
		if err != nil {
			return err
		}
		seen[client.Clone(e).ID]++
	}
	for id := range w.acked {
		if seen[id] > 0 {
			r.Found++
		}
	}
	for _, n := range seen {
		r.Duplicates += uint64(n - 1)
	}
	r.Verified = r.Found == r.Acknowledged && r.Duplicates == 0 && r.Acknowledged > 0
	return nil
}
