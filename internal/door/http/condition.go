package http

import (
	"net/http"
	"strconv"
	"strings"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// condition is what a request expects of a stream; the zero value is nothing.
type condition struct {
	given    bool
	header   bool // by If-Match or If-None-Match: then a conflict is 412
	exact    bool
	revision uint64
	state    gestav1.StreamState
}

func (x condition) append(dst []byte) []byte {
	if !x.given {
		return dst
	}
	dst, start := openMessage(dst, tagExpectation)
	if x.exact {
		dst = appendNumber(dst, tagRevision, x.revision)
	} else {
		dst = appendNumber(dst, tagState, uint64(x.state))
	}
	return closeMessage(dst, start)
}

// parseExpectation reads the field expectation: a revision, or a word.
func parseExpectation(v []byte) (x condition, ok bool) {
	x.given = true
	switch string(v) {
	case `"any"`:
		x.state = gestav1.StreamState_STREAM_STATE_ANY
	case `"none"`:
		x.state = gestav1.StreamState_STREAM_STATE_NONE
	case `"exists"`:
		x.state = gestav1.StreamState_STREAM_STATE_EXISTS
	default:
		revision, err := strconv.ParseUint(string(v), 10, 64)
		x.exact, x.revision = true, revision
		return x, err == nil
	}
	return x, true
}

// headerCondition reads If-Match: "N" (the stream is at revision N), If-Match: * (it has events) and If-None-Match: * (it has
// none).
func headerCondition(h http.Header) (x condition, err error) {
	match, matches := h["If-Match"]
	none, nones := h["If-None-Match"]
	switch {
	case !matches && !nones:
		return x, nil
	case matches && nones, len(match) > 1, len(none) > 1:
		return x, refuse("If-Match", "give one condition: If-Match or If-None-Match, once")
	case nones && strings.TrimSpace(none[0]) != "*":
		return x, refuse("If-None-Match", `If-None-Match is %.80q; it takes only *, for a stream that must have no events`, none[0])
	case nones:
		return condition{given: true, header: true, state: gestav1.StreamState_STREAM_STATE_NONE}, nil
	case strings.TrimSpace(match[0]) == "*":
		return condition{given: true, header: true, state: gestav1.StreamState_STREAM_STATE_EXISTS}, nil
	}
	revision, ok := parseETag(strings.TrimSpace(match[0]))
	if !ok {
		return x, refuse("If-Match", `If-Match is %.80q; give one revision in quotes, like "5", or * for a stream that must have events`, match[0])
	}
	return condition{given: true, header: true, exact: true, revision: revision}, nil
}

func parseETag(tag string) (revision uint64, ok bool) {
	if len(tag) < 3 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		return 0, false
	}
	revision, err := strconv.ParseUint(tag[1:len(tag)-1], 10, 64)
	return revision, err == nil
}

func etag(revision uint64) string { return `"` + strconv.FormatUint(revision, 10) + `"` }
