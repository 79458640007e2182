package floors

import (
	"strconv"
	"strings"
	"testing"
)

// Every arrow of the code is in the plan.
func TestArrows(t *testing.T) {
	said := map[string]bool{}
	every(t, func(s source) {
		for _, spec := range s.ast.Imports {
			to, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			a := arrow{from: s.pkg(), to: to, test: s.test(), at: s.at(spec.Pos())}
			if why := forbid(a); why != "" && !said[why] {
				said[why] = true
				t.Error(why)
			}
		}
	})
}

// The plan itself has no arrow upwards, and none to a package that stands nowhere.
func TestPlanPointsDown(t *testing.T) {
	for _, floor := range []map[string]place{foundation, public, plan} {
		for name, from := range floor {
			for _, to := range from.may {
				at, known := find(to)
				if !known {
					t.Errorf("%s may import %s, which has no place", name, to)
				}
				if at.floor > from.floor {
					t.Errorf("%s (floor %d) may import %s (floor %d), which is above it", name, from.floor, to, at.floor)
				}
			}
		}
	}
}

func TestNoDoorKnowsAnother(t *testing.T) {
	for name, from := range plan {
		for _, to := range from.may {
			if strings.HasPrefix(name, "internal/door/") && strings.HasPrefix(to, "internal/door/") {
				t.Errorf("%s may import %s", name, to)
			}
		}
	}
}

func TestForbid(t *testing.T) {
	for _, c := range []struct {
		from, to string
		test     bool
		allowed  bool
	}{
		{"internal/shard", module + "internal/seglog", false, true},
		{"internal/seglog", module + "internal/errs", false, true},
		{"internal/seglog", module + "internal/event", false, false},
		{"internal/seglog", module + "internal/index", false, false},
		{"internal/seglog", module + "internal/index", true, true},
		{"internal/seglog", module + "internal/shard", true, false},
		{"internal/seglog", module + "internal/vfs/crashfs", false, false},
		{"internal/seglog", module + "internal/vfs/crashfs", true, true},
		{"internal/gateway", module + "internal/shard", false, false},
		{"internal/door/grpc", module + "internal/shard", false, false},
		{"internal/door/grpc", module + "internal/door/http", false, false},
		{"internal/errs", module + "internal/clock", false, false},
		{"internal/vfs/crashfs", module + "internal/vfs", false, true},
		{"client", module + "api/eventwire", false, true},
		{"client", module + "internal/errs", false, false},
		{"client", module + "internal/node", true, true},
		{"api/eventwire", module + "internal/errs", false, false},
		{"api/eventwire", module + "client", false, false},
		{"internal/util", "fmt", false, false},
		{"examples/counter", module + "client", false, true},
		{"internal/index", "github.com/cockroachdb/pebble/v2", false, true},
		{"internal/seglog", "github.com/cockroachdb/pebble/v2", false, false},
		{"internal/seglog", "github.com/cockroachdb/pebble/v2", true, true},
		{"internal/shard", "testing", false, false},
		{"internal/shard", "net/http", false, false},
	} {
		why := forbid(arrow{from: c.from, to: c.to, test: c.test, at: "x.go:1"})
		if (why == "") != c.allowed {
			t.Errorf("%s → %s (test: %v): %q", c.from, c.to, c.test, why)
		}
	}
}
