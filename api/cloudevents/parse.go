package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gesta-db/gesta/api/eventwire"
)

// ErrMalformed is what ParseJSON returns, wrapped with the attribute and what to do, for a line that is no CloudEvent 1.0.
var ErrMalformed = errors.New("malformed CloudEvent")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

// ParseJSON reads one CloudEvent 1.0 in JSON. It gives the subject as the stream's key, and the event; an event without id
// has none (CloudEvents asks for one; what to derive it from is the caller's to decide). Nothing of line is kept.
// The error wraps ErrMalformed.
func ParseJSON(line []byte) (key string, e eventwire.Event, err error) {
	if !utf8.Valid(line) {
		return "", e, malformed("the line is not valid UTF-8")
	}
	p := parser{seen: make(map[string]bool, 12)}
	if err := members(line, p.member); err != nil {
		return "", eventwire.Event{}, err
	}
	if err := p.finish(); err != nil {
		return "", eventwire.Event{}, err
	}
	return p.key, p.event, nil
}

// parser gathers the attributes of one event.
type parser struct {
	key   string
	event eventwire.Event
	seen  map[string]bool
	data  []byte // as it stands in the line; its meaning depends on the content type
}

func (p *parser) member(name string, value []byte) (err error) {
	if p.seen[name] {
		return malformed("%s comes twice", name)
	}
	if string(value) == "null" && name != attrData {
		return nil // an attribute that is not set
	}
	p.seen[name] = true
	switch name {
	case attrData:
		p.data = value
	case attrDataBase64:
		p.event.Data, err = parseBase64(value)
	case attrTopic, attrRevision, attrOffset, attrRecorded:
		// another log's numbers
	case attrSchemaVersion:
		p.event.SchemaVersion, err = parseVersion(value)
	case attrTags:
		err = inner(name, value, &p.event.Tags)
	case attrMetadata:
		err = p.others(value)
	default:
		err = p.attribute(name, value)
	}
	return err
}

func (p *parser) attribute(name string, value []byte) error {
	text, isString, err := scalar(name, value)
	if err != nil {
		return err
	}
	to := p.field(name)
	switch {
	case to == nil && name != attrSpecVersion && name != attrTime:
		p.set(metadataName(name), text)
		return nil
	case !isString:
		return malformed("%s must be a string, not %.40s", name, value)
	case name == attrSpecVersion && text != "1.0":
		return malformed("specversion is %.40q; only 1.0 is read", text)
	case name == attrSpecVersion:
		return nil
	case name == attrTime:
		return p.time(text)
	}
	*to = text
	return nil
}

// field gives where an attribute that is a string of the event goes; nil for any other.
func (p *parser) field(attr string) *string {
	switch attr {
	case attrID:
		return &p.event.ID
	case attrSource:
		return &p.event.Source
	case attrType:
		return &p.event.Type
	case attrSubject:
		return &p.key
	case attrContentType:
		return &p.event.ContentType
	}
	return nil
}

func (p *parser) set(name, value string) {
	if p.event.Metadata == nil {
		p.event.Metadata = map[string]string{}
	}
	p.event.Metadata[name] = value
}

func (p *parser) time(text string) error {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return malformed("time %.60q is not RFC 3339, like 2006-01-02T15:04:05Z", text)
	}
	if p.event.Time = t.UTC(); p.event.Time.IsZero() {
		return malformed("time %s stands for no time: leave it out", text)
	}
	return nil
}

func (p *parser) others(value []byte) error {
	var others map[string]string
	if err := inner(attrMetadata, value, &others); err != nil {
		return err
	}
	for name, v := range others {
		p.set(name, v)
	}
	return nil
}

// finish checks what is required, and gives data its meaning.
func (p *parser) finish() error {
	for _, name := range []string{attrSpecVersion, attrSource, attrType} {
		if !p.seen[name] {
			return malformed("%s is missing: a line must be a CloudEvent 1.0 with specversion, source and type", name)
		}
	}
	switch {
	case p.event.Type == "":
		return malformed("type is empty")
	case p.event.Source == "":
		return malformed("source is empty")
	case p.seen[attrData] && p.seen[attrDataBase64]:
		return malformed("has both data and data_base64")
	case p.event.Source == unstated:
		p.event.Source = ""
	}
	if !p.seen[attrData] {
		return nil
	}
	return p.setData()
}

func (p *parser) setData() error {
	if isJSON(p.event.ContentType) || p.data[0] != '"' {
		p.event.Data = bytes.Clone(p.data)
		return nil
	}
	var text string
	if err := json.Unmarshal(p.data, &text); err != nil {
		return malformed("data: %v", err)
	}
	p.event.Data = []byte(text)
	return nil
}

func parseBase64(value []byte) ([]byte, error) {
	text, isString, err := scalar(attrDataBase64, value)
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !isString {
		return nil, malformed("data_base64 is not base64")
	}
	return data, nil
}

func parseVersion(value []byte) (uint32, error) {
	text, _, err := scalar(attrSchemaVersion, value)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, malformed("%s %.40q is not a number from 0 to 4294967295", attrSchemaVersion, text)
	}
	return uint32(v), nil
}

// inner reads JSON that stands in a string, or as it is.
func inner(name string, value []byte, to any) error {
	if value[0] == '"' {
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			return malformed("%s: %v", name, err)
		}
		value = []byte(text)
	}
	if err := json.Unmarshal(value, to); err != nil {
		return malformed("%s: %v", name, err)
	}
	return nil
}

// scalar gives the text of a string, number or boolean.
func scalar(name string, value []byte) (text string, isString bool, err error) {
	switch value[0] {
	case '{', '[':
		return "", false, malformed("%s must be a string, a number or a boolean, not %.40s", name, value)
	case '"':
		if inside := value[1 : len(value)-1]; bytes.IndexByte(inside, '\\') < 0 {
			return string(inside), true, nil
		}
		if err := json.Unmarshal(value, &text); err != nil {
			return "", false, malformed("%s: %v", name, err)
		}
		return text, true, nil
	}
	return string(value), false, nil
}
