package shard

import (
	"fmt"
	"github.com/gesta-db/gesta/internal/index"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/event"
	"github.com/gesta-db/gesta/internal/replica"
)

// Status is a shard as this replica sees it.
type Status struct {
	replica.Status
	History          uint64
	own              uint64 // the history that the log began with
	LastOffset       uint64
	Serving          bool
	Segments         int
	UnsealedSegments int
	LogBytes         int64
	IndexBytes       int64
	Queued           int64
	segment          uint64 // the one being applied
	window           event.Settings
	Stopped          error
	Refusal          *errs.Error
	// Members are the group's replicas as its leader saw them last; nil elsewhere.
	Members []replica.Member
	Conf    replica.Conf
}

// publish shows the core's state to other goroutines.
func (s *Shard) publish() {
	s.status.Store(&Status{Status: s.core.rep.Status(), History: s.core.cfg.Lineage.history(s.core.settings.History), own: s.core.settings.History, LastOffset: s.core.lastOffset, Serving: s.core.serving, segment: s.core.segment, window: s.core.settings, Members: s.members, Conf: s.core.rep.Conf()})
}

// Status tells how the shard is.
func (s *Shard) Status() Status {
	st := *s.status.Load()
	if s.enter() == nil {
		for _, seg := range s.disk.Log.Segments() {
			st.Segments++
			if !seg.Sealed {
				st.UnsealedSegments++
			}
		}
		st.LogBytes, st.IndexBytes = s.disk.Log.Bytes(), s.ix.Bytes()
		s.leave()
	}
	st.Queued = s.queued.Load()
	s.mu.Lock()
	st.Stopped = s.stopped
	s.mu.Unlock()
	st.Refusal = s.refusal.Load()
	return st
}

// Index tells what the index holds, and how often its caches had what was looked for; nothing once the shard is closed.
func (s *Shard) Index() index.Metrics {
	if s.enter() != nil {
		return index.Metrics{}
	}
	defer s.leave()
	return s.ix.Metrics()
}

// Ready tells whether the shard answers, and if not why, one sentence each.
func (s *Shard) Ready() (bool, []string) {
	st := s.Status()
	var why []string
	if st.Stopped != nil {
		why = append(why, fmt.Sprintf("shard %d stopped: %v", s.o.Number, st.Stopped))
	} else if !st.Serving && (st.Leader == 0 || st.Role == replica.Leader) {
		why = append(why, fmt.Sprintf("shard %d has no leader yet", s.o.Number))
	}
	if st.Refusal != nil {
		why = append(why, st.Refusal.Message)
	}
	return len(why) == 0, why
}
