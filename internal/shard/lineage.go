package shard

import (
	"sync/atomic"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/replica"
	"github.com/gesta-db/gesta/internal/vfs"
)

// Fork is where a forced recovery left an older history: what it had up to Offset is in the log, what came after is not.
type Fork struct{ History, Offset uint64 }

// Lineage names the history that a shard's positions are of, after its log was forked by a forced recovery or a restore; before, it is
// the one that the log began with. The cluster's meta group keeps it. A nil Lineage is that of a log that was never forked.
type Lineage struct {
	now atomic.Pointer[lineage]
}

type lineage struct {
	history uint64
	forks   []Fork
}

// Set says which history it is now, and which came before, the oldest first.
func (l *Lineage) Set(history uint64, forks []Fork) { l.now.Store(&lineage{history, forks}) }

// history is the newest; own is what the log itself says.
func (l *Lineage) history(own uint64) uint64 {
	if l == nil {
		return own
	}
	if n := l.now.Load(); n != nil && n.history != 0 && own != 0 {
		return n.history
	}
	return own
}

// holds tells whether a position is of this log: of its history, or of an earlier one and not beyond where that ended.
func (l *Lineage) holds(own uint64, p position.Position) bool {
	if p.History == l.history(own) {
		return true
	}
	if l == nil || l.now.Load() == nil {
		return false
	}
	for _, f := range l.now.Load().forks {
		if f.History == p.History {
			return p.Offset <= f.Offset
		}
	}
	return false
}

// Recover makes the replica in a folder that nobody has open the only one of its shard: see replica.Alone.
func Recover(cfg Config, fsys vfs.FS, dir string) error {
	if err := finishInstall(cfg, fsys, dir); err != nil {
		return err
	}
	return replica.Alone(logOptions(cfg, fsys, dir, nil), cfg.Replica)
}
