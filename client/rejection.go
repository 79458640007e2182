package client

import (
	"errors"
	"fmt"
	"maps"
	"time"
)

// Rejection is a handler's "no" to a command. Nothing is written; the caller gets it as an error with [CodeRejected].
type Rejection struct {
	Code    string            // for programs, for instance insufficient_funds
	Message string            // for people
	Details map[string]string // for programs
}

// Reject is the error with which Decide refuses a command.
func Reject(code, format string, values ...any) *Rejection {
	return &Rejection{Code: code, Message: fmt.Sprintf(format, values...)}
}

// With returns the rejection with one more detail.
func (r *Rejection) With(name, value string) *Rejection {
	c := *r
	c.Details = maps.Clone(r.Details)
	if c.Details == nil {
		c.Details = map[string]string{}
	}
	c.Details[name] = value
	return &c
}

// Error returns the code and the message.
func (r *Rejection) Error() string { return r.Code + ": " + r.Message }

// rejectionCode is the detail of an error that has the handler's code.
const rejectionCode = "rejection_code"

// RejectionOf gives the handler's "no" that a caller got as an error; nil when the error is none.
func RejectionOf(err error) *Rejection {
	var own *Rejection
	if errors.As(err, &own) {
		return own
	}
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeRejected {
		return nil
	}
	r := &Rejection{Code: e.Details[rejectionCode], Message: e.Message, Details: maps.Clone(e.Details)}
	delete(r.Details, rejectionCode)
	return r
}

// Retry is the error with which Decide asks for the command again, later.
type Retry struct {
	After   time.Duration // from 1 ms to 1 min
	Message string        // why, for people
}

// RetryAfter is the error with which Decide asks for the command again, later. The command waits at most as long as its caller
// does.
func RetryAfter(d time.Duration, format string, values ...any) *Retry {
	return &Retry{After: d, Message: fmt.Sprintf(format, values...)}
}

// Error returns the message.
func (r *Retry) Error() string { return fmt.Sprintf("try again in %v: %s", r.After, r.Message) }
