//go:build unix

package docs

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// alert is one rule of alerts.yaml.
type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	d := yaml.NewDecoder(strings.NewReader(readFile(t, "deploy/prometheus/alerts.yaml")))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there is no alert")
	}
	return all
}

// dashboard is what of gesta.json is held against the product.
type dashboard struct {
	Panels []struct {
		ID      int
		Title   string
		Type    string
		Targets []struct{ Expr string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(readFile(t, "deploy/grafana/gesta.json")), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) == 0 {
		t.Fatal("the dashboard is empty")
	}
	return d
}

// asked gives every expression that deploy/ and the pages send to Prometheus, with its place.
func asked(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, a := range alerts(t) {
		all["alert "+a.Alert] = a.Expr
	}
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			all["panel "+p.Title+": "+target.Expr] = target.Expr
		}
	}
	for _, p := range pages(t, "docs/operations", "docs/how-to", "docs/concepts") {
		for _, m := range quoted.FindAllString(p.text, -1) {
			all[p.name+": "+m] = m
		}
	}
	return all
}

var metric = regexp.MustCompile(`\b(gesta|go|process)_[a-z0-9_]+\b`)

// Every metric that is asked for is shown by a node.
func TestMetricsExist(t *testing.T) {
	shown := shownMetrics(t)
	found := 0
	for where, expr := range asked(t) {
		for _, name := range metric.FindAllString(expr, -1) {
			// A page may call a histogram by its name; an expression needs one of its series.
			if found++; !shown[name] && !(strings.HasPrefix(where, "docs/") && shown[name+"_bucket"]) {
				t.Errorf("%s: no node shows the metric %s", where, name)
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d metrics were looked for", found)
	}
}

// shownMetrics asks a real node.
func shownMetrics(t *testing.T) map[string]bool {
	t.Helper()
	s := newSession(t, build(t))
	if err := s.startNode("gesta serve"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get("http://127.0.0.1:" + s.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)`).FindAllString(string(text), -1) {
		names[m] = true
	}
	return names
}

// Every metric of ours that is asked for is on the reference page, too.
func TestMetricsAreDocumented(t *testing.T) {
	page := readFile(t, "docs/reference/metrics.md")
	for where, expr := range asked(t) {
		for _, name := range metric.FindAllString(expr, -1) {
			plain := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			if strings.HasPrefix(name, "gesta_") && !strings.Contains(page, "`"+name+"`") && !strings.Contains(page, "`"+plain+"`") {
				t.Errorf("%s: %s is not in docs/reference/metrics.md", where, name)
			}
		}
	}
}

// Every alert has what a person needs at night: a severity, a sentence, and an entry of the runbook that shows its expression.
func TestAlertsHaveRunbooks(t *testing.T) {
	runbook := readPage(t, "docs/operations/runbook.md")
	named := map[string]bool{}
	for _, a := range alerts(t) {
		named[a.Alert] = true
		if s := a.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: the severity is %q", a.Alert, s)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" || a.For == "" {
			t.Errorf("%s lacks a summary, a description or a duration", a.Alert)
		}
		_, fragment, _ := strings.Cut(a.Annotations["runbook_url"], "docs/operations/runbook.md#")
		if !runbook.anchors()[fragment] || fragment != strings.ToLower(a.Alert) {
			t.Errorf("%s: the runbook has no entry %q", a.Alert, fragment)
		}
		if !strings.Contains(runbook.text, "`"+a.Expr+"`") {
			t.Errorf("%s: the runbook does not show %s", a.Alert, a.Expr)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(runbook.text, -1) {
		if !named[m[1]] {
			t.Errorf("the runbook has an entry %s, but there is no such alert", m[1])
		}
	}
}

func TestDashboardPanels(t *testing.T) {
	ids := map[int]bool{}
	for _, p := range readDashboard(t).Panels {
		if p.Title == "" || p.Type == "" || ids[p.ID] || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q: it needs a title, a type, a number of its own, and something to show", p.ID, p.Title)
		}
		ids[p.ID] = true
	}
}

// The unit starts the node with flags that it has.
func TestUnit(t *testing.T) {
	unit := readFile(t, "deploy/systemd/gesta.service")
	start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/gesta (.*)$`).FindStringSubmatch(unit)
	if start == nil {
		t.Fatal("the unit does not start gesta")
	}
	help, err := exec.Command(filepath.Join(build(t), "gesta"), "serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(start[1]) {
		if strings.HasPrefix(word, "--") && !bytes.Contains(help, []byte(word+"=")) {
			t.Errorf("gesta serve has no flag %s", word)
		}
	}
	if state := regexp.MustCompile(`(?m)^StateDirectory=(.*)$`).FindStringSubmatch(unit); state == nil || !strings.Contains(start[1], "--data /var/lib/"+state[1]) {
		t.Error("the data folder is not the unit's own")
	}
}
