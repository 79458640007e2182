package docs

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/gesta-db/gesta/internal/errs"
)

var (
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	quoted  = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.+)$`)
)

// Links from page to page lead to a file, and to a heading of it where they name one.
func TestLinks(t *testing.T) {
	for _, p := range pages(t, ".") {
		text := quoted.ReplaceAllString(fenced.ReplaceAllString(p.text, ""), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if why := broken(t, p, m[1]); why != "" {
				t.Errorf("%s: the link %s leads nowhere: %s", p.name, m[1], why)
			}
		}
	}
}

func broken(t *testing.T, from page, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		return err.Error()
	}
	if u.Scheme != "" || u.Host != "" {
		return "" // of the world outside nothing is asked
	}
	to := from
	if u.Path != "" {
		name := path.Join(path.Dir(from.name), u.Path)
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			return "there is no " + name
		}
		if path.Ext(name) != ".md" {
			return ""
		}
		to = readPage(t, name)
	}
	if u.Fragment != "" && !to.anchors()[u.Fragment] {
		return to.name + " has no such heading"
	}
	return ""
}

// anchors are the headings' names in links, as GitHub makes them.
func (p page) anchors() map[string]bool {
	names := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(p.text, ""), -1) {
		name := anchor(m[1])
		for n := 1; names[name]; n++ {
			name = anchor(m[1]) + "-" + strconv.Itoa(n)
		}
		names[name] = true
	}
	return names
}

func anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ', r == '-':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, title)
}

// Every page of docs can be reached from the map.
func TestMapIsComplete(t *testing.T) {
	seen, todo := map[string]bool{}, []string{"docs/README.md"}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		for _, m := range link.FindAllStringSubmatch(readPage(t, name).text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if to := path.Join(path.Dir(name), target); path.Ext(target) == ".md" && !strings.Contains(target, ":") {
				if _, err := os.Stat(filepath.Join(root, to)); err == nil {
					todo = append(todo, to)
				}
			}
		}
	}
	for _, p := range pages(t, "docs") {
		if !seen[p.name] {
			t.Errorf("no page leads from docs/README.md to %s", p.name)
		}
	}
}

// What a page shows of Go is part of a program that is compiled.
func TestGoCode(t *testing.T) {
	var code strings.Builder
	for _, pattern := range []string{"examples/*/*.go", "examples/*/*/*.go", "client/*_test.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			code.WriteString(flat(string(text)))
		}
	}
	for _, p := range pages(t, "README.md", "docs") {
		for _, b := range p.blocks {
			if b.kind == "go" && !strings.Contains(code.String(), flat(b.text)) {
				t.Errorf("%s:%d: this code stands in no program under examples/, and in no example of client/", p.name, b.line)
			}
		}
	}
}

// flat is code without its indentation.
func flat(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

// Every code of the error table has a section that says what to do.
func TestEveryErrorHasARemedy(t *testing.T) {
	page := readPage(t, "docs/reference/errors.md")
	for _, row := range errs.Table() {
		_, section, found := strings.Cut(page.text, "\n## "+string(row.Code)+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		if !found || !strings.Contains(section, "What to do: "+row.Remedy+".") || row.Remedy == "" {
			t.Errorf("docs/reference/errors.md has no section on %s with its remedy", row.Code)
		}
	}
}
