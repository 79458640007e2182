package deploy

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const chartDir = "helm/gesta"

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil))) // Helm tells of a fail that it passes over while it lints
	os.Exit(m.Run())
}

func loadChart(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// valuesOf reads a file of ci/, by its name without -values.yaml.
func valuesOf(t *testing.T, name string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir, "ci", name+"-values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return parseValues(t, string(text))
}

func parseValues(t *testing.T, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// every runs check with each file of ci/.
func every(t *testing.T, check func(t *testing.T, values map[string]any)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chartDir, "ci", "*-values.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no values to try: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), "-values.yaml")
		t.Run(name, func(t *testing.T) { check(t, valuesOf(t, name)) })
	}
}

// render gives the files that the chart makes of the values, for the release "orders" in the namespace "prod".
func render(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	c := loadChart(t)
	all, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: "orders", Namespace: "prod", Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: true}.RenderWithContext(t.Context(), c, all)
}

// objects are what the chart makes, by "Kind name".
type objects map[string]runtime.Object

func renderObjects(t *testing.T, values map[string]any) (objects, map[string]string) {
	t.Helper()
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	found := objects{}
	for name, text := range files {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for _, one := range documents(text) {
			var is struct {
				Kind     string
				Metadata struct{ Name, Namespace string }
			}
			if err := yaml.Unmarshal([]byte(one), &is); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, one)
			}
			if is.Metadata.Namespace != "prod" || found[is.Kind+" "+is.Metadata.Name] != nil {
				t.Errorf("%s: %s %s is not in the release's namespace, or is there twice", name, is.Kind, is.Metadata.Name)
			}
			if is.Kind == "ServiceMonitor" {
				continue // the operator's, which brings its own types
			}
			object, _, err := strict.Decode([]byte(one), nil, nil)
			if err != nil {
				t.Fatalf("%s: Kubernetes refuses it: %v\n%s", name, err, one)
			}
			found[is.Kind+" "+is.Metadata.Name] = object
		}
	}
	return found, files
}

var separator = regexp.MustCompile(`(?m)^---$`)

func documents(text string) []string {
	return slices.DeleteFunc(separator.Split(text, -1), func(one string) bool {
		return strings.TrimSpace(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(one, "")) == ""
	})
}

// get finds an object of a kind that it must be.
func get[T runtime.Object](t *testing.T, all objects, name string) T {
	t.Helper()
	object, ok := all[name].(T)
	if !ok {
		t.Fatalf("the chart makes no %s", name)
	}
	return object
}

func TestLint(t *testing.T) {
	every(t, func(t *testing.T, values map[string]any) {
		for _, m := range lint.RunAll(chartDir, values, "prod").Messages {
			if m.Severity > support.InfoSev { // what remains is that the chart has no icon
				t.Error(m)
			}
		}
	})
}

// Everything that is rendered is what Kubernetes knows, to the last field.
func TestRender(t *testing.T) {
	every(t, func(t *testing.T, values map[string]any) {
		all, _ := renderObjects(t, values)
		if len(all) < 5 {
			t.Errorf("only %d objects", len(all))
		}
	})
}

// What cannot work is refused, with the way out.
func TestRefused(t *testing.T) {
	for values, says := range map[string]string{
		"{}":                                       "insecure=true",
		"insecure: true\nreplcas: 3":               "replcas",
		"insecure: true\nreplicas: many":           "replicas",
		"insecure: true\ninitialMembers: 0":        "initialMembers",
		"insecure: true\ndiscovery: consul":        "discovery",
		"insecure: true\npersistence: {size: big}": "size",
	} {
		if _, err := render(t, parseValues(t, values)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v; want a refusal that says %q", values, err, says)
		}
	}
}

// Each value is described by the schema, and each of the schema's has its place in values.yaml.
func TestSchemaIsComplete(t *testing.T) {
	c := loadChart(t)
	var schema struct {
		Properties map[string]any
	}
	if err := yaml.Unmarshal(c.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	delete(schema.Properties, "global")
	for name := range c.Values {
		if schema.Properties[name] == nil {
			t.Errorf("values.schema.json knows no %s", name)
		}
		delete(schema.Properties, name)
	}
	for name := range schema.Properties {
		t.Errorf("values.yaml has no %s", name)
	}
}
