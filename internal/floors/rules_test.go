package floors

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const maxLines = 1000

// sleepers are the tests that may sleep, each with its reason. Others wait for what they want, or move a clock by hand.
var sleepers = map[string]string{}

func TestNoFileIsTooLong(t *testing.T) {
	every(t, func(s source) {
		if lines := strings.Count(s.text, "\n"); lines > maxLines && !s.generated() {
			t.Errorf("%s has %d lines, more than %d: split it by what its parts are", s.name, lines, maxLines)
		}
	})
}

func TestEveryPackageHasADocument(t *testing.T) {
	documented := map[string]bool{}
	every(t, func(s source) {
		if !s.test() {
			documented[s.pkg()] = documented[s.pkg()] || s.ast.Doc != nil || s.generated()
		}
	})
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment: say what it promises, and what it does not know", pkg)
		}
	}
}

func TestNoUnfinishedWork(t *testing.T) {
	unfinished := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	every(t, func(s source) {
		for i, line := range strings.Split(s.text, "\n") {
			if found := unfinished.FindString(line); found != "" && !s.generated() {
				t.Errorf("%s:%d: %s: do it, or write down in an issue what is missing", s.name, i+1, found)
			}
		}
	})
}

// Names say what a thing is; these words say nothing.
func TestNoEmptyNames(t *testing.T) {
	empty := regexp.MustCompile(`^(utils?|commons?|managers?|helpers?|misc|base)$`)
	every(t, func(s source) {
		file := strings.TrimSuffix(strings.TrimSuffix(path.Base(s.name), ".go"), "_test")
		for _, word := range append(strings.Split(file, "_"), s.ast.Name.Name) {
			if empty.MatchString(word) {
				t.Errorf("%s: %q says nothing: name it by what it is", s.name, word)
			}
		}
	})
}

// A fuzz target may pass over an input without a word.
func TestSkipsHaveAReason(t *testing.T) {
	every(t, func(s source) {
		fuzz := fuzzTargets(s)
		calls(s, func(c *ast.CallExpr, f *ast.SelectorExpr) {
			skips := f.Sel.Name == "SkipNow" || f.Sel.Name == "Skip" && s.test() && !saysWhy(c)
			if skips && !slices.ContainsFunc(fuzz, func(n ast.Node) bool { return n.Pos() <= c.Pos() && c.Pos() < n.End() }) {
				t.Errorf("%s: a test is skipped without a reason: t.Skip(\"why\")", s.at(c.Pos()))
			}
		})
	})
}

func fuzzTargets(s source) []ast.Node {
	var found []ast.Node
	for _, d := range s.ast.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Fuzz") {
			found = append(found, f)
		}
	}
	return found
}

func saysWhy(c *ast.CallExpr) bool {
	if len(c.Args) == 0 {
		return false
	}
	text, isText := c.Args[0].(*ast.BasicLit)
	return !isText || text.Kind == token.STRING && len(text.Value) > len(`"why"`)
}

func TestTestsDoNotSleep(t *testing.T) {
	asleep := map[string]bool{}
	every(t, func(s source) {
		calls(s, func(c *ast.CallExpr, f *ast.SelectorExpr) {
			if pkg, ok := f.X.(*ast.Ident); !ok || pkg.Name != "time" || f.Sel.Name != "Sleep" || !s.test() {
				return
			}
			asleep[s.name] = true
			if sleepers[s.name] == "" {
				t.Errorf("%s: a test sleeps: wait for what it wants, or move a clock by hand", s.at(c.Pos()))
			}
		})
	})
	for name := range sleepers {
		if !asleep[name] {
			t.Errorf("%s no longer sleeps: take it off the list", name)
		}
	}
}

// calls runs do on each call of a method or of another package's function.
func calls(s source, do func(*ast.CallExpr, *ast.SelectorExpr)) {
	ast.Inspect(s.ast, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			if f, ok := c.Fun.(*ast.SelectorExpr); ok {
				do(c, f)
			}
		}
		return true
	})
}
