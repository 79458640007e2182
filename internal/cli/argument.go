package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gesta-db/gesta/internal/errs"
)

// target is what TOPIC[/KEY] names.
type target struct {
	topic, key string
	stream     bool // a key was given, perhaps an empty one
}

// parseTarget splits at the first slash; the others belong to the key.
func parseTarget(s string) (target, error) {
	topic, key, stream := strings.Cut(s, "/")
	if topic == "" {
		return target{}, errs.New(errs.Invalid, "%q names no topic; write TOPIC/KEY, for instance orders/42", s)
	}
	return target{topic, key, stream}, nil
}

func (t target) String() string {
	if !t.stream {
		return t.topic
	}
	return t.topic + "/" + t.key
}

// maxData bounds what is read from a file or standard input for one event: the greatest payload a server can be set to take,
// and one byte, so that the server says what its limit is.
const maxData = 16<<20 + 1

// amount is how many are wanted, from 1; it is 0 when nobody says.
type amount uint64

// UnmarshalText reads it from the command line.
func (a *amount) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil || n == 0 {
		return fmt.Errorf("%.40q is no number from 1; leave it out for all", text)
	}
	*a = amount(n)
	return nil
}

// readData gives the bytes that DATA, @FILE or - stands for.
func (a *app) readData(argument string) ([]byte, error) {
	switch {
	case argument == "-" || argument == "@-":
		return readAll(a.In, "standard input")
	case strings.HasPrefix(argument, "@"):
		return readFile(argument[1:])
	}
	return []byte(argument), nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fileError(err)
	}
	defer f.Close()
	return readAll(f, name)
}

// fileError gives a file's error its code: a missing file is not_found, anything else about it is the caller's to mend too.
func fileError(err error) error {
	if os.IsNotExist(err) {
		return errs.New(errs.NotFound, "%w", err)
	}
	return errs.New(errs.Invalid, "%w", err)
}

func readAll(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxData))
	switch {
	case err != nil:
		return nil, fileError(fmt.Errorf("reading %s: %w", name, err))
	case len(data) == maxData:
		return nil, errs.New(errs.TooLarge, "%s holds more than an event can: the greatest is 16 MiB", name).With("limit", "event_bytes")
	}
	return data, nil
}

// contentTypeOf tells what data without a declared type is.
func contentTypeOf(data []byte) string {
	switch {
	case len(data) == 0:
		return ""
	case json.Valid(data):
		return "application/json"
	case utf8.Valid(data):
		return "text/plain"
	}
	return "application/octet-stream"
}

// parseMetadata reads NAME=VALUE pairs.
func parseMetadata(pairs []string) (map[string]string, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, errs.New(errs.Invalid, "--meta %q is not NAME=VALUE", p).With("field", "metadata")
		}
		if _, twice := m[name]; twice {
			return nil, errs.New(errs.Invalid, "--meta names %q twice", name).With("field", "metadata")
		}
		m[name] = value
	}
	return m, nil
}
