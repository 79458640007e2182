package floors

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// source is one Go file of the module.
type source struct {
	name string // from the module's root, with slashes
	text string
	set  *token.FileSet
	ast  *ast.File
}

func (s source) pkg() string {
	if i := strings.LastIndexByte(s.name, '/'); i >= 0 {
		return s.name[:i]
	}
	return "."
}

func (s source) test() bool { return strings.HasSuffix(s.name, "_test.go") }

func (s source) generated() bool { return ast.IsGenerated(s.ast) }

func (s source) at(pos token.Pos) string {
	p := s.set.Position(pos)
	return s.name + ":" + strconv.Itoa(p.Line)
}

// sources reads the module's Go files, whatever system they are for; other modules, test data and hidden folders are left out.
var sources = sync.OnceValues(func() ([]source, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	var all []source
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && leftOut(path, entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		one, err := parse(root, path)
		all = append(all, one)
		return err
	})
	return all, err
})

func leftOut(path, name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil
}

func parse(root, path string) (source, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return source{}, err
	}
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	name, err := filepath.Rel(root, path)
	return source{name: filepath.ToSlash(name), text: string(text), set: set, ast: tree}, err
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if up := filepath.Dir(dir); up != dir {
			dir = up
			continue
		}
		err = fs.ErrNotExist
	}
	return "", err
}

// every runs check on each file.
func every(t *testing.T, check func(s source)) {
	t.Helper()
	all, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("found no source")
	}
	for _, s := range all {
		check(s)
	}
}
