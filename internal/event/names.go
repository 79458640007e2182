package event

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/limits"
)

// maxTopicBytes is the most a topic's name may ever have, whatever the settings.
const maxTopicBytes = 128

// problem is what is wrong with a value, without the name of the field it stands in; nil is no problem.
type problem struct {
	code  errs.Code
	text  string
	limit string // the limit's name, when one is passed
	max   int
}

func invalid(format string, args ...any) *problem {
	return &problem{code: errs.Invalid, text: fmt.Sprintf(format, args...)}
}

func over(limit string, got, most int, unit string) *problem {
	return &problem{code: errs.TooLarge, text: fmt.Sprintf("has %d %s; the limit %s is %d", got, unit, limit, most), limit: limit, max: most}
}

// in makes the error: it names the field, and the limit if one was passed.
func (p *problem) in(field string) error {
	e := errs.New(p.code, "%s %s", field, p.text).With("field", field)
	if p.limit != "" {
		e = e.With("limit", p.limit).With("max", strconv.Itoa(p.max))
	}
	return e
}

// CheckTopic tells whether name can be a topic's: a to z, 0 to 9, '.', '_' and '-', 1 to 128 bytes, and neither "." nor "..",
// which would vanish from URLs. The error is invalid or too_large.
func CheckTopic(name string) error {
	if p := topicProblem([]byte(name), maxTopicBytes); p != nil {
		return p.in("topic")
	}
	return nil
}

// CheckKey tells whether key can name a stream: any UTF-8 up to the limit key_bytes, also none. The error is invalid or
// too_large.
func CheckKey(key string, lim *limits.Limits) error {
	if p := textProblem([]byte(key), "key_bytes", lim.KeyBytes); p != nil {
		return p.in("key")
	}
	return nil
}

func topicProblem(name []byte, most int) *problem {
	switch most = min(most, maxTopicBytes); {
	case len(name) == 0:
		return invalid("is empty: name one, of a-z, 0-9, '.', '_' and '-'")
	case len(name) > most:
		return over("topic_bytes", len(name), most, "bytes")
	case string(name) == "." || string(name) == "..":
		return invalid("%q cannot be used in URLs: choose another name", name)
	}
	if i := notInTopic(name); i >= 0 {
		return invalid("%q has %q at byte %d: use only a-z, 0-9, '.', '_' and '-' ('/' is kept for namespaces)", name, firstRune(name[i:]), i)
	}
	return nil
}

// notInTopic gives the place of the first byte that a topic's name may not have, or -1.
func notInTopic(name []byte) int {
	for i, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return i
		}
	}
	return -1
}

func firstRune(b []byte) string {
	_, n := utf8.DecodeRune(b)
	return string(b[:n])
}

// textProblem checks a text that may be empty.
func textProblem(b []byte, limit string, most int) *problem {
	if len(b) > most {
		return over(limit, len(b), most, "bytes")
	}
	if !utf8.Valid(b) {
		return invalid("is not valid UTF-8")
	}
	return nil
}

// idProblem checks an event's or a command's id that is not empty.
func idProblem(id []byte, lim *limits.Limits) *problem {
	return textProblem(id, "id_bytes", lim.IDBytes)
}

func typeProblem(typ []byte, lim *limits.Limits) *problem {
	if len(typ) == 0 {
		return invalid("is empty: name what happened, for instance OrderPlaced")
	}
	return textProblem(typ, "type_bytes", lim.TypeBytes)
}

// Of these two the maxima are fixed: they end up in headers of other protocols, which bound them too.
const (
	maxContentTypeBytes = 256
	maxSourceBytes      = 1024
)

func contentTypeProblem(v []byte) *problem {
	if len(v) > maxContentTypeBytes {
		return over("content_type_bytes", len(v), maxContentTypeBytes, "bytes")
	}
	slash := bytes.IndexByte(v, '/')
	if slash <= 0 || slash == len(v)-1 || !printable(v, ' ') {
		return invalid("%.80q is not a media type, like application/json", v)
	}
	return nil
}

func sourceProblem(v []byte) *problem {
	if len(v) > maxSourceBytes {
		return over("source_bytes", len(v), maxSourceBytes, "bytes")
	}
	if !utf8.Valid(v) || hasSpace(v) {
		return invalid("%.80q is not a URI reference: it has spaces or control characters", v)
	}
	return nil
}

func hasSpace(v []byte) bool {
	for _, c := range v {
		if c <= ' ' || c == 0x7f {
			return true
		}
	}
	return false
}

// printable tells whether v has only ASCII from lowest to '~'.
func printable(v []byte, lowest byte) bool {
	for _, c := range v {
		if c < lowest || c > '~' {
			return false
		}
	}
	return true
}
