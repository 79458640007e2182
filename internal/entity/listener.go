package entity

import "time"

// Listener hears what entities do, for metrics. Every field may be nil; none may block.
type Listener struct {
	// Executed tells of each command and question for a state that came to an end.
	Executed func(kind string, took time.Duration, repeated bool, err error)
	// Loaded tells that an entity was loaded: how many events it took, and how long.
	Loaded func(kind string, events int, took time.Duration)
	// Forgotten tells that an entity left the memory, because it was idle or over the budget.
	Forgotten func(kind, why string)
	// Reset tells that an entity had to begin again from what is stored.
	Reset func(kind string)
	// Faulted tells of a handler's fault: result (it could not be taken) or failure (it said so, or did not answer).
	Faulted func(kind, what string)
	// Breaker tells that a circuit breaker opened or closed.
	Breaker func(kind string, open bool)
	// Attached tells how many handlers there are.
	Attached func(n int)
}
