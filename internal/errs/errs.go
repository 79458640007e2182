// Package errs holds the one table of error codes, and the error that carries a code from where it arises to the door.
//
// It promises that every code has a row (gRPC status, HTTP status, exit code, retry advice, meaning and remedy) and that a
// code put on an error survives wrapping with %w. It knows no protocol: the doors map from the table, they add nothing.
package errs

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

// Code says what went wrong, in the words every door and client uses.
type Code string

// The codes; Table explains each.
const (
	Invalid         Code = "invalid"
	Unauthenticated Code = "unauthenticated"
	Forbidden       Code = "forbidden"
	NotFound        Code = "not_found"
	Gone            Code = "gone"
	Exists          Code = "exists"
	Conflict        Code = "conflict"
	Rejected        Code = "rejected"
	TooLarge        Code = "too_large"
	Busy            Code = "busy"
	NoSpace         Code = "no_space"
	Trimmed         Code = "trimmed"
	NoLeader        Code = "no_leader"
	Unavailable     Code = "unavailable"
	UnknownOutcome  Code = "unknown_outcome"
	Corrupt         Code = "corrupt"
	Unsupported     Code = "unsupported"
	Internal        Code = "internal"
)

// Error is a failure with its code, a sentence for people, and details for programs (such as "field", "limit", "actual",
// "file" or "offset").
type Error struct {
	Code    Code
	Message string
	Details map[string]string
	Err     error // what it was made from with %w, if anything
}

// New makes an error of code c. The format knows %w: what it wraps is kept and found by errors.Is and errors.As.
func New(c Code, format string, args ...any) *Error {
	formatted := fmt.Errorf(format, args...)
	return &Error{Code: c, Message: formatted.Error(), Err: wrapped(formatted)}
}

// wrapped keeps what was given to %w, and drops the shell that held the text.
func wrapped(err error) error {
	if one := errors.Unwrap(err); one != nil {
		return one
	}
	if _, several := err.(interface{ Unwrap() []error }); several {
		return err
	}
	return nil
}

// Error is the message alone; the code travels beside it.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause given to New with %w, or nil.
func (e *Error) Unwrap() error { return e.Err }

// With returns a copy of e that has the detail added; e itself stays as it was.
func (e *Error) With(key, value string) *Error {
	with := *e
	with.Details = make(map[string]string, len(e.Details)+1)
	maps.Copy(with.Details, e.Details)
	with.Details[key] = value
	return &with
}

// CodeOf gives the code of the first *Error in err's chain. A context that ended is Unavailable, since only the one who
// waited knows whether something may have been written; every other error is Internal. A nil error has the code "".
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return As(err).Code
}

// As gives the first *Error in err's chain, with err's whole text as its message so that what wrapped it is not lost; or one
// made from err, as CodeOf says. A nil error gives nil.
func As(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.retold(err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &Error{Code: Unavailable, Message: err.Error(), Err: err}
	}
	return &Error{Code: Internal, Message: err.Error(), Err: err}
}

// retold is e with the text of the error that wraps it.
func (e *Error) retold(outer error) *Error {
	if outer == error(e) {
		return e
	}
	told := *e
	told.Message, told.Err = outer.Error(), outer
	return &told
}
