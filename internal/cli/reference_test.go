package cli

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

//go:generate go test -run TestReferencePage -update .

var update = flag.Bool("update", false, "write docs/reference/cli.md from the grammar")

func TestReferencePage(t *testing.T) {
	want, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "docs", "reference", "cli.md")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/reference/cli.md is not what the grammar says: run go generate ./internal/cli")
	}
}
