package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/seglog"
	"github.com/gesta-db/gesta/internal/shard"
)

// rotSealed turns over a bit of a sealed segment, which is never written again: it must be found, never served, and replaced by another
// node's. One node of a run is bitten, so that what it loses is whole elsewhere.
func (w *world) rotSealed(n *node) error {
	if w.cfg.Nodes < 3 || w.cfg.Members || n.shard == nil || w.bitten != nil && w.bitten != n {
		return nil
	}
	var sealed []seglog.Segment
	for _, s := range n.shard.Segments() {
		if s.Sealed && w.elsewhere(n, s.First) {
			sealed = append(sealed, s)
		}
	}
	if len(sealed) == 0 {
		return nil
	}
	s := sealed[w.rng.IntN(len(sealed))]
	at := w.rng.Int64N(s.Bytes)
	w.trace("bite node %d: %s at %d", n.id, s.Name, at)
	w.bitten = n
	w.stats.Bitten++
	return n.disk.Flip(filepath.Join("data", s.Name), at)
}

func (w *world) elsewhere(n *node, first uint64) bool {
	for _, o := range w.nodes {
		if o != n && o.shard != nil {
			for _, s := range o.shard.Segments() {
				if s.First == first && s.Sealed {
					return true
				}
			}
		}
	}
	return false
}

// peers are the nodes that a node reaches, as its scrubber sees them.
type peers struct {
	w *world
	n *node
}

func (p peers) Digests(context.Context, uint32) (map[uint64][]shard.Piece, error) {
	all := map[uint64][]shard.Piece{}
	for _, o := range p.w.nodes {
		if o != p.n && o.shard != nil && p.w.reach(o, p.n) {
			all[o.id] = o.shard.Pieces()
		}
	}
	return all, nil
}

func (p peers) Source(_ uint32, id uint64) shard.Source { return &source{w: p.w, of: p.w.nodes[id-1]} }

// reach tells that two nodes can talk.
func (w *world) reach(a, b *node) bool {
	return !w.cut[[2]uint64{a.id, b.id}] && !w.cut[[2]uint64{b.id, a.id}]
}

func (w *world) scrubbing(n *node) shard.Scrubbing {
	return shard.Scrubbing{
		FS: n.faults, Dir: "data", Number: 1, Peers: peers{w, n}, Logger: slog.New(slog.DiscardHandler),
		Repaired: func(first uint64) {
			w.trace("node %d: segment %d was replaced", n.id, first)
			w.stats.Repaired++
		},
		Damaged: func(err error) {
			w.trace("node %d: %v", n.id, err)
			if w.calm {
				w.failed = errors.Join(w.failed, fmt.Errorf("node %d: damage remains: %w", n.id, err))
			}
		},
	}
}

// scrub lets a node look through its segments once. Any repair may be cut off by a crash.
func (w *world) scrub(n *node) error {
	if n.shard == nil {
		return nil
	}
	crash := !w.careful() && w.rng.IntN(10) == 0
	if crash {
		n.faults.FailNth(1 + w.rng.IntN(20))
	}
	shard.NewScrubber(w.scrubbing(n), n.shard).Round(context.Background())
	if crash {
		return w.cutPower(n)
	}
	return nil
}

// met takes an error of a node that may be damage: then its segments are looked at.
func (w *world) met(n *node, err error) error {
	if err == nil || errs.CodeOf(err) != errs.Corrupt {
		return err
	}
	if n != w.bitten {
		return fmt.Errorf("node %d found damage where there is none: %w", n.id, err)
	}
	w.stats.Met++
	return w.scrub(n)
}

// mend tries to make a folder open again. The node stays down when nobody who has its segments is there.
func (w *world) mend(n *node, cause error) (opens bool, err error) {
	if n != w.bitten || errs.CodeOf(cause) != errs.Corrupt {
		return false, cause
	}
	mended, err := shard.Mend(context.Background(), w.config(n), w.scrubbing(n), cause)
	w.trace("node %d: %d segments were mended: %v", n.id, mended, err)
	w.stats.Mended += mended
	if err == nil && mended == 0 {
		return false, fmt.Errorf("node %d does not open, and nothing can be mended: %w", n.id, cause)
	}
	return err == nil, nil
}
