package client

import (
	"fmt"
	"strconv"
)

// Expect is a condition on a stream that must hold for an append to be written. It is judged linearizably by the server; when it
// does not hold the append fails with [CodeConflict] and the detail actual_revision. The zero value accepts anything.
type Expect struct {
	rule     rule
	revision uint64
}

type rule uint8

const (
	ruleAny rule = iota
	ruleNone
	ruleExists
	ruleRevision
)

// Any accepts whatever the stream holds; it is the zero value of Expect.
func Any() Expect { return Expect{} }

// None expects a stream without events.
func None() Expect { return Expect{rule: ruleNone} }

// Exists expects a stream with at least one event.
func Exists() Expect { return Expect{rule: ruleExists} }

// Revision expects the stream's newest revision to be n; 0 means that it has no events.
func Revision(n uint64) Expect { return Expect{rule: ruleRevision, revision: n} }

// ParseExpect reads any, none, exists or a revision, as String writes it. The error has the code [CodeInvalid].
func ParseExpect(s string) (Expect, error) {
	switch s {
	case "", "any":
		return Any(), nil
	case "none":
		return None(), nil
	case "exists":
		return Exists(), nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return Expect{}, &Error{Code: CodeInvalid, Message: fmt.Sprintf("the expectation %q is none of any, none, exists or a revision", s)}
	}
	return Revision(n), nil
}

// String returns any, none, exists or the revision.
func (e Expect) String() string {
	switch e.rule {
	case ruleNone:
		return "none"
	case ruleExists:
		return "exists"
	case ruleRevision:
		return strconv.FormatUint(e.revision, 10)
	}
	return "any"
}
