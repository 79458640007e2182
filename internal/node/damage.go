package node

import (
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gesta-db/gesta/internal/errs"
)

// mostDamage bounds how many damaged places are remembered; a disk with more is told so by these.
const mostDamage = 1000

// damageLog tells people of damage that calls meet: each place once, however many readers come by.
type damageLog struct {
	log   *slog.Logger
	count prometheus.Counter

	mu   sync.Mutex
	seen map[string]bool
}

func (d *damageLog) found(err error) {
	e := errs.As(err)
	if !d.first(e.Details["file"] + ":" + e.Details["offset"]) {
		return
	}
	d.count.Inc()
	d.log.Error("damage was found in the log; nothing damaged is served, what is whole goes on: see all of it with gesta check, and restore the file from a copy",
		"file", e.Details["file"], "offset", e.Details["offset"], "error", err)
}

func (d *damageLog) first(place string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen[place] || len(d.seen) == mostDamage {
		return false
	}
	if d.seen == nil {
		d.seen = map[string]bool{}
	}
	d.seen[place] = true
	return true
}
