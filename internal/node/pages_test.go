package node

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reference from the code")

func TestReferencePages(t *testing.T) {
	for name, make := range pages {
		path := filepath.Join("..", "..", "docs", "reference", name)
		want := make()
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("docs/reference/%s is not what the code says: run go generate ./internal/node", name)
		}
	}
}

// What /metrics shows is on the page, and what is on the page is shown.
func TestMetricsPageIsComplete(t *testing.T) {
	n := start(t, testConfig(t, t.TempDir()))
	families, err := n.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, f := range families {
		if name := f.GetName(); strings.HasPrefix(name, "gesta_") {
			shown = append(shown, name)
		}
	}
	var described []string
	for _, d := range n.metrics.docs {
		described = append(described, d.Name)
	}
	slices.Sort(described)
	if !slices.Equal(shown, described) {
		t.Errorf("shown %v\ndescribed %v", shown, described)
	}
}
