package report

import (
	"strings"
	"testing"
)

func growth(last float64) *Section {
	s := &Section{Name: Growth, Command: "make bench"}
	s.Add(1, "first", 100_000)
	s.Add(1, "last", last)
	s.Add(1, "ready clean", 0.5)
	s.Add(2, "ready clean", 2)
	s.Add(3, "ready clean", 0.7)
	return s
}

func TestSectionsAreJudged(t *testing.T) {
	for last, verdict := range map[float64]string{85_000: "0.85 (0.85 … 0.85) | met", 84_000: "0.84 (0.84 … 0.84) | **missed**"} {
		f := figures()
		f.Put(growth(last))
		page := f.Page("")
		for _, want := range []string{verdict, "## Growth", "≥ 0.85 × the rate at 100 thousand", "| 0.70 s | 0.50 … 2.00 | ≤ 1 s |  | met |", "not measured"} {
			if !strings.Contains(page, want) {
				t.Errorf("with %v at the end the page lacks %q:\n%s", last, want, page)
			}
		}
	}
}

func TestTheWorstIsJudgedWhereTheBarIsOfIt(t *testing.T) {
	bar := limit{median: 1, most: 2}
	for worst, met := range map[float64]bool{1.9: true, 2.1: false} {
		if s := stat([]float64{0.5, 0.6, worst}); bar.met(s) != met {
			t.Errorf("median 0.6 and worst %v: met %v", worst, !met)
		}
	}
	if bar.met(stat([]float64{1.1, 1.2, 1.3})) {
		t.Error("a median of 1.2 is not within 1")
	}
}

func TestWhatIsNotMeasuredStays(t *testing.T) {
	f := figures()
	f.Put(growth(90_000))
	b, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Read(b)
	if err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	if len(again.Samples) != len(f.Samples) || again.Page("") != f.Page("") {
		t.Errorf("read again the figures are others:\n%s", b)
	}
	again.Put(&Section{Name: Growth, Skipped: []string{"no space"}})
	if s := again.Section(Growth); len(s.Values) != 5 || len(s.Skipped) != 1 {
		t.Errorf("a run that measured nothing left %+v", s)
	}
	again.Put(&Section{Name: Cluster, Values: []Value{{1, "gesta 64", 5}}})
	again.Put(growth(80_000))
	if s := again.Section(Growth); s.of("last")[1] != 80_000 || len(again.Sections) != 2 || again.Sections[0] != s {
		t.Errorf("sections %+v", again.Sections)
	}
}
