package node

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
	grpcdoor "github.com/gesta-db/gesta/internal/door/grpc"
	"github.com/gesta-db/gesta/internal/entity"
	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/gateway"
	"github.com/gesta-db/gesta/internal/handler/remote"
)

// newIDs draws what the ids of commands begin with that come without one.
func newIDs() string { return strings.ToLower(rand.Text()[:13]) }

// attach joins what carries a handler's frames with who reads them.
func (n *Node) attach(who gateway.Caller, frames *grpcdoor.Frames) error {
	return remote.Serve(frames, func(ctx context.Context, hello *gestav1.Hello, h entity.Handler) (*entity.Attached, *gestav1.Welcome, error) {
		return n.gate.Attach(ctx, who, hello, h)
	})
}

// entityMetrics count what entities do.
type entityMetrics struct {
	executed map[errs.Code]prometheus.Counter
	ok       prometheus.Counter
	repeated prometheus.Counter
	seconds  prometheus.Histogram
	loads    prometheus.Histogram
	loaded   prometheus.Counter
	idle     prometheus.Counter
	budget   prometheus.Counter
	resets   prometheus.Counter
	faults   map[string]prometheus.Counter
	opened   prometheus.Counter
	open     prometheus.Gauge
	handlers prometheus.Gauge
}

func (m *metrics) entityMetrics() {
	e := &m.entity
	calls := m.counterVec("gesta_commands_total", "Commands and questions for states by how they ended: ok, or a code of the error table.", "code")
	e.ok, e.executed = calls.WithLabelValues("ok"), map[errs.Code]prometheus.Counter{}
	for _, row := range errs.Table() {
		e.executed[row.Code] = calls.WithLabelValues(string(row.Code))
	}
	e.repeated = m.counter("gesta_commands_repeated_total", "Commands that had been executed before, and got their first outcome again.")
	e.seconds = m.histogram("gesta_command_seconds", "Time from a command's arrival to its outcome, in seconds.", latencyBuckets)
	e.loads = m.histogram("gesta_entity_load_seconds", "Time to read an entity for a handler, in seconds.", latencyBuckets)
	e.loaded = m.counter("gesta_entity_load_events_total", "Events read for that, beside carried states.")
	forgotten := m.counterVec("gesta_entities_forgotten_total", "Entities that left the memory: idle for as long as their kind says, or over the budget.", "why")
	e.idle, e.budget = forgotten.WithLabelValues("idle"), forgotten.WithLabelValues("budget")
	e.resets = m.counter("gesta_entity_resets_total", "Times that an entity was decided again from what is stored: an append was lost, or others wrote.")
	faults := m.counterVec("gesta_handler_faults_total", "Faults of handlers by kind: result (it could not be taken), failure (it failed, or did not answer).", "what")
	e.faults = map[string]prometheus.Counter{"result": faults.WithLabelValues("result"), "failure": faults.WithLabelValues("failure")}
	e.opened = m.counter("gesta_handler_breakers_opened_total", "Times that a circuit breaker opened.")
	e.open = m.gauge("gesta_handler_breakers_open", "Circuit breakers that are open: commands fail at once.")
	e.handlers = m.gauge("gesta_handlers", "Handler processes attached.")
}

func (m *metrics) entityListener() *entity.Listener {
	e := &m.entity
	return &entity.Listener{
		Executed: func(_ string, took time.Duration, repeated bool, err error) {
			e.seconds.Observe(took.Seconds())
			if repeated {
				e.repeated.Inc()
			}
			if err != nil {
				e.executed[errs.RowOf(errs.CodeOf(err)).Code].Inc()
				return
			}
			e.ok.Inc()
		},
		Loaded: func(_ string, events int, took time.Duration) {
			e.loads.Observe(took.Seconds())
			e.loaded.Add(float64(events))
		},
		Forgotten: func(_, why string) {
			if why == "idle" {
				e.idle.Inc()
			} else {
				e.budget.Inc()
			}
		},
		Reset:   func(string) { e.resets.Inc() },
		Faulted: func(_, what string) { e.faults[what].Inc() },
		Breaker: func(_ string, open bool) {
			if !open {
				e.open.Dec()
				return
			}
			e.opened.Inc()
			e.open.Inc()
		},
		Attached: func(n int) { e.handlers.Set(float64(n)) },
	}
}
