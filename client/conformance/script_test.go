package conformance

import (
	"strings"
	"testing"
)

func TestScripts(t *testing.T) {
	all, err := Scripts()
	if err != nil || len(all) < 12 || all[0].Name != "01-cold-then-hot" {
		t.Fatal(len(all), err)
	}
	for _, s := range all {
		if last := s.steps[len(s.steps)-1].kind; last < stepDrain {
			t.Errorf("%s has no end", s.Name)
		}
	}
}

func TestBadScripts(t *testing.T) {
	for text, want := range map[string]string{
		"> {":           "bad:1",
		"\n> {\"x\":1}": "bad:2",
		"< {}":          "task_id",
		"< [":           "bad:1",
		"credit many":   "bad:1",
		"hello":         "begins no line",
	} {
		if _, err := Parse("bad", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLike(t *testing.T) {
	is := map[string]any{"n": "5", "list": []any{"a"}, "object": map[string]any{"x": 1.0}, "zero": "0"}
	for _, c := range []struct {
		want map[string]any
		like bool
	}{
		{map[string]any{"n": 5.0, "list": []any{"*"}, "object": map[string]any{}, "zero": 0.0, "not there": false}, true},
		{map[string]any{"n": 6.0}, false},
		{map[string]any{"list": []any{}}, false},
		{map[string]any{"list": []any{"b"}}, false},
		{map[string]any{"object": map[string]any{"x": 2.0}}, false},
		{map[string]any{"object": false}, false},
		{map[string]any{"n": map[string]any{}}, false},
		{map[string]any{"other": "*"}, false},
		{map[string]any{"other": map[string]any{}}, false},
	} {
		if err := like("it", c.want, is); (err == nil) != c.like {
			t.Errorf("%v: %v", c.want, err)
		}
	}
}
