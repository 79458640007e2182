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
	name, value, err := oneCondition(h)
	switch {
	case err != nil || name == "":
		return x, err
	case name == ifNoneMatch && value != "*":
		return x, refuse(name, `If-None-Match is %.80q; it takes only *, for a stream that must have no events`, value)
	case name == ifNoneMatch:
		return condition{given: true, header: true, state: gestav1.StreamState_STREAM_STATE_NONE}, nil
	case value == "*":
		return condition{given: true, header: true, state: gestav1.StreamState_STREAM_STATE_EXISTS}, nil
	}
	revision, ok := parseETag(value)
	if !ok {
		return x, refuse(name, `If-Match is %.80q; give one revision in quotes, like "5", or * for a stream that must have events`, value)
	}
	return condition{given: true, header: true, exact: true, revision: revision}, nil
}

const (
	ifMatch     = "If-Match"
	ifNoneMatch = "If-None-Match"
)

// oneCondition gives the one of If-Match and If-None-Match that a request has, and its value. An empty name: it has neither.
func oneCondition(h http.Header) (name, value string, err error) {
	match, none := h[ifMatch], h[ifNoneMatch]
	switch {
	case len(match)+len(none) > 1:
		return "", "", refuse(ifMatch, "give one condition: If-Match or If-None-Match, once")
	case len(match) > 0:
		return ifMatch, strings.TrimSpace(match[0]), nil
	case len(none) > 0:
		return ifNoneMatch, strings.TrimSpace(none[0]), nil
	}
	return "", "", nil
}

func parseETag(tag string) (revision uint64, ok bool) {
	if len(tag) < 3 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		return 0, false
	}
	revision, err := strconv.ParseUint(tag[1:len(tag)-1], 10, 64)
	return revision, err == nil
}

func etag(revision uint64) string { return `"` + strconv.FormatUint(revision, 10) + `"` }
