package node

import (
	"sync/atomic"

	"github.com/gesta-db/gesta/internal/gateway"
)

// readiness answers for the gateway while there is none yet: the node is starting.
type readiness struct {
	gate atomic.Pointer[gateway.Gateway]
}

func newReadiness() *readiness { return &readiness{} }

func (r *readiness) from(g *gateway.Gateway) { r.gate.Store(g) }

// Ready tells whether the node serves, and check by check why not.
func (r *readiness) Ready() (bool, []gateway.Check) {
	if g := r.gate.Load(); g != nil {
		return g.Ready()
	}
	return false, []gateway.Check{{Name: "starting", Reason: "the node is opening its log; its own log tells how far it is"}}
}
