package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gesta-db/gesta/api/eventwire"
)

// MarshalJSON gives the event as one line of JSON, without a line break at its end. It fails only for a time outside of the
// years 0 to 9999, which no log has.
func MarshalJSON(r *eventwire.Recorded) ([]byte, error) {
	return AppendJSON(make([]byte, 0, 512+len(r.Data)*4/3), r)
}

// AppendJSON is MarshalJSON that appends to dst.
func AppendJSON(dst []byte, r *eventwire.Recorded) ([]byte, error) {
	dst = append(dst, `{"specversion":"1.0"`...)
	dst = appendText(dst, attrID, r.ID)
	if r.Source == "" {
		dst = appendText(dst, attrSource, unstated)
	} else {
		dst = appendText(dst, attrSource, r.Source)
	}
	dst = appendText(dst, attrType, r.Type)
	if r.Key != "" {
		dst = appendText(dst, attrSubject, r.Key)
	}
	dst, err := appendTime(dst, attrTime, r.Time)
	if err != nil {
		return nil, err
	}
	if r.ContentType != "" {
		dst = appendText(dst, attrContentType, r.ContentType)
	}
	dst = appendMetadata(dst, r.Metadata)
	dst = appendOwn(dst, &r.Event)
	if dst, err = appendPlace(dst, r); err != nil {
		return nil, err
	}
	return append(appendData(dst, &r.Event), '}'), nil
}

// appendOwn writes what CloudEvents has no attribute for.
func appendOwn(dst []byte, e *eventwire.Event) []byte {
	dst = appendNumber(dst, attrSchemaVersion, uint64(e.SchemaVersion))
	if len(e.Tags) == 0 {
		return dst
	}
	list := []byte{'['}
	for i, tag := range e.Tags {
		if i > 0 {
			list = append(list, ',')
		}
		list = appendQuoted(list, tag)
	}
	return appendText(dst, attrTags, string(append(list, ']')))
}

// appendPlace writes where the log keeps the event.
func appendPlace(dst []byte, r *eventwire.Recorded) ([]byte, error) {
	if r.Offset == 0 {
		return dst, nil // it was not read from a log
	}
	dst = appendText(dst, attrTopic, r.Topic)
	dst = appendNumber(dst, attrRevision, r.Revision)
	dst = appendNumber(dst, attrOffset, r.Offset)
	return appendTime(dst, attrRecorded, r.RecordedTime)
}

func appendMetadata(dst []byte, metadata map[string]string) []byte {
	var others []byte
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		if attr, ok := attribute(name); ok {
			dst = appendText(dst, attr, metadata[name])
			continue
		}
		others = appendQuoted(append(others, ','), name)
		others = appendQuoted(append(others, ':'), metadata[name])
	}
	if others == nil {
		return dst
	}
	others[0] = '{'
	return appendText(dst, attrMetadata, string(append(others, '}')))
}

// appendData chooses the form of which ParseJSON makes the very same bytes again.
func appendData(dst []byte, e *eventwire.Event) []byte {
	switch {
	case len(e.Data) == 0:
		return dst
	case isJSON(e.ContentType) && embeds(e.Data):
		return append(appendName(dst, attrData), e.Data...)
	case !isJSON(e.ContentType) && isText(e.Data):
		return appendText(dst, attrData, string(e.Data))
	}
	dst = append(appendName(dst, attrDataBase64), '"')
	dst = base64.StdEncoding.AppendEncode(dst, e.Data)
	return append(dst, '"')
}

// embeds tells whether data can stand in the line as it is: JSON without line breaks, and without spaces at its ends, which
// would not be told from the line's own.
func embeds(data []byte) bool {
	return !bytes.ContainsAny(data, "\r\n") && len(bytes.Trim(data, " \t")) == len(data) && utf8.Valid(data) && json.Valid(data)
}

// isText tells whether data reads well as a string: UTF-8 without control characters other than those of text.
func isText(data []byte) bool {
	return utf8.Valid(data) && !bytes.ContainsFunc(data, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t'
	})
}

func appendName(dst []byte, attr string) []byte {
	return append(appendQuoted(append(dst, ','), attr), ':')
}

func appendText(dst []byte, attr, value string) []byte {
	return appendQuoted(appendName(dst, attr), value)
}

func appendNumber(dst []byte, attr string, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return strconv.AppendUint(appendName(dst, attr), v, 10)
}

func appendTime(dst []byte, attr string, t time.Time) ([]byte, error) {
	if t.IsZero() {
		return dst, nil
	}
	text, err := t.UTC().MarshalText() // RFC 3339, or an error when the year has not four digits
	if err != nil {
		return nil, err
	}
	return appendText(dst, attr, string(text)), nil
}

// appendQuoted writes a JSON string, escaping only what JSON asks for. Bytes that are not UTF-8 become U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r < ' ':
			dst = append(dst, `\u00`...)
			dst = append(dst, "0123456789abcdef"[r>>4], "0123456789abcdef"[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// mediaType is a content type without its parameters, in lower case.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}
