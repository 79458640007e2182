package filter

import (
	"bytes"
	"encoding/json"
	"mime"
	"strconv"
	"strings"

	"github.com/gesta-db/gesta/api/eventwire"
)

// parse gives an event's payload as maps, lists, texts, float64, int64, bool and nil; nil when it is not JSON.
func parse(e *eventwire.Event) any {
	if len(e.Data) == 0 || !mayBeJSON(e.ContentType) {
		return nil
	}
	var v any
	if !longNumber(e.Data) {
		if json.Unmarshal(e.Data, &v) != nil {
			return nil
		}
		return v
	}
	d := json.NewDecoder(bytes.NewReader(e.Data))
	d.UseNumber()
	if d.Decode(&v) != nil || d.More() {
		return nil
	}
	return numbers(v)
}

// mayBeJSON: without a content type an event is JSON when it can be read as such.
func mayBeJSON(contentType string) bool {
	switch contentType {
	case "", "application/json":
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// exactDigits is how many digits every double keeps.
const exactDigits = 15

// longNumber tells whether there is a row of digits that a double might not keep.
func longNumber(data []byte) bool {
	n := 0
	for _, c := range data {
		if c < '0' || c > '9' {
			n = 0
			continue
		}
		if n++; n > exactDigits {
			return true
		}
	}
	return false
}

// numbers puts a value of its own in the place of every json.Number.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number(v)
	case map[string]any:
		for name, member := range v {
			v[name] = numbers(member)
		}
	case []any:
		for i, element := range v {
			v[i] = numbers(element)
		}
	}
	return v
}

// number is a double, or an integer when it is one that a double does not hold exactly. What is out of every integer's range is the
// double nearest to it.
func number(n json.Number) any {
	f, _ := n.Float64()
	if i, err := n.Int64(); err == nil {
		if f < 1<<63 && int64(f) == i {
			return f
		}
		return i
	}
	if u, err := strconv.ParseUint(n.String(), 10, 64); err == nil && (f >= 1<<64 || uint64(f) != u) {
		return u
	}
	return f
}
