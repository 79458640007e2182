package floors

import (
	"fmt"
	"slices"
	"strings"
)

// module is the prefix of our own packages.
const module = "github.com/gesta-db/gesta/"

// arrow is one import.
type arrow struct {
	from string // package, from the module's root
	to   string // import path as written
	test bool   // in a _test.go file
	at   string // file and line
}

// forbid says why the plan has no such arrow, or "".
func forbid(a arrow) string {
	from, known := find(a.from)
	if !known {
		return fmt.Sprintf("package %s has no place: give it a floor in internal/floors/plan.go, by a decision record", a.from)
	}
	to, own := strings.CutPrefix(a.to, module)
	switch {
	case !own:
		return forbidGuest(a)
	case to == a.from, slices.Contains(from.may, to), isPublic(to):
		return ""
	case isFoundation(to) && onGround(a.from, from):
		return ""
	case a.test && testMay(a.from, to, from):
		return ""
	}
	return fmt.Sprintf("%s: %s (floor %d) may not import %s: it may import %s. A new arrow is added to internal/floors/plan.go by a decision record",
		a.at, a.from, from.floor, to, allowed(a.from, from))
}

// onGround tells whether a package may use the whole foundation: all but the foundation itself and what others import.
func onGround(name string, at place) bool {
	return at.floor > ground && !isClient(name) || isDisk(name) && !isFoundation(name)
}

// testMay lets a test use everything on its own floor and below, and what upward names.
func testMay(name, to string, from place) bool {
	at, known := find(to)
	return known && at.floor <= from.floor || isDisk(to) || slices.Contains(upward[name], to)
}

func forbidGuest(a arrow) string {
	if a.test {
		return ""
	}
	for guest, hosts := range guests {
		if within(a.to, guest) && !slices.Contains(hosts, a.from) {
			return fmt.Sprintf("%s: %s may not import %s: only %s may. See guests in internal/floors/plan.go", a.at, a.from, a.to, list(hosts))
		}
	}
	return ""
}

func within(path, prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }

func find(name string) (place, bool) {
	for _, floor := range []map[string]place{foundation, public, plan} {
		if at, ok := floor[name]; ok {
			return at, true
		}
	}
	for pattern, at := range plan {
		if below, ok := strings.CutSuffix(pattern, "/..."); ok && within(name, below) {
			return at, true
		}
	}
	return place{}, false
}

func isPublic(name string) bool { _, ok := public[name]; return ok }

func isFoundation(name string) bool { _, ok := foundation[name]; return ok }

func isDisk(name string) bool { return within(name, "internal/vfs") }

// allowed lists what a package may import of our own.
func allowed(name string, at place) string {
	may := slices.Clone(at.may)
	if onGround(name, at) {
		may = append(may, "the ground (errs, limits, clock, vfs)")
	}
	return list(append(may, "api/..."))
}

func isClient(name string) bool { return name == "client" || strings.HasPrefix(name, "examples/") }

func list(names []string) string {
	if len(names) == 0 {
		return "tests"
	}
	return strings.Join(names, ", ")
}
