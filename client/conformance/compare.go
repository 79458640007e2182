package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"

	gestav1 "github.com/gesta-db/gesta/api/gesta/v1"
)

// compare tells how a result differs from what is wanted; nil: not at all.
func compare(want map[string]any, got *gestav1.Result) error {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(got)
	if err != nil {
		return err
	}
	var is map[string]any
	if err := json.Unmarshal(text, &is); err != nil {
		return err
	}
	fromBytes(is)
	if err := like("result", want, is); err != nil {
		shown, _ := json.Marshal(is) // it was JSON
		return fmt.Errorf("%w; the result is %s", err, shown)
	}
	return nil
}

// like tells where is differs from want.
func like(where string, want, is any) error {
	if want == "*" {
		if is == nil {
			return fmt.Errorf("%s is missing", where)
		}
		return nil
	}
	switch want := want.(type) {
	case map[string]any:
		given, ok := is.(map[string]any)
		if !ok && is != nil {
			return fmt.Errorf("%s is %v, not an object", where, is)
		}
		if !ok {
			return fmt.Errorf("%s is missing", where)
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if err := like(where+"."+name, want[name], given[name]); err != nil {
				return err
			}
		}
		return nil
	case []any:
		given, _ := is.([]any)
		if len(given) != len(want) {
			return fmt.Errorf("%s has %d elements, not %d", where, len(given), len(want))
		}
		for i := range want {
			if err := like(fmt.Sprintf("%s[%d]", where, i), want[i], given[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if plain(want) != plain(is) {
		return fmt.Errorf("%s is %s, not %s", where, plain(is), plain(want))
	}
	return nil
}

// plain is a scalar as text. Numbers of 64 bits are texts in Protobuf's JSON, and what is zero is left out there.
func plain(v any) string {
	switch v {
	case nil, false, 0.0, "", "0":
		return "nothing"
	}
	if n, ok := v.(float64); ok {
		text, _ := json.Marshal(n) // a number is always JSON
		return string(text)
	}
	return fmt.Sprint(v)
}
