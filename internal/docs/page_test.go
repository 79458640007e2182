package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the repository's, seen from this package.
const root = "../.."

// page is one document.
type page struct {
	name   string // from the repository's root
	text   string
	blocks []block
}

// block is one fenced block.
type block struct {
	kind, text string
	file       string // what the reader saves it as, or ""
	line       int
}

var fileMark = regexp.MustCompile(`^<!-- file: (\S+) -->$`)

func readPage(t *testing.T, name string) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	p := page{name: name, text: string(text)}
	var open *block
	file := ""
	for i, line := range strings.Split(p.text, "\n") {
		switch fence := strings.TrimSpace(line); {
		case open != nil && fence == "```":
			p.blocks, open = append(p.blocks, *open), nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(fence, "```"):
			open, file = &block{kind: strings.TrimPrefix(fence, "```"), file: file, line: i + 1}, ""
		case fileMark.MatchString(fence):
			file = fileMark.FindStringSubmatch(fence)[1]
		}
	}
	if open != nil {
		t.Errorf("%s:%d: the block does not end", name, open.line)
	}
	return p
}

// pages gives the documents below some folders, or the documents themselves.
func pages(t *testing.T, names ...string) []page {
	t.Helper()
	var found []page
	for _, name := range names {
		err := filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 {
				return orSkip(err)
			}
			if !d.IsDir() && filepath.Ext(path) == ".md" {
				path, err = filepath.Rel(root, path)
				found = append(found, readPage(t, filepath.ToSlash(path)))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) == 0 {
		t.Fatalf("no page in %v", names)
	}
	return found
}

func orSkip(err error) error {
	if err != nil {
		return err
	}
	return fs.SkipDir
}
