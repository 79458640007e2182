package static

import (
	"slices"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
)

func TestSeeds(t *testing.T) {
	a, err := Parse("b:7090, a:7090,[fd00::1]:7090")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // who gets the list may change it
		got, err := a.Seeds(t.Context())
		if want := []string{"[fd00::1]:7090", "a:7090", "b:7090"}; err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, %v; want %v", got, err, want)
		}
		clear(got)
	}
}

func TestTooMany(t *testing.T) {
	_, err := Parse(strings.Repeat("a:1,", most) + "a:1")
	if errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), "more than 100") {
		t.Error(err)
	}
}
