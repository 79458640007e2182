package http

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gesta-db/gesta/api/cloudevents"
	"github.com/gesta-db/gesta/api/eventwire"
	"github.com/gesta-db/gesta/internal/errs"
)

// envelope is how one event is written.
type envelope struct {
	cloud bool // as a CloudEvent instead of the door's own JSON
	lines bool // on one line
}

// append writes an event as it was read; view is set to its parts.
func (x envelope) append(dst, recorded []byte, view *eventwire.Recorded) ([]byte, error) {
	if err := eventwire.AliasRecorded(recorded, view); err != nil {
		return dst, errs.New(errs.Corrupt, "a recorded event cannot be read: %w", err)
	}
	if !x.cloud {
		return x.own(dst, view), nil
	}
	grown, err := cloudevents.AppendJSON(dst, view)
	if err != nil {
		return dst, fmt.Errorf("an event cannot be written as a CloudEvent: %w", err)
	}
	return grown, nil
}

// own writes the door's own JSON. What an event does not have is left out.
func (x envelope) own(dst []byte, r *eventwire.Recorded) []byte {
	dst = strconv.AppendUint(append(dst, `{"offset":`...), r.Offset, 10)
	dst = strconv.AppendUint(append(dst, `,"revision":`...), r.Revision, 10)
	dst = appendQuoted(append(dst, `,"topic":`...), r.Topic)
	dst = appendQuoted(append(dst, `,"key":`...), r.Key)
	dst = appendQuoted(append(dst, `,"id":`...), r.ID)
	dst = appendQuoted(append(dst, `,"type":`...), r.Type)
	if r.SchemaVersion > 0 {
		dst = strconv.AppendUint(append(dst, `,"schema_version":`...), uint64(r.SchemaVersion), 10)
	}
	dst = appendTime(append(dst, `,"recorded_time":`...), r.RecordedTime)
	if !r.Time.IsZero() {
		dst = appendTime(append(dst, `,"time":`...), r.Time)
	}
	if r.Source != "" {
		dst = appendQuoted(append(dst, `,"source":`...), r.Source)
	}
	dst = appendMetadata(dst, r.Metadata)
	dst = appendTags(dst, r.Tags)
	if r.ContentType != "" {
		dst = appendQuoted(append(dst, `,"content_type":`...), r.ContentType)
	}
	return append(x.data(dst, &r.Event), '}')
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}

func appendMetadata(dst []byte, metadata map[string]string) []byte {
	if len(metadata) == 0 {
		return dst
	}
	dst = append(dst, `,"metadata":{`...)
	for i, name := range slices.Sorted(maps.Keys(metadata)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(append(appendQuoted(dst, name), ':'), metadata[name])
	}
	return append(dst, '}')
}

func appendTags(dst []byte, tags []string) []byte {
	if len(tags) == 0 {
		return dst
	}
	dst = append(dst, `,"tags":[`...)
	for i, tag := range tags {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, tag)
	}
	return append(dst, ']')
}

// data chooses the form that gives the very same bytes when it is posted again: JSON as it is, text of another content type as
// a string, the rest in base64. On lines that is also JSON with line breaks in it.
func (x envelope) data(dst []byte, e *eventwire.Event) []byte {
	switch {
	case len(e.Data) == 0:
		return dst
	case isJSONType(e.ContentType) && x.embeds(e.Data):
		return append(append(dst, `,"data":`...), e.Data...)
	case !isJSONType(e.ContentType) && isText(e.Data):
		return appendQuoted(append(dst, `,"data":`...), string(e.Data))
	}
	dst = base64.StdEncoding.AppendEncode(append(dst, `,"data_base64":"`...), e.Data)
	return append(dst, '"')
}

// embeds tells whether data can stand as it is: JSON without white space at its ends, which would not be told from what is around.
func (x envelope) embeds(data []byte) bool {
	return !(x.lines && bytes.ContainsAny(data, "\r\n")) && len(bytes.TrimSpace(data)) == len(data) && utf8.Valid(data) && json.Valid(data)
}

// isText tells whether data reads well as a string.
func isText(data []byte) bool {
	return utf8.Valid(data) && !bytes.ContainsFunc(data, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t'
	})
}
