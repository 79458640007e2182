package cloudevents

import (
	"bytes"
	"encoding/json"
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
	// From here on the line is known to be valid JSON, so that finding the ends of its parts needs no checks.
	for i := next(line, 1); line[i] != '}'; {
		from := i
		i = endOf(line, i)
		name, _, err := scalar("a name", line[from:i])
		if err != nil {
			return err
		}
		from = next(line, next(line, i)+1) // behind the colon
		i = endOf(line, from)
		if err := each(name, line[from:i]); err != nil {
			return err
		}
		if i = next(line, i); line[i] == ',' {
			i = next(line, i+1)
		}
	}
	return nil
}

func whyNot(line []byte) error {
	var any json.RawMessage
	return json.Unmarshal(line, &any)
}

// next passes over white space.
func next(line []byte, i int) int {
	for line[i] == ' ' || line[i] == '\t' || line[i] == '\n' || line[i] == '\r' {
		i++
	}
	return i
}

// endOf gives the end of the value that begins at i.
func endOf(line []byte, i int) int {
	depth := 0
	for ; ; i++ {
		switch line[i] {
		case '"':
			i = endOfString(line, i)
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

// endOfString gives the place of the closing quote.
func endOfString(line []byte, i int) int {
	for i++; line[i] != '"'; i++ {
		if line[i] == '\\' {
			i++
		}
	}
	return i
}
