package cli

import (
	"slices"
	"testing"
)

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "ab", 2}, {"orders", "orders", 0}, {"ordres", "orders", 1}, {"order", "orders", 1}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"orders", "orders-archive", "payments", "a"}
	for name, want := range map[string][]string{
		"ordres":   {"orders"},
		"order":    {"orders", "orders-archive"},
		"payment":  {"payments"},
		"shipping": nil,
		"b":        {"a"},
		"":         {"a"},
	} {
		if got := nearest(name, names); !slices.Equal(got, want) {
			t.Errorf("nearest(%q) = %v, want %v", name, got, want)
		}
	}
}
