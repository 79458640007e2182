package cloudevents

import (
	"bytes"
	"encoding/json"

	"github.com/gesta-db/gesta/api/jsonwalk"
)

// members gives each member of a JSON object with its value's bytes as they stand there, which encoding/json would only do
// by way of a map, losing names that come twice.
func members(line []byte, each func(name string, value []byte) error) error {
	line = bytes.TrimSpace(line)
	switch {
	case len(line) == 0:
		return malformed("the line is empty")
	case !json.Valid(line):
		return malformed("the line is not JSON: %v", whyNot(line))
	case line[0] != '{':
		return malformed("the line is not a JSON object; batches are not read: put one event on each line")
	}
	w, _ := jsonwalk.Object(line)
	for name, value, ok := w.Next(); ok; name, value, ok = w.Next() {
		text, err := nameOf(name)
		if err != nil {
			return err
		}
		if err := each(text, value); err != nil {
			return err
		}
	}
	return nil
}

// nameOf gives a name, which comes without quotes, its escapes decoded.
func nameOf(name []byte) (text string, err error) {
	if bytes.IndexByte(name, '\\') < 0 {
		return string(name), nil
	}
	text, _, err = scalar("a name", append(append([]byte{'"'}, name...), '"'))
	return text, err
}

func whyNot(line []byte) error {
	var any json.RawMessage
	return json.Unmarshal(line, &any)
}
