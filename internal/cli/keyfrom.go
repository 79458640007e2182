package cli

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/gesta-db/gesta/client"
	"github.com/gesta-db/gesta/internal/errs"
)

// keyFrom gives the key of an imported event.
type keyFrom func(subject string, e *client.Event) (string, error)

// parseKeyFrom reads --key-from: subject, none, another attribute of the event, or data.FIELD[.FIELD…].
func parseKeyFrom(s string) (keyFrom, error) {
	if path, ok := strings.CutPrefix(s, "data."); ok && path != "" {
		return keyFromData(s, strings.Split(path, ".")), nil
	}
	switch s {
	case "subject":
		return func(subject string, _ *client.Event) (string, error) { return subject, nil }, nil
	case "none":
		return func(string, *client.Event) (string, error) { return "", nil }, nil
	case "source":
		return func(_ string, e *client.Event) (string, error) { return e.Source, nil }, nil
	case "type":
		return func(_ string, e *client.Event) (string, error) { return e.Type, nil }, nil
	case "id":
		return func(_ string, e *client.Event) (string, error) { return e.ID, nil }, nil
	case "", "data", "time", "specversion", "datacontenttype", "dataschema":
		return nil, errs.New(errs.Invalid, "--key-from %q is not subject, none, source, type, id, an extension's name or data.FIELD", s)
	}
	return keyFromExtension(s), nil
}

func keyFromExtension(name string) keyFrom {
	return func(_ string, e *client.Event) (string, error) {
		key, ok := e.Metadata[name]
		if !ok {
			return "", errs.New(errs.Invalid, "the event has no attribute %q to take the key from", name).With("field", name)
		}
		return key, nil
	}
}

// keyFromData takes a text, a number or a truth value out of JSON data.
func keyFromData(name string, path []string) keyFrom {
	missing := errs.New(errs.Invalid, "the event has no %s to take the key from, or it is neither text nor a number", name).With("field", name)
	return func(_ string, e *client.Event) (string, error) {
		value := json.RawMessage(e.Data)
		for _, field := range path {
			var object map[string]json.RawMessage
			if json.Unmarshal(value, &object) != nil {
				return "", missing
			}
			value = object[field]
		}
		return scalar(value, missing)
	}
}

func scalar(value json.RawMessage, missing error) (string, error) {
	value = bytes.TrimSpace(value)
	if len(value) == 0 || value[0] == '{' || value[0] == '[' || string(value) == "null" {
		return "", missing
	}
	if value[0] != '"' {
		return string(value), nil
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		return "", missing
	}
	return text, nil
}
