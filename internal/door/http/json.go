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

// objectWalk goes through the members of an object that is known to be valid JSON.
type objectWalk struct {
	doc []byte
	at  int
}

// walkObject begins at an object; ok is false when v is something else.
func walkObject(v []byte) (w objectWalk, ok bool) {
	if len(v) == 0 || v[0] != '{' {
		return w, false
	}
	return objectWalk{doc: v, at: skipSpace(v, 1)}, true
}

// next gives a member's name, without its quotes but with its escapes, and its value.
func (w *objectWalk) next() (name, value []byte, ok bool) {
	if w.doc[w.at] == '}' {
		return nil, nil, false
	}
	end := endOfValue(w.doc, w.at)
	name = w.doc[w.at+1 : end-1]
	from := skipSpace(w.doc, skipSpace(w.doc, end)+1) // behind the colon
	end = endOfValue(w.doc, from)
	value = w.doc[from:end]
	if w.at = skipSpace(w.doc, end); w.doc[w.at] == ',' {
		w.at = skipSpace(w.doc, w.at+1)
	}
	return name, value, true
}

// listWalk goes through the elements of a list that is known to be valid JSON.
type listWalk struct {
	doc []byte
	at  int
}

// walkList begins at a list; ok is false when v is something else.
func walkList(v []byte) (w listWalk, ok bool) {
	if len(v) == 0 || v[0] != '[' {
		return w, false
	}
	return listWalk{doc: v, at: skipSpace(v, 1)}, true
}

func (w *listWalk) next() (value []byte, ok bool) {
	if w.doc[w.at] == ']' {
		return nil, false
	}
	end := endOfValue(w.doc, w.at)
	value = w.doc[w.at:end]
	if w.at = skipSpace(w.doc, end); w.doc[w.at] == ',' {
		w.at = skipSpace(w.doc, w.at+1)
	}
	return value, true
}

func skipSpace(doc []byte, i int) int {
	for doc[i] == ' ' || doc[i] == '\t' || doc[i] == '\n' || doc[i] == '\r' {
		i++
	}
	return i
}

// endOfValue gives the end of the value at i, which stands in an object or list.
func endOfValue(doc []byte, i int) int {
	depth := 0
	for ; ; i++ {
		switch doc[i] {
		case '"':
			i = closingQuote(doc, i)
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				return i + 1 + depth // a number is ended by the bracket around it, which is not its own
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
}

func closingQuote(doc []byte, i int) int {
	for i++; doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i
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
