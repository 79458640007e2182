package http

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/gesta-db/gesta/internal/errs"
)

// The door reads JSON in place: a body is checked once as a whole, then its parts are found without being decoded, so that
// data keeps the bytes its producer wrote, and nothing is allocated for what goes straight to the log.

// checkJSON tells whether body is one JSON value in UTF-8, and gives it without the white space around it.
func checkJSON(body []byte) ([]byte, error) {
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return nil, refuse("body", "the body is empty; it must be JSON")
	case !utf8.Valid(body):
		return nil, refuse("body", "the body is not valid UTF-8")
	case !json.Valid(body):
		var any json.RawMessage
		return nil, errs.New(errs.Invalid, "the body is not JSON: %w", json.Unmarshal(body, &any)).With("field", "body")
	}
	return body, nil
}

func isString(v []byte) bool { return v[0] == '"' }

func isNull(v []byte) bool { return v[0] == 'n' }

// unquote gives a string's text: in place when it has no escapes.
func unquote(v []byte) []byte {
	if inside := v[1 : len(v)-1]; bytes.IndexByte(inside, '\\') < 0 {
		return inside
	}
	var text string
	_ = json.Unmarshal(v, &text) // it is valid
	return []byte(text)
}

// unquoteName is unquote for a member's name, which comes without quotes.
func unquoteName(name []byte) []byte {
	if bytes.IndexByte(name, '\\') < 0 {
		return name
	}
	return unquote(append(append([]byte{'"'}, name...), '"'))
}

const hexDigits = "0123456789abcdef"

// appendQuoted writes a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			if r, size = utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscaped(dst, r)
		i += size
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

func appendEscaped(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	case utf8.RuneError:
		return utf8.AppendRune(dst, r)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
}
