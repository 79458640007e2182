package entity

import (
	"time"

	"github.com/gesta-db/gesta/api/position"
	"github.com/gesta-db/gesta/internal/event"
)

// Call is a command on its way, or a question for a state. What it points to stays as it is until Done.
type Call struct {
	Kind, Key string
	// Command is what is asked; empty: the state alone.
	Command string
	Payload event.Payload
	// ID names the command for idempotency; empty: it gets one, and is not idempotent.
	ID string
	// Metadata are sorted by their names, no name twice.
	Metadata []event.Pair
	// Expected is the revision that the entity must have, when Expects.
	Expected uint64
	Expects  bool
	// ReturnState wants the state after the command.
	ReturnState bool
	// Received is when it came, Deadline when its caller stops waiting.
	Received, Deadline time.Time
	// Done is called once, from the dispatcher's goroutine, with what follows set. It must not block.
	Done func(*Call)
	// User belongs to whoever makes the call.
	User any

	Outcome Outcome
	Err     error
}

// Outcome is what came of a command.
type Outcome struct {
	Reply    *event.Payload
	Revision uint64
	Position position.Position
	State    *event.State // with ReturnState, or without Command
	Events   int
	Repeated bool
}

// Task is what a handler is asked to do; see gesta.v1.Task. Nobody changes it after it was sent.
type Task struct {
	ID        uint64
	Kind, Key string
	Session   uint64
	Revision  uint64
	Base      Base
	// Carried is the state to begin with, at CarriedAt; nil: none.
	Carried   *event.State
	CarriedAt uint64
	// Events are encodings of gesta.v1.RecordedEvent.
	Events [][]byte
	More   bool
	// Follows tells that the task began in an earlier frame.
	Follows   bool
	Commands  []*Command
	StateAt   uint64
	WantState bool
}

// Base is what a task builds on; the values are those of gesta.v1.TaskBase.
type Base uint8

// The bases.
const (
	Hot Base = iota + 1
	Warm
	Cold
)

// Command is what a handler is told of a call.
type Command struct {
	ID          string
	Name        string
	Payload     *event.Payload
	Metadata    []event.Pair
	ReturnState bool
	Received    int64
}

// Result is what a handler answers to a task; see gesta.v1.Result.
type Result struct {
	TaskID    uint64
	Decisions []Decision
	Kept      bool
	Revision  uint64
	State     *event.State
	Missing   bool
	// Failed tells that the task as a whole failed, for the reason in Failure.
	Failed  bool
	Failure string
}

// Verdict is what kind of decision one is.
type Verdict uint8

// The verdicts. The zero value is none of them: a decision without an outcome is a fault.
const (
	Accepted Verdict = iota + 1
	Rejected
	Later
	Failed
)

// Decision is what came of a command; see gesta.v1.Decision.
type Decision struct {
	Verdict Verdict
	// Events are encodings of gesta.v1.Event.
	Events  [][]byte
	Reply   *event.Payload
	State   *event.State
	Delete  bool
	Actions int
	// Code, Message and Details are those of a rejection; Message also of a retry or failure.
	Code, Message string
	Details       map[string]string
	After         time.Duration
}

// Frame is what a handler is sent at once.
type Frame struct {
	Evicts []Evict
	Tasks  []*Task
	Faults []Fault
	// Drain asks the handler to finish and go, and says why; empty: it does not.
	Drain string
}

// Empty tells that there is nothing to send.
func (f *Frame) Empty() bool {
	return len(f.Evicts) == 0 && len(f.Tasks) == 0 && len(f.Faults) == 0 && f.Drain == ""
}

// Evict tells a handler to forget a session.
type Evict struct {
	Kind, Key string
	Session   uint64
}

// Fault is what was wrong with a result.
type Fault struct {
	TaskID    uint64
	Kind, Key string
	Err       error
}
