//go:build unix

package docs

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// tools are programs that a machine may lack; a page that uses one is then passed over.
var tools = regexp.MustCompile(`\b(curl|jq|openssl|python3|tar|gzip)\b`)

// TestExamples runs what the pages show.
func TestExamples(t *testing.T) {
	built := build(t)
	for _, p := range pages(t, "README.md", "docs/tutorial", "docs/how-to", "docs/operations", "examples") {
		steps := p.steps(t)
		if len(steps) == 0 {
			continue
		}
		t.Run(strings.TrimSuffix(p.name, ".md"), func(t *testing.T) {
			t.Parallel()
			needTools(t, steps)
			s := newSession(t, built)
			for _, st := range steps {
				if err := s.run(st); err != nil {
					t.Fatalf("%s:%d: %s\n%v", p.name, st.line, st.command, err)
				}
			}
		})
	}
}

// build makes the binary and the example programs, once for all tests.
func build(t *testing.T) string {
	t.Helper()
	built, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// builtIn is the folder of the programs, or "" when no test has asked for them.
var builtIn string

var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gesta-docs-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/gesta", "./examples/...")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

func needTools(t *testing.T, steps []step) {
	t.Helper()
	for _, st := range steps {
		for _, tool := range tools.FindAllString(st.command, -1) {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skip("this machine has no " + tool)
			}
		}
	}
}
