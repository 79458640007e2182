package client

import (
	"context"
	"errors"
	"maps"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Code says what kind of failure an error is. The values are those of the server's error table.
type Code string

// The codes, and what to do about them.
const (
	CodeInvalid         Code = "invalid"         // malformed or out of range; the detail field names what
	CodeUnauthenticated Code = "unauthenticated" // no or wrong credentials
	CodeForbidden       Code = "forbidden"       // not allowed to these credentials
	CodeNotFound        Code = "not_found"       // never was
	CodeGone            Code = "gone"            // was deleted
	CodeExists          Code = "exists"          // is there already
	CodeConflict        Code = "conflict"        // the expectation does not hold: read again, decide again; carries actual_revision
	CodeRejected        Code = "rejected"        // the handler said no
	CodeTooLarge        Code = "too_large"       // over a limit, which it names
	CodeBusy            Code = "busy"            // a queue or quota is full; nothing was written; retried
	CodeNoSpace         Code = "no_space"        // the server's disk is below its floor; nothing was written
	CodeTrimmed         Code = "trimmed"         // the position is no longer kept; names the first that is
	CodeNoLeader        Code = "no_leader"       // nothing was written; retried
	CodeUnavailable     Code = "unavailable"     // nothing was written; retried
	CodeUnknownOutcome  Code = "unknown_outcome" // may have been written; send again with the same ids
	CodeCorrupt         Code = "corrupt"         // damaged data; names file and offset
	CodeUnsupported     Code = "unsupported"     // the server does not know this version or feature
	CodeInternal        Code = "internal"        // a defect of the server or the client
)

// Error is every error that this package returns, except io.EOF at the end of a read.
type Error struct {
	Code    Code
	Message string            // a sentence for people
	Details map[string]string // for machines: field, limit, actual_revision, …

	cause error // for errors.Is: the context's error, or the transport's
	final bool  // not retried although the code is retryable
}

// Error returns the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns the context's or the transport's error, if one is the cause.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of the first *Error in err's chain; "" for nil, and [CodeInternal] when there is none.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// retryable tells whether the table allows sending again what failed so.
func (e *Error) retryable() bool {
	if e.final {
		return false
	}
	switch e.Code {
	case CodeBusy, CodeNoLeader, CodeUnavailable, CodeUnknownOutcome:
		return true
	}
	return false
}

// judged tells whether the server looked at the call's ids and conditions to answer so. What it refuses before that, for want of
// space or of a permission, says nothing about an earlier attempt.
func (e *Error) judged() bool {
	switch e.Code {
	case CodeInvalid, CodeConflict, CodeRejected, CodeNotFound, CodeExists, CodeGone:
		return true
	}
	return false
}

// with returns a copy with one more detail.
func (e *Error) with(key, value string) *Error {
	c := *e
	c.Details = maps.Clone(e.Details)
	if c.Details == nil {
		c.Details = map[string]string{}
	}
	c.Details[key] = value
	return &c
}

// errorOf makes an *Error of what gRPC returned for a call that writes nothing. The bool tells whether the server itself
// named the code; otherwise it is derived from the transport's.
func errorOf(addr string, err error) (*Error, bool) {
	st, ok := status.FromError(err)
	if !ok {
		return &Error{Code: CodeInternal, Message: err.Error(), cause: err}, false
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == "gesta" {
			return &Error{Code: Code(info.GetReason()), Message: st.Message(), Details: info.GetMetadata()}, true
		}
	}
	return &Error{Code: codeOfStatus(st.Code()), Message: hint(addr, st), cause: causeOf(st.Code(), err)}, false
}

// writeErrorOf is errorOf for a call that may have written: a transport's failure leaves the outcome open, unless the status is
// one that is given before any handler runs.
func writeErrorOf(addr string, err error) *Error {
	e, named := errorOf(addr, err)
	if named {
		return e
	}
	switch e.Code {
	case CodeUnsupported, CodeUnauthenticated, CodeForbidden, CodeTooLarge:
		return e
	}
	e.Code = CodeUnknownOutcome
	e.Message = "the connection ended before the answer, what was sent may have been written: " + e.Message
	return e
}

func codeOfStatus(c codes.Code) Code {
	switch c {
	case codes.InvalidArgument:
		return CodeInvalid
	case codes.NotFound:
		return CodeNotFound
	case codes.Unauthenticated:
		return CodeUnauthenticated
	case codes.PermissionDenied:
		return CodeForbidden
	case codes.ResourceExhausted: // without a reason it is gRPC's own: a message over the server's maximum
		return CodeTooLarge
	case codes.Unimplemented:
		return CodeUnsupported
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return CodeUnavailable
	}
	return CodeInternal
}

func causeOf(c codes.Code, err error) error {
	switch c {
	case codes.Canceled:
		return context.Canceled
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	}
	return err
}
