package client

import "testing"

// TestVerdictKeepsDoubt ends calls of two attempts: what the first left open stays open, unless the server then judged the ids.
func TestVerdictKeepsDoubt(t *testing.T) {
	for _, c := range []struct{ first, second, want Code }{
		{CodeUnknownOutcome, CodeNoSpace, CodeUnknownOutcome},
		{CodeUnknownOutcome, CodeForbidden, CodeUnknownOutcome},
		{CodeUnknownOutcome, CodeUnsupported, CodeUnknownOutcome},
		{CodeUnknownOutcome, CodeBusy, CodeUnknownOutcome},
		{CodeUnknownOutcome, CodeConflict, CodeConflict},
		{CodeUnknownOutcome, CodeInvalid, CodeInvalid},
		{CodeBusy, CodeNoSpace, CodeNoSpace},
		{CodeNoLeader, CodeForbidden, CodeForbidden},
	} {
		var tried attempts
		tried.failed(&Error{Code: c.first, Message: "first"})
		last := &Error{Code: c.second, Message: "second"}
		tried.failed(last)
		if got := tried.verdict(last); got.Code != c.want {
			t.Errorf("%s, then %s: %s, want %s", c.first, c.second, got.Code, c.want)
		}
	}
}
