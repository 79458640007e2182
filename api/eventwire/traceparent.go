package eventwire

import "strings"

// Traceparent is the name of the metadata that says in which trace an event was caused: a W3C traceparent.
const Traceparent = "traceparent"

// TraceparentSize is the length of a traceparent: version-trace-span-flags, as in
// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.
const TraceparentSize = 55

// CheckTraceparent gives a caller's traceparent as it is kept with an event, or "" when it is none: the standard says to go on
// as if it were not there. Of a version after 00 the fields of 00 are kept, in that version.
func CheckTraceparent(s string) string {
	s = strings.TrimSpace(s)
	if len(s) < TraceparentSize || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return ""
	}
	version, trace, span, flags := s[:2], s[3:35], s[36:52], s[53:55]
	if !lowerHex(version) || !lowerHex(trace) || !lowerHex(span) || !lowerHex(flags) || zeros(trace) || zeros(span) || version == "ff" {
		return ""
	}
	if len(s) == TraceparentSize && version == "00" {
		return s
	}
	if version == "00" || len(s) > TraceparentSize && s[TraceparentSize] != '-' {
		return ""
	}
	return "00" + s[2:TraceparentSize]
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func zeros(s string) bool { return strings.Trim(s, "0") == "" }
