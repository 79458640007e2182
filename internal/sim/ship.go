package sim

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/shard"
)

// errLost ends a transfer in the middle.
var errLost = errors.New("the connection is lost")

// ship lets a node that is far behind fetch what it was offered, and install it once all of it is there. Any part of it may fail: the
// connection breaks, bytes turn over on their way, the power is cut.
func (w *world) ship(n *node) error {
	if n.shard == nil || n.offer == nil {
		return nil
	}
	f := shard.Fetching{FS: n.faults, Dir: "data", Manifest: *n.offer}
	for _, o := range w.nodes {
		if o != n && o.shard != nil && w.reach(o, n) {
			f.Sources = append(f.Sources, &source{w: w, of: o})
		}
	}
	w.rng.Shuffle(len(f.Sources), func(i, j int) { f.Sources[i], f.Sources[j] = f.Sources[j], f.Sources[i] })
	crash := !w.careful() && w.rng.IntN(12) == 0
	if crash {
		n.faults.FailNth(1 + w.rng.IntN(60))
	}
	switch err := shard.Fetch(context.Background(), f); {
	case crash && err != nil:
		return w.cutPower(n)
	case crash:
		n.faults.Heal()
		return nil
	case err != nil:
		w.trace("node %d fetches: %v", n.id, err)
		w.stats.Broken++
		if c := errs.CodeOf(err); c != errs.Unavailable && c != errs.Corrupt && c != errs.NotFound && !errors.Is(err, errLost) {
			return fmt.Errorf("node %d: fetch: %w", n.id, err)
		}
		return nil
	}
	return w.install(n)
}

// install closes a node, installs what it has fetched, and opens it again.
func (w *world) install(n *node) error {
	m := *n.offer
	w.trace("node %d installs up to %d", n.id, m.Index)
	if err := n.shard.Close(); err != nil {
		return fmt.Errorf("node %d: close: %w", n.id, err)
	}
	crash := !w.careful() && w.rng.IntN(3) == 0
	if crash {
		n.faults.FailNth(1 + w.rng.IntN(30))
	}
	done, err := shard.Install(w.config(n), n.faults, "data", w.voters(), m)
	if err != nil && !crash && n == w.bitten && errs.CodeOf(err) == errs.Corrupt {
		return w.down(n) // the next start mends it
	}
	if err != nil && !crash {
		return fmt.Errorf("node %d: install: %w", n.id, err)
	}
	if done {
		w.stats.Installed++
	}
	if crash {
		return w.cutPower(n)
	}
	if err := w.down(n); err != nil {
		return err
	}
	if err := w.start(n); err != nil {
		return err
	}
	if leader := w.nodes[m.Sender-1]; leader.shard != nil && w.rng.IntN(2) == 0 {
		leader.shard.ReportSnapshot(n.id, true)
		return w.advance(leader)
	}
	return nil
}

// source is a node's disk as another fetches from it.
type source struct {
	w  *world
	of *node
}

func (s *source) Fetch(_ context.Context, name string, from int64, take func([]byte) error) error {
	f, err := shard.OpenSegment(s.of.disk, "data", 1, name)
	if err != nil {
		return err
	}
	defer f.Close()
	for at := from; ; {
		b := make([]byte, 1+s.w.rng.IntN(3000))
		n, err := f.ReadAt(b, at)
		luck := 100
		if !s.w.calm {
			luck = s.w.rng.IntN(100)
		}
		if luck < 2 {
			return errLost
		}
		if luck < 4 && n > 0 {
			b[s.w.rng.IntN(n)] ^= 1 << s.w.rng.IntN(8)
		}
		if n > 0 {
			if err := take(b[:n]); err != nil {
				return err
			}
		}
		if at += int64(n); errors.Is(err, io.EOF) {
			s.w.stats.Shipped++
			return nil
		}
		if err != nil {
			return err
		}
	}
}
