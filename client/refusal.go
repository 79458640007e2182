package client

import (
	"errors"
	"strings"
	"time"
)

// Bounds of what a decision says, so that an error of any length is told, cut, instead of refused.
const (
	mostMessage = 4 << 10
	leastRetry  = time.Millisecond
	mostRetry   = time.Minute
)

// appendRefusal writes what Decide returned as an error.
func appendRefusal(dst []byte, err error) []byte {
	var rejection *Rejection
	var retry *Retry
	switch {
	case errors.As(err, &rejection):
		return appendRejection(dst, rejection)
	case errors.As(err, &retry):
		return appendWait(dst, retry.After, retry.Message)
	}
	return appendFailure(dst, tagDecisionFailure, err)
}

func appendRejection(dst []byte, r *Rejection) []byte {
	dst, start := open(dst, tagRejection)
	dst = appendText(dst, tagFirstText, strings.ToValidUTF8(r.Code, "?"))
	dst = appendText(dst, tagSecondText, shortText(r.Message))
	for name, value := range r.Details {
		var entry int
		dst, entry = open(dst, tagThirdBytes)
		dst = appendText(dst, tagFirstText, strings.ToValidUTF8(name, "?"))
		dst = appendText(dst, tagSecondText, strings.ToValidUTF8(value, "?"))
		dst = shut(dst, entry)
	}
	return shut(dst, start)
}

// appendRetry writes a whole decision that asks for the command again.
func appendRetry(dst []byte, after time.Duration, message string) []byte {
	dst, start := open(dst, tagDecisions)
	return shut(appendWait(dst, after, message), start)
}

func appendWait(dst []byte, after time.Duration, message string) []byte {
	after = min(max(after, leastRetry), mostRetry)
	dst, start := open(dst, tagRetry)
	dst, wait := open(dst, tagFirstText)
	dst = appendNumber(dst, tagSeconds, uint64(after/time.Second))
	dst = appendNumber(dst, tagNanos, uint64(after%time.Second))
	dst = shut(dst, wait)
	dst = appendText(dst, tagSecondText, shortText(message))
	return shut(dst, start)
}

// shortText is valid UTF-8 of a bounded length.
func shortText(s string) string {
	if len(s) > mostMessage {
		s = s[:mostMessage]
	}
	return strings.ToValidUTF8(s, "?")
}
